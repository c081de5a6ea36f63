// The observables of one unit, summed while the time loop runs.
//
// Moments: within a segment of at most 1024 steps, sums of value - shift and of its square. At the end of the segment the
// sums are merged in float64 with those of the segments before (Chan, Golub & LeVeque, Am. Stat. 37:242, 1983), so that
// millions of steps lose no precision. The shift is the state after the first step of the segment.
//
// Comparisons: sums over time of (r - shift) (y - mean y) and of (r - y)^2, for every series y. A series is a target read
// at a lag. The flush adds back what the shift has taken away: shift times the sum of y - mean y over the segment.
//
// Readings: if targets were not measured in every step, r is not compared in every step either. A reading says when: each of
// its measurements has some steps that follow each other. The sum of r - shift over them is open until the last of these
// steps; then the mean takes the place of r in all comparisons of the reading. A measurement may go on in the next segment,
// which has another shift. So at the end of a segment the sum of r itself is kept, in float64.

#ifndef SWEEP_OBSERVABLES_CUH
#define SWEEP_OBSERVABLES_CUH

#include "rate_model.cuh"

template <typename lane> SWEEP_DEVICE double element(lane value, int i) {
    if constexpr (lanes::is_scalar<lane>)
        return value;
    else
        return value[i];
}

template <typename lane> SWEEP_DEVICE void put(lane &value, int i, real number) {
    if constexpr (lanes::is_scalar<lane>)
        value = number;
    else
        value[i] = number;
}

template <int order> struct Moments {  // 0: none, 1: mean, 2: mean and variance
    lane shift, sum, squares;

    SWEEP_DEVICE void begin(lane value) {
        shift = value;
        sum = squares = lane{};
    }

    SWEEP_DEVICE void see(lane value) {
        if constexpr (order > 0) add(value - shift);
    }

    SWEEP_DEVICE void add(lane deviation) {
        sum += deviation;
        if constexpr (order > 1) squares = lanes::fma(deviation, deviation, squares);
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
constexpr int ORDER_READ = CORRELATION ? 2 : 0, SUMS_READ = Moments<ORDER_READ>::SUMS;
constexpr int SUMS_COMPARED = SUMS_X + SUMS_R, SUMS_READINGS = SUMS_COMPARED + (CORRELATION + MSE) * COMPARISONS;
constexpr int SUMS = SUMS_READINGS + READINGS * (1 + SUMS_READ);
static_assert(!READINGS || MOMENTS_R, "readings use the shift of r");

// The sum over the steps of an open measurement that lie before a segment, with the shift of this segment.
SWEEP_DEVICE lane carried(const Arguments &a, int reading, int unit, int set, double steps, lane shift) {
    lane sum = lane{};
    if (steps > 0) {
        const double *const open = at(a.open, reading * UNITS + unit, a.sets, set);
        for (int i = 0; i < WIDTH; ++i) put(sum, i, (real)(open[i] - steps * element(shift, i)));
    }
    return sum;
}

// The numbers of a reading in a segment of this launch.
SWEEP_DEVICE const double *of_reading(const Arguments &a, int segment, int reading) {
    return a.segments + segment * OF_SEGMENT + COLUMNS_TARGET + reading * OF_READING;
}

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
    lane open[READINGS ? READINGS : 1];
    Moments<ORDER_READ> read[READINGS ? READINGS : 1];

    // As each_moment, for the comparisons too.
    template <typename Visit> SWEEP_DEVICE void each_sum(Visit visit) {
        each_moment(visit);
        if constexpr (CORRELATION) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) visit(SUMS_COMPARED + c, products[c]);
        }
        if constexpr (MSE) {
#pragma unroll
            for (int c = 0; c < COMPARISONS; ++c) visit(SUMS_COMPARED + CORRELATION * COMPARISONS + c, squares[c]);
        }
#pragma unroll
        for (int q = 0; q < READINGS; ++q) {
            visit(SUMS_READINGS + q, open[q]);
            read[q].each(SUMS_READINGS + READINGS + q * SUMS_READ, visit);
        }
    }

    // Begin a segment, the `segment`-th of this launch, with the state after its first step.
    SWEEP_DEVICE void begin(const Arguments &a, int unit, int set, int segment, const Unit &u) {
        Statistics::begin(u);
#pragma unroll
        for (int q = 0; q < READINGS; ++q) {
            read[q].begin(u.r);
            open[q] = carried(a, q, unit, set, of_reading(a, segment, q)[OPEN_BEFORE], r.shift);
        }
#pragma unroll
        for (int c = 0; c < (CORRELATION ? COMPARISONS : 1); ++c) products[c] = lane{};
#pragma unroll
        for (int c = 0; c < (MSE ? COMPARISONS : 1); ++c) squares[c] = lane{};
    }

    // Add the state after a step. `series` points at the step's series without the inputs.
    SWEEP_DEVICE void see(const Unit &u, const real *series, int unit) {
        Statistics::see(u);
        const real *const deviations = series + READINGS + (TARGET_UNITS > 1 ? unit : 0);
        const real *const values = deviations + CORRELATION * COLUMNS_TARGET;
        if constexpr (READINGS == 0) {
            compare<0>(u.r - r.shift, u.r, deviations, values);
        } else {
            read_all<0>(u.r - r.shift, series, deviations, values);
        }
    }

    template <int q> SWEEP_DEVICE void read_all(lane deviation, const real *events, const real *deviations, const real *values) {
        if constexpr (q < READINGS) {
            if (events[q] >= 0) {
                open[q] += deviation;
                if (events[q] > 0) {
                    const lane mean = open[q] * common(events[q]);
                    open[q] = lane{};
                    if constexpr (CORRELATION) read[q].add(mean);
                    compare<q>(mean, mean, deviations, values);
                }
            }
            read_all<q + 1>(deviation, events, deviations, values);
        }
    }

    // Compare with the series of a reading: `shifted`, from which the shift has been subtracted, and `rate`. A mean has been
    // summed with the shift, so that the shift is subtracted from the values instead.
    template <int reading> SWEEP_DEVICE void compare(lane shifted, lane rate, const real *deviations, const real *values) {
#pragma unroll
        for (int c = 0; c < COMPARISONS; ++c) {
            if (READINGS && reading_of(c) != reading) continue;
            if constexpr (CORRELATION)
                products[c] = with_product(products[c], shifted, common(deviations[c * TARGET_UNITS]));
            if constexpr (MSE) {
                const lane y = common(values[c * TARGET_UNITS]);
                squares[c] = with_square(squares[c], rate, READINGS ? y - r.shift : y);
            }
        }
    }

    // End a segment of `count` steps that began `before` steps after the transient. `segment` is its number in this launch.
    SWEEP_DEVICE void flush(const Arguments &a, int unit, int set, int segment, word before, word count) const {
        x.flush(a, 0, unit, set, before, count);
        r.flush(a, MOMENTS_X, unit, set, before, count);
        if constexpr (CORRELATION) {
            const double *sums = a.segments + segment * OF_SEGMENT + (TARGET_UNITS > 1 ? unit : 0);
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
#pragma unroll
        for (int q = 0; q < READINGS; ++q) {
            const double *const numbers = of_reading(a, segment, q);
            double *const sum = at(a.open, q * UNITS + unit, a.sets, set);
            for (int i = 0; i < WIDTH; ++i) sum[i] = element(open[q], i) + numbers[OPEN_AFTER] * element(r.shift, i);
            if (numbers[MEASURED] > 0)
                read[q].flush(a, MOMENTS_X + MOMENTS_R + q * ORDER_READ, unit, set, (word)numbers[MEASURED_BEFORE], (word)numbers[MEASURED]);
        }
    }
};

#endif
