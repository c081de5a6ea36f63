// Design C: a group of lanes per set, for networks of up to about 128 units. A lane here is one thread of a warp. It keeps
// ROWS rows of W, or 1 / PARTS of the columns of these rows, in registers for the whole launch. The lanes exchange the rates
// through shared memory. There are two copies: a step reads one and writes the other, so one barrier per step is enough.
//
//   h_i = g sum_j W_ij r_j + g_u (U u)_i + b_i, then one step of rate_model.cuh for every unit
//
// Lanes     PARTS neighbouring lanes hold the same ROWS rows, each of them every PARTS-th quad of the columns. They add up
//           their sums, and each finishes HELD = ROWS / PARTS units: lane l of a group has the units
//           l / PARTS * ROWS + l % PARTS * HELD + i. A group has LANES = PARTS ceil(N / ROWS) lanes. If that is at most a
//           warp, a warp has as many groups as fit, its other lanes idle, and the barrier is one of the warp. Else a set has
//           the whole thread block, and the barrier is one of the thread block.
// Grid      sets / SETS thread blocks of THREADS threads, where SETS is the number of sets in a thread block.
// Shared    rates[2][SETS][STRIDE], then STAGE x COLUMNS numbers of the series. STRIDE is N rounded up to a multiple of 4,
//           plus 4, so that the groups of a warp read different banks. All lanes of a group read the same quad of rates at
//           the same time.
// Memory    arrays are [row][set], read and written once per launch. Records are [record][set][place], so that the lanes of
//           a group write whole lines.
//
// Macros    those of arguments.cuh, and THREADS, ROWS, PARTS (1 or 2).

#include "noise.cuh"
#include "observables.cuh"
#include "rate_model.cuh"
#include "time_loop.cuh"

constexpr int WARP = 32;
constexpr int HELD = ROWS / PARTS;
constexpr int LANES = PARTS * ((UNITS + ROWS - 1) / ROWS);
constexpr bool IN_WARP = LANES <= WARP;
constexpr int SETS_PER_WARP = IN_WARP ? WARP / LANES : 0;
constexpr int SETS = IN_WARP ? THREADS / WARP * SETS_PER_WARP : 1;
constexpr int QUADS = (UNITS + 3) / 4, STRIDE = 4 * QUADS + 4;
constexpr int OWN_QUADS = (QUADS + PARTS - 1) / PARTS;
constexpr int COPY = SETS * STRIDE;

struct SomeUnits {
    const Arguments &a;
    int set, own, part, first;  // the set; its place in the thread block; which columns; the first unit held
    bool works;                 // whether this lane belongs to a group
    Unit units[HELD];
    Parameters<HELD> p;
    real weights[COUPLING ? ROWS : 1][COUPLING ? 4 * OWN_QUADS : 1];
    Observer observers[DETECT ? 1 : HELD];
    real *rates;
    unsigned long long stream;
    int copy, input, until, record;
    long long diverged;

    SWEEP_DEVICE SomeUnits(const Arguments &a, real *shared) : a(a), rates(shared) {
        const int lane_of_warp = threadIdx.x % WARP;
        const int place = IN_WARP ? lane_of_warp / LANES : 0;
        const int of_group = IN_WARP ? lane_of_warp % LANES : threadIdx.x;
        works = IN_WARP ? place < SETS_PER_WARP : of_group < LANES;
        own = !IN_WARP ? 0 : threadIdx.x / WARP * SETS_PER_WARP + (works ? place : 0);
        set = blockIdx.x * SETS + own;
        part = of_group % PARTS;
        const int row = of_group / PARTS * ROWS;
        first = row + part * HELD;
        p.load(a, set, first);
#pragma unroll
        for (int i = 0; i < HELD; ++i) units[i] = load_unit(a, unit(i), set);
        if constexpr (COUPLING > 0) load_weights(row);
        if constexpr (NOISY) stream = a.streams[set];
        input = STIMULI > 1 ? a.stimuli[set] * INPUT_UNITS : 0;
        copy = 0;
        // Places without a unit must be 0. Their weight is 0 too, but 0 times a NaN left in memory would be NaN.
        for (int i = threadIdx.x; i < 2 * COPY; i += THREADS) rates[i] = 0;
        __syncthreads();
        publish(0);
        diverged = DETECT ? a.diverged[set] : -1;
    }

    // The i-th unit of this lane. If the last lane has fewer units than places, the last unit is repeated.
    SWEEP_DEVICE int unit(int i) const { return first + i < UNITS ? first + i : UNITS - 1; }
    SWEEP_DEVICE bool has(int i) const { return works && first + i < UNITS; }

    SWEEP_DEVICE void load_weights(int row) {
        const real *matrix = a.weights + (COUPLING == 2 ? (long long)a.networks[set] * UNITS * UNITS : 0);
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            // The rows of the lane's own units come first, so that no step has to choose which sums to keep and which to
            // send.
            const int own_row = row + (part * HELD + i) % ROWS, to = own_row < UNITS ? own_row : UNITS - 1;
#pragma unroll
            for (int j = 0; j < 4 * OWN_QUADS; ++j) {
                const int from = (j / 4 * PARTS + part) * 4 + j % 4;
                weights[i][j] = from < UNITS ? matrix[to * UNITS + from] : real(0);
            }
            for (int run = 0, first = 0; run < RUNS; first = a.run_ends[run++]) {
                const int scaled_by = a.factor_rows[run * UNITS + to];
                if (scaled_by < 0) continue;
                const real factor = *at(a.factors, scaled_by, a.sets, set);
#pragma unroll
                for (int j = 0; j < 4 * OWN_QUADS; ++j) {
                    const int from = (j / 4 * PARTS + part) * 4 + j % 4;
                    if (from >= first && from < a.run_ends[run]) weights[i][j] *= factor;
                }
            }
            if constexpr (COUPLING == 2) {
                for (int e = 0; e < a.entry_count; ++e) {
                    const bool here = a.entry_units[2 * e] == to;
                    const int from = a.entry_units[2 * e + 1];
                    const real value = *at(a.entries, e, a.sets, set);
#pragma unroll
                    for (int j = 0; j < 4 * OWN_QUADS; ++j)
                        if (here && from == (j / 4 * PARTS + part) * 4 + j % 4) weights[i][j] = value;
                }
            }
        }
    }

    // Write the rates to copy `to`, and wait until the whole group has done so.
    SWEEP_DEVICE void publish(int to) {
#pragma unroll
        for (int i = 0; i < HELD; ++i)
            if (has(i)) rates[to * COPY + own * STRIDE + first + i] = units[i].r;
        if constexpr (IN_WARP)
            __syncwarp();
        else
            __syncthreads();
    }

    // W r for the units held.
    SWEEP_DEVICE void recur(real out[HELD]) const {
        const Quad *quads = (const Quad *)(rates + copy * COPY + own * STRIDE);
        real sums[ROWS];
#pragma unroll
        for (int q = 0; q < OWN_QUADS; ++q) {
            // The last quad of the second part may lie beyond the last unit, in the padding, which is 0.
            const Quad quad = quads[q * PARTS + part];
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
                for (int i = 0; i < ROWS; ++i)
                    sums[i] = q + j ? lanes::fma(weights[i][4 * q + j], quad.of[j], sums[i]) : weights[i][0] * quad.of[0];
        }
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            out[i] = sums[i];
            // Each lane sends the sums of the units that the other one finishes.
            if constexpr (PARTS > 1) out[i] += __shfl_xor_sync(~0u, sums[HELD + i], 1);
        }
    }

    template <int steps, bool observed> SWEEP_DEVICE void advance(word k, const real *row, int begins) {
        // One call of the noise serves two units and two steps. If a lane holds pairs of units, it uses all of them.
        constexpr int CALLS = HELD % 2 ? HELD : HELD / 2;
        float normals[NOISY ? CALLS : 1][4];
#pragma unroll
        for (int s = 0; s < steps; ++s) {
            const word step = a.first + k + s;
            const int phase = steps > 1 ? s % NOISE_STEPS : step % NOISE_STEPS;
            if (NOISY && (steps == 1 || phase == 0)) {
#pragma unroll
                for (int c = 0; c < CALLS; ++c)
                    philox::normals(step / NOISE_STEPS, (first + (HELD % 2 ? c : 2 * c)) / 2, stream, a.seed, normals[c]);
            }
            real recurrent[HELD];
            if constexpr (COUPLING > 0) recur(recurrent);
#pragma unroll
            for (int i = 0; i < HELD; ++i) {
                const real u = STIMULI ? row[s * COLUMNS + input + (INPUT_UNITS > 1 ? unit(i) : 0)] : real(0);
                const real xi = !NOISY     ? real(0)
                                : HELD % 2 ? pick(normals[i], phase, (first + i) % 2)
                                           : pick(normals[i / 2], phase, i % 2);
                ::step(a, p, i, units[i], drive(a, p, i, recurrent[i], u), xi);
            }
            copy = 1 - copy;
            if constexpr (COUPLING > 0) publish(copy);
            if constexpr (DETECT) detect(step);
            if constexpr (observed && !DETECT) observe(row + s * COLUMNS + COLUMNS_INPUT, begins);
        }
    }

    SWEEP_DEVICE void observe(const real *series, int begins) {
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            if (begins >= 0) observers[i].begin(a, unit(i), set, begins, units[i]);
            observers[i].see(units[i], series, unit(i));
        }
        if ((RECORD_X || RECORD_R) && --until == 0) {
            until = a.every;
#pragma unroll
            for (int i = 0; i < HELD; ++i) {
                const int place = a.places[unit(i)];
                const long long kept = ((long long)record * a.sets + set) * a.kept + place;
                if (RECORD_X && has(i) && place >= 0) a.record_x[kept] = units[i].x;
                if (RECORD_R && has(i) && place >= 0) a.record_r[kept] = units[i].r;
            }
            ++record;
        }
    }

    SWEEP_DEVICE void detect(word step) {
        real any_unsound = 0;
#pragma unroll
        for (int i = 0; i < HELD; ++i)
            if (has(i)) any_unsound += unsound(units[i]);
        if (diverged < 0 && !(any_unsound == 0)) diverged = step;
    }

    SWEEP_DEVICE void flush(int segment, word before, word count) {
        if constexpr (!DETECT) {
#pragma unroll
            for (int i = 0; i < HELD; ++i)
                if (has(i)) observers[i].flush(a, unit(i), set, segment, before, count);
        }
    }

    template <bool observed> SWEEP_DEVICE void run() {
        if constexpr (observed && !DETECT) {
            // Steps until the next record. A launch may begin between two records.
            until = a.every - (a.first - a.origin) % a.every;
            record = 0;
#pragma unroll
            for (int i = 0; i < HELD; ++i) observers[i].load_running(a, unit(i), set);
        }
        time_loop<observed>(a, *this, rates + 2 * COPY);
        real any_unsound = 0;
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            if (!has(i)) continue;
            any_unsound += unsound(units[i]);
            store_unit(a, unit(i), set, units[i]);
            if constexpr (observed && !DETECT) observers[i].store_running(a, unit(i), set);
        }
        if constexpr (DETECT)
            // The first step that any lane has found. As an unsigned number -1 is the largest, so it means "none".
            atomicMin((unsigned long long *)a.diverged + set, (unsigned long long)diverged);
        else if (!(any_unsound == 0))
            a.diverged[set] = 0;
    }
};

template <bool observed> SWEEP_DEVICE void lanes_per_set(const Arguments &a) {
    SWEEP_DYNAMIC_SHARED(real, shared);
    SomeUnits own(a, shared);
    own.run<observed>();
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) transient(const Arguments a) {
    lanes_per_set<false>(a);
}
extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) observed(const Arguments a) {
    lanes_per_set<true>(a);
}
