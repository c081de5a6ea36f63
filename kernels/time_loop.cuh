// The loop over the steps of a launch, for every kernel that keeps the state on the chip.
//
// The steps of a launch lie either all in the transient or all after it (observed). After the transient a launch begins and
// ends where a segment does (arguments.cuh), so no result depends on how the steps were cut into launches. The loop cuts a
// launch into segments, a segment into stages (the rows of the series that shared memory holds), and a stage into turns of
// UNROLL steps. A turn begins at a multiple of UNROLL, so that a call of the noise never serves two turns. Steps before the
// first turn and after the last one are taken one by one.
//
// `Sets` is what a thread simulates. advance<steps, observed>(k, row, begins) takes steps k, k + 1, ... of the launch, with
// the series from `row` on; `begins` is the number of the segment that begins with step k, or -1 if none does.
// flush(segment, before, count) ends a segment. Segments are numbered from 0 in each launch.

#ifndef SWEEP_TIME_LOOP_CUH
#define SWEEP_TIME_LOOP_CUH

#include "arguments.cuh"

SWEEP_DEVICE word smaller(word a, word b) { return a < b ? a : b; }

#if STAGE > 0
// Copy rows [from, stop) of the series to shared memory. All threads of the thread block do this together.
SWEEP_DEVICE void stage_series(const Arguments &a, word from, word stop, real *stage) {
    const real *rows = a.series + (unsigned long long)from * COLUMNS;
    __syncthreads();  // the last stage has been read by all
    for (word i = threadIdx.x; i < (stop - from) * COLUMNS; i += blockDim.x) stage[i] = rows[i];
    __syncthreads();
}
#endif

template <bool observed, typename Sets> SWEEP_DEVICE void time_loop(const Arguments &a, Sets &sets, real *stage) {
    constexpr word turn = UNROLL;
    const word skipped = a.first - a.origin;  // steps since the transient (not used, and wrapped around, within it)
    int segment = 0;
    for (word start = 0; start < a.steps;) {
        const word stop = observed ? smaller(a.steps, segment_stop(skipped + start) - skipped) : a.steps;
        for (word from = start; from < stop;) {
            const word until = STAGE ? smaller(stop, from + STAGE) : stop;
#if STAGE > 0
            stage_series(a, from, until, stage);
#endif
            const real *row = STAGE ? stage : a.series + (unsigned long long)from * COLUMNS;
            for (word k = from; k < until;) {
                const int begins = observed && k == start ? segment : -1;
                if (begins >= 0 || (a.first + k) % turn != 0 || k + turn > until) {
                    sets.template advance<1, observed>(k, row, begins);
                    row += COLUMNS;
                    ++k;
                } else {
#pragma unroll 1
                    do {
                        sets.template advance<turn, observed>(k, row, -1);
                        row += turn * COLUMNS;
                        k += turn;
                    } while (k + turn <= until);
                }
            }
            from = until;
        }
        if constexpr (observed) sets.flush(segment++, skipped + start, stop - start);
        start = stop;
    }
}

#endif
