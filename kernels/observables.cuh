// The observables of one unit, summed while the time loop runs.
//
// Moments: within a segment of at most 1024 steps, sums of value - shift and of its square. At the end of the segment the
// sums are merged in float64 with those of the segments before (Chan, Golub & LeVeque, Am. Stat. 37:242, 1983), so that
// millions of steps lose no precision. The shift is the state after the first step of the segment.
//
// Comparisons: sums over time of (r - shift) (y - mean y) and of (r - y)^2, for every series y. A series is a target read
// at a lag. The flush adds back what the shift has taken away: shift times the sum of y - mean y over the segment.

#ifndef SWEEP_OBSERVABLES_CUH
#define SWEEP_OBSERVABLES_CUH

#include "rate_model.cuh"

template <typename lane> SWEEP_DEVICE double element(lane value, int i) {
    if constexpr (lanes::is_scalar<lane>)
        return value;
    else
        return value[i];
}

template <int order> struct Moments {  // 0: none, 1: mean, 2: mean and variance
    lane shift, sum, squares;

    SWEEP_DEVICE void begin(lane value) {
        shift = value;
        sum = squares = lane{};
    }

    SWEEP_DEVICE void see(lane value) {
        if constexpr (order > 0) {
            const lane deviation = value - shift;
            sum += deviation;
            if constexpr (order > 1) squares = lanes::fma(deviation, deviation, squares);
        }
    }

    // Number of its rows in Arguments.sums. each() calls visit(row, value) for each of them; the first is the shift.
    static constexpr int SUMS = order ? 1 + order : 0;
    template <typename Visit> SWEEP_DEVICE void each(int first, Visit visit) {
        if constexpr (order > 0) {
            visit(first, shift);
            visit(first + 1, sum);
        }
        if constexpr (order > 1) visit(first + 2, squares);
    }

    // Merge the sums of the last `count` steps into the mean and the sum of squared deviations of the `before` steps,
    // whose rows of Arguments.moments begin with `first`.
    SWEEP_DEVICE void flush(const Arguments &a, int first, int unit, int set, word before, word count) const {
        if constexpr (order > 0) {
            double *const mean = at(a.moments, first * UNITS + unit, a.sets, set);
            double *const m2 = order > 1 ? at(a.moments, (first + 1) * UNITS + unit, a.sets, set) : nullptr;
            const double share = count / ((double)before + count);
            for (int i = 0; i < WIDTH; ++i) {
                const double own = element(sum, i) / count, was = before ? mean[i] : 0.0;
                const double apart = element(shift, i) + own - was;
                mean[i] = was + apart * share;
                if constexpr (order > 1)
                    m2[i] = (before ? m2[i] : 0.0) + (element(squares, i) - element(sum, i) * own) +
                            apart * apart * share * before;
            }
        }
    }
};

// The sum of a comparison after one more term: deviation y, or (r - y)^2.
SWEEP_DEVICE lane with_product(lane sum, lane deviation, lane y) { return lanes::fma(deviation, y, sum); }
SWEEP_DEVICE lane with_square(lane sum, lane r, lane y) {
    const lane difference = r - y;
    return lanes::fma(difference, difference, sum);
}

enum ComparisonRow { PRODUCTS, SQUARES };

// The running numbers, which are updated by every state.
SWEEP_DEVICE lane lowest(lane so_far, lane value) { return lanes::minimum(so_far, value); }
SWEEP_DEVICE lane highest(lane so_far, lane value) { return lanes::maximum(so_far, value); }

constexpr int RUNNING = RUNNING_X + RUNNING_R;
constexpr int SUMS_X = Moments<MOMENTS_X>::SUMS, SUMS_R = Moments<MOMENTS_R>::SUMS;
constexpr int SUMS = SUMS_X + SUMS_R + (CORRELATION + MSE) * COMPARISONS;

// The moments and the running numbers of one unit. C++ has no arrays of length 0, so an array that is not needed has length 1.
struct Statistics {
    Moments<MOMENTS_X> x;
    Moments<MOMENTS_R> r;
    lane running[RUNNING ? RUNNING : 1];

    // Call visit(row of Arguments.running, value) for each running number.
    template <typename Visit> SWEEP_DEVICE void each_running(Visit visit) {
#define SWEEP_VISIT(row, of, function) visit(row, running[row]);
        EACH_RUNNING(SWEEP_VISIT)
    }

    SWEEP_DEVICE void load_running(const Arguments &a, int unit, int set) {
        each_running([&](int row, lane &value) { value = load(at(a.running, row * UNITS + unit, a.sets, set)); });
    }

    SWEEP_DEVICE void store_running(const Arguments &a, int unit, int set) {
        each_running([&](int row, lane &value) { store(at(a.running, row * UNITS + unit, a.sets, set), value); });
    }

    // Whether a row of the sums is a shift, which does not change within a segment.
    static SWEEP_DEVICE constexpr bool is_shift(int row) { return (SUMS_X && row == 0) || (SUMS_R && row == SUMS_X); }

    // Call visit(row of Arguments.sums, value) for each number that the moments keep within a segment.
    template <typename Visit> SWEEP_DEVICE void each_moment(Visit visit) {
        x.each(0, visit);
        r.each(SUMS_X, visit);
    }

    // Begin a segment with the state after its first step.
    SWEEP_DEVICE void begin(const Unit &u) {
        x.begin(u.x);
        r.begin(u.r);
    }

    // Add the state after a step to the sums and the running numbers.
    SWEEP_DEVICE void see(const Unit &u) {
        x.see(u.x);
        r.see(u.r);
#define SWEEP_UPDATE(row, of, function) running[row] = function(running[row], u.of);
        EACH_RUNNING(SWEEP_UPDATE)
    }
};

// The statistics and the comparisons of one unit.
struct Observer : Statistics {
    lane products[CORRELATION ? COMPARISONS : 1], squares[MSE ? COMPARISONS : 1];

    // As each_moment, for the comparisons too.
    template <typename Visit> SWEEP_DEVICE void each_sum(Visit visit) {
        each_moment(visit);
        if constexpr (CORRELATION) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) visit(SUMS_X + SUMS_R + c, products[c]);
        }
        if constexpr (MSE) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) visit(SUMS_X + SUMS_R + CORRELATION * COMPARISONS + c, squares[c]);
        }
    }

    SWEEP_DEVICE void begin(const Unit &u) {
        Statistics::begin(u);
#pragma unroll
        for (int c = 0; c < (CORRELATION ? COMPARISONS : 1); ++c) products[c] = lane{};
#pragma unroll
        for (int c = 0; c < (MSE ? COMPARISONS : 1); ++c) squares[c] = lane{};
    }

    // Add the state after a step. `targets` points at the first column of the step's series that belongs to this unit.
    SWEEP_DEVICE void see(const Unit &u, const real *targets) {
        Statistics::see(u);
        if constexpr (CORRELATION) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c)
                products[c] = with_product(products[c], u.r - r.shift, common(targets[c * TARGET_UNITS]));
        }
        if constexpr (MSE) {
            const real *values = targets + CORRELATION * COLUMNS_TARGET;
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c)
                squares[c] = with_square(squares[c], u.r, common(values[c * TARGET_UNITS]));
        }
    }

    // End a segment of `count` steps that began `before` steps after the transient. `segment` is its number in this launch.
    SWEEP_DEVICE void flush(const Arguments &a, int unit, int set, int segment, word before, word count) const {
        x.flush(a, 0, unit, set, before, count);
        r.flush(a, MOMENTS_X, unit, set, before, count);
        if constexpr (CORRELATION) {
            const double *sums = a.series_sums + segment * COLUMNS_TARGET + (TARGET_UNITS > 1 ? unit : 0);
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) {
                double *total = at(a.comparisons, (PRODUCTS * COMPARISONS + c) * UNITS + unit, a.sets, set);
                for (int i = 0; i < WIDTH; ++i)
                    total[i] += element(products[c], i) + element(r.shift, i) * sums[c * TARGET_UNITS];
            }
        }
        if constexpr (MSE) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) {
                double *total = at(a.comparisons, (SQUARES * COMPARISONS + c) * UNITS + unit, a.sets, set);
                for (int i = 0; i < WIDTH; ++i) total[i] += element(squares[c], i);
            }
        }
    }
};

#endif
