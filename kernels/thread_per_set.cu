// Design A: a thread per set, for small networks. x, r, the statistics and the parameters that vary by set stay in
// registers. A weight matrix that all sets share, and parameters that vary by unit alone, are read from constant memory: they
// are part of the kernel's argument. Steps and units are unrolled. Threads wait for each other only to stage the series.
//
//   h_i = g sum_j W_ij r_j + g_u (U u)_i + b_i, then one step of rate_model.cuh for every unit
//
// Grid      sets / THREADS thread blocks of THREADS threads. Thread t of thread block b has set b THREADS + t.
// Shared    STAGE x COLUMNS numbers: the series of some steps. All threads read the same number at the same time.
// Memory    every array is [row][set], so a warp loads and stores 32 neighbouring numbers.
//
// Macros    those of arguments.cuh, and THREADS.

#include "noise.cuh"
#include "observables.cuh"
#include "rate_model.cuh"
#include "time_loop.cuh"

struct OneSet {
    const Arguments &a;
    const int set;
    Unit units[UNITS];
    Parameters<UNITS> p;
    lane weights[COUPLING == 2 ? UNITS * UNITS : 1];
    Observer observers[DETECT ? 1 : UNITS];
    unsigned long long stream;
    int input, until, record;
    long long diverged;

    SWEEP_DEVICE OneSet(const Arguments &a, int set) : a(a), set(set) {
        p.load(a, set, 0);
#pragma unroll
        for (int i = 0; i < UNITS; ++i) units[i] = load_unit(a, i, set);
        if constexpr (COUPLING == 2) load_weights();
        if constexpr (NOISY) stream = a.streams[set];
        input = STIMULI > 1 ? a.stimuli[set] * INPUT_UNITS : 0;
        until = a.every;
        record = 0;
        diverged = DETECT ? a.diverged[set] : -1;
    }

    SWEEP_DEVICE void load_weights() {
        const real *own = a.weights + (long long)a.networks[set] * UNITS * UNITS;
#pragma unroll
        for (int w = 0; w < UNITS * UNITS; ++w) weights[w] = own[w];
        for (int run = 0, first = 0; run < RUNS; first = a.run_ends[run++]) {
#pragma unroll
            for (int to = 0; to < UNITS; ++to) {
                const int row = a.factor_rows[run * UNITS + to];
                const lane factor = row < 0 ? common(real(1)) : load(at(a.factors, row, a.sets, set));
#pragma unroll
                for (int from = 0; from < UNITS; ++from) {
                    lane &weight = weights[to * UNITS + from];
                    weight = from >= first && from < a.run_ends[run] ? weight * factor : weight;
                }
            }
        }
        for (int e = 0; e < a.entry_count; ++e) {
            const int which = a.entry_units[2 * e] * UNITS + a.entry_units[2 * e + 1];
            const lane value = load(at(a.entries, e, a.sets, set));
#pragma unroll
            for (int w = 0; w < UNITS * UNITS; ++w) weights[w] = w == which ? value : weights[w];
        }
    }

    SWEEP_DEVICE lane weight(int to, int from) const {
        if constexpr (COUPLING == 2)
            return weights[to * UNITS + from];
        else
            return common(a.constants[WEIGHTS_AT + to * UNITS + from]);
    }

    template <int steps, bool observed> SWEEP_DEVICE void advance(word k, const real *row, int begins) {
        float normals[NOISY ? (UNITS + 1) / NOISE_UNITS : 1][4];
#pragma unroll
        for (int s = 0; s < steps; ++s) {
            const word step = a.first + k + s;
            const int phase = steps > 1 ? s % NOISE_STEPS : step % NOISE_STEPS;
            if (NOISY && (steps == 1 || phase == 0)) {
#pragma unroll
                for (int b = 0; b < (UNITS + 1) / NOISE_UNITS; ++b)
                    philox::normals(step / NOISE_STEPS, b, stream, a.seed, normals[b]);
            }
            lane recurrent[UNITS];
            if constexpr (COUPLING > 0) {
#pragma unroll
                for (int j = 0; j < UNITS; ++j)
#pragma unroll
                    for (int i = 0; i < UNITS; ++i)
                        recurrent[i] = j ? lanes::fma(weight(i, j), units[j].r, recurrent[i]) : weight(i, 0) * units[0].r;
            }
#pragma unroll
            for (int i = 0; i < UNITS; ++i) {
                const lane u = common(STIMULI ? row[s * COLUMNS + input + (INPUT_UNITS > 1 ? i : 0)] : real(0));
                const lane xi = common(NOISY ? pick(normals[i / NOISE_UNITS], phase, i % 2) : real(0));
                ::step(a, p, i, units[i], drive(a, p, i, recurrent[i], u), xi);
            }
            if constexpr (DETECT) detect(step);
            if constexpr (observed && !DETECT) observe(row + s * COLUMNS + COLUMNS_INPUT, begins);
        }
    }

    SWEEP_DEVICE void observe(const real *series, int begins) {
#pragma unroll
        for (int i = 0; i < UNITS; ++i) {
            if (begins >= 0) observers[i].begin(a, i, set, begins, units[i]);
            observers[i].see(units[i], series, i);
        }
        if ((RECORD_X || RECORD_R) && --until == 0) {
            until = a.every;
#pragma unroll
            for (int i = 0; i < UNITS; ++i) {
                const int place = a.places[i], kept = record * a.kept + place;
                if (RECORD_X && place >= 0) store(at(a.record_x, kept, a.sets, set), units[i].x);
                if (RECORD_R && place >= 0) store(at(a.record_r, kept, a.sets, set), units[i].r);
            }
            ++record;
        }
    }

    SWEEP_DEVICE void detect(word step) {
        lane any_unsound = lane{};
#pragma unroll
        for (int i = 0; i < UNITS; ++i) any_unsound += unsound(units[i]);
        if (diverged < 0 && !(any_unsound == lane{})) diverged = step;
    }

    SWEEP_DEVICE void flush(int segment, word before, word count) {
        if constexpr (!DETECT) {
#pragma unroll
            for (int i = 0; i < UNITS; ++i) observers[i].flush(a, i, set, segment, before, count);
        }
    }

    template <bool observed> SWEEP_DEVICE void run(real *stage) {
        if constexpr (observed && !DETECT) {
            // Steps until the next record. A launch may begin between two records.
            until = a.every - (a.first - a.origin) % a.every;
#pragma unroll
            for (int i = 0; i < UNITS; ++i) observers[i].load_running(a, i, set);
        }
        time_loop<observed>(a, *this, stage);
        lane any_unsound = lane{};
#pragma unroll
        for (int i = 0; i < UNITS; ++i) {
            store_unit(a, i, set, units[i]);
            any_unsound += unsound(units[i]);
            if constexpr (observed && !DETECT) observers[i].store_running(a, i, set);
        }
        if (DETECT)
            a.diverged[set] = diverged;
        else if (!(any_unsound == lane{}))
            a.diverged[set] = 0;
    }
};

template <bool observed> SWEEP_DEVICE void thread_per_set(const Arguments &a) {
    SWEEP_DYNAMIC_SHARED(real, stage);
    OneSet own(a, blockIdx.x * THREADS + threadIdx.x);
    own.run<observed>(stage);
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) transient(const Arguments a) {
    thread_per_set<false>(a);
}
extern "C" __global__ void __launch_bounds__(THREADS, MIN_THREAD_BLOCKS) observed(const Arguments a) {
    thread_per_set<true>(a);
}
