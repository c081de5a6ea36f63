// Design L: a launch per step, for networks too large to stay on the chip. A thread block multiplies a tile of TILE rows of
// W with the rates of TILE sets. The Euler step follows in the same kernel, on the sums in shared memory, so W r is never
// written to device memory; with a library's product it would be written there and read back. Each sum is added in the
// order of the units, so the bits of a set do not depend on the other sets. A library does not promise that.
//
//   h_i = g sum_j W_ij r_j + g_u (U u)_i + b_i, then one step of rate_model.cuh for every unit
//
// Grid      (sets / TILE) ceil(N / TILE) thread blocks of THREADS threads. With T = sets / TILE, thread block b has the TILE
//           sets from (b % T) TILE on, and the TILE units from (b / T) TILE on. Thread t computes OWN_UNITS units, from
//           (t / 16) OWN_UNITS on, of OWN_SETS sets, from (t % 16) OWN_SETS on.
// Shared    two copies of DEPTH rows of W and of the rates, with TILE numbers in a row. The threads compute with one copy
//           while the next rows are loaded through registers into the other; this takes one barrier per DEPTH rows. At
//           the end the same memory holds the TILE x TILE sums.
// Memory    weights are [network][from][to], padded with 0: `from` to a multiple of DEPTH, `to` to a multiple of TILE. The
//           rates have as many rows. The sets of a tile share their network. Entries that a set replaces are 0 in W and
//           added one by one. Weights that sets scale are in further columns of W, and 0 in their own. To these columns
//           belong further rows of the rates: copies, times the factor of the set. The state and the sums of a segment
//           stay in device memory; choose the size of a batch so that they fit the L2 cache.
//
// Macros    those of arguments.cuh, and
//   COPIES  runs of units whose rates are copied: the length of Arguments::copies
//   COPIED  units in all of these

#include "noise.cuh"
#include "observables.cuh"
#include "rate_model.cuh"

constexpr int TILE = 64, DEPTH = 16, OWN_UNITS = 8, OWN_SETS = 4;
constexpr int THREADS = TILE / OWN_UNITS * TILE / OWN_SETS;
constexpr int PADDED_FROM = (UNITS + COPIED + DEPTH - 1) / DEPTH * DEPTH, PADDED_TO = (UNITS + TILE - 1) / TILE * TILE;
constexpr int ROWS_OF_TILE = DEPTH * TILE;

constexpr int QUADS = ROWS_OF_TILE / 4 / THREADS;  // quads of W, and as many of the rates, that a thread loads at a time
static_assert(4 * ROWS_OF_TILE == TILE * TILE, "shared memory holds two copies of two tiles, and then the sums");

// A thread's part of DEPTH rows of a tile, on the way from device memory to shared memory.
struct Tile {
    Quad own[QUADS];

    // Load the rows from `row` on, and the columns from `column` on, of a matrix whose rows have `width` numbers.
    SWEEP_DEVICE void load(const real *matrix, int row, int column, int width) {
#pragma unroll
        for (int q = 0; q < QUADS; ++q) {
            const int place = 4 * (q * THREADS + threadIdx.x);
            own[q] = *(const Quad *)(matrix + (long long)(row + place / TILE) * width + column + place % TILE);
        }
    }

    SWEEP_DEVICE void store(real *shared) const {
#pragma unroll
        for (int q = 0; q < QUADS; ++q) *(Quad *)(shared + 4 * (q * THREADS + threadIdx.x)) = own[q];
    }
};

// Compute W r of the tile and put it into shared memory, [unit][set].
SWEEP_DEVICE void multiply(const Arguments &a, int first_unit, int first_set, real *shared) {
    const int unit = threadIdx.x / (TILE / OWN_SETS) * OWN_UNITS, set = threadIdx.x % (TILE / OWN_SETS) * OWN_SETS;
    const int network = COUPLING == 2 ? a.networks[first_set] : 0;
    const real *matrix = a.weights + (long long)network * PADDED_FROM * PADDED_TO;
    alignas(Quad) real sums[OWN_UNITS][OWN_SETS] = {};
    Tile weights, rates;
    weights.load(matrix, 0, first_unit, PADDED_TO);
    rates.load(a.rates, 0, first_set, a.sets);
    weights.store(shared);
    rates.store(shared + ROWS_OF_TILE);
    __syncthreads();
    int copy = 0;
#pragma unroll 1
    for (int from = 0; from < PADDED_FROM; from += DEPTH) {
        const bool more = from + DEPTH < PADDED_FROM;
        if (more) {
            weights.load(matrix, from + DEPTH, first_unit, PADDED_TO);
            rates.load(a.rates, from + DEPTH, first_set, a.sets);
        }
        const real *own_weights = shared + copy * 2 * ROWS_OF_TILE + unit;
        const real *own_rates = shared + (copy * 2 + 1) * ROWS_OF_TILE + set;
#pragma unroll
        for (int d = 0; d < DEPTH; ++d) {
            Quad w[OWN_UNITS / 4];
#pragma unroll
            for (int q = 0; q < OWN_UNITS / 4; ++q) w[q] = *(const Quad *)(own_weights + d * TILE + 4 * q);
            const Quad r = *(const Quad *)(own_rates + d * TILE);
#pragma unroll
            for (int i = 0; i < OWN_UNITS; ++i)
#pragma unroll
                for (int s = 0; s < OWN_SETS; ++s) sums[i][s] = lanes::fma(w[i / 4].of[i % 4], r.of[s], sums[i][s]);
        }
        copy = 1 - copy;
        if (more) {
            weights.store(shared + copy * 2 * ROWS_OF_TILE);
            rates.store(shared + (copy * 2 + 1) * ROWS_OF_TILE);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < OWN_UNITS; ++i) *(Quad *)(shared + (unit + i) * TILE + set) = *(const Quad *)sums[i];
    __syncthreads();
}

SWEEP_DEVICE void observe(const Arguments &a, const Unit &u, int unit, int set) {
    const word seen = a.first - a.origin, start = segment_start(seen);
    Observer observer;
    observer.load_running(a, unit, set);
    if (seen == start)
        observer.begin(a, unit, set, 0, u);
    else
        observer.each_sum([&](int row, lane &sum) { sum = load(at(a.sums, row * UNITS + unit, a.sets, set)); });
    observer.see(u, a.series + COLUMNS_INPUT, unit);
    observer.store_running(a, unit, set);
    if (seen + 1 == segment_stop(seen) || a.first + 1 == a.end)
        observer.flush(a, unit, set, 0, start, seen + 1 - start);
    else
        observer.each_sum([&](int row, lane &sum) { store(at(a.sums, row * UNITS + unit, a.sets, set), sum); });
    if ((RECORD_X || RECORD_R) && (seen + 1) % a.every == 0 && a.places[unit] >= 0) {
        if (RECORD_X) store(at(a.record_x, a.places[unit], a.sets, set), u.x);
        if (RECORD_R) store(at(a.record_r, a.places[unit], a.sets, set), u.r);
    }
}

template <bool observed> SWEEP_DEVICE void finish(const Arguments &a, int unit, int set, real recurrent) {
    Parameters<1> p;
    p.load(a, set, unit);
    Unit u = load_unit(a, unit, set);
    u.r = *at(a.rates, unit, a.sets, set);
    if constexpr (COUPLING == 2) {
        for (int e = 0; e < a.entry_count; ++e)
            if (a.entry_units[2 * e] == unit)
                recurrent = lanes::fma(*at(a.entries, e, a.sets, set), *at(a.rates, a.entry_units[2 * e + 1], a.sets, set),
                                       recurrent);
    }
    real input = 0, xi = 0;
    if constexpr (STIMULI > 0)
        input = a.series[(STIMULI > 1 ? a.stimuli[set] * INPUT_UNITS : 0) + (INPUT_UNITS > 1 ? unit : 0)];
    if constexpr (NOISY) {
        float normals[4];
        philox::normals(a.first / NOISE_STEPS, unit / NOISE_UNITS, a.streams[set], a.seed, normals);
        xi = pick(normals, a.first % NOISE_STEPS, unit % 2);
    }
    step(a, p, 0, u, drive(a, p, 0, recurrent, input), xi);
    store_unit(a, unit, set, u);
    *at(a.new_rates, unit, a.sets, set) = u.r;
    for (int c = 0, row = UNITS; c < COPIES; ++c) {
        const int *copy = a.copies + 3 * c;
        if (unit >= copy[0] && unit < copy[1])
            *at(a.new_rates, row + unit - copy[0], a.sets, set) = *at(a.factors, copy[2], a.sets, set) * u.r;
        row += copy[1] - copy[0];
    }
    // Several units may find this in the same step; they all write the same number.
    if (!(unsound(u) == 0) && (!DETECT || a.diverged[set] < 0)) a.diverged[set] = DETECT ? (long long)a.first : 0;
    if constexpr (observed && !DETECT) observe(a, u, unit, set);
}

template <bool observed> SWEEP_DEVICE void product(const Arguments &a) {
    SWEEP_DYNAMIC_SHARED(real, shared);
    const int tiles = a.sets / TILE, first_set = blockIdx.x % tiles * TILE, first_unit = blockIdx.x / tiles * TILE;
    if constexpr (COUPLING > 0) multiply(a, first_unit, first_set, shared);
#pragma unroll 1
    for (int place = threadIdx.x; place < TILE * TILE; place += THREADS) {
        const int unit = first_unit + place / TILE, set = first_set + place % TILE;
        if (unit < UNITS) finish<observed>(a, unit, set, COUPLING ? shared[place] : real(0));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) transient(const Arguments a) {
    product<false>(a);
}
extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) observed(const Arguments a) {
    product<true>(a);
}
