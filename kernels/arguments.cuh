// What the host hands to a kernel. Sizes and switches are macros, fixed when a kernel is compiled for a job; arrays come
// by address in one structure, passed by value, which sweep/backends/compiled/layout.py fills in the same order.
//
// All arrays of sets are [row][set], so that neighbouring threads touch neighbouring numbers; `sets` is padded by the
// host to whole thread blocks, and a padding set is a copy of a real one. So there are no tails here.
//
//   REAL            float or double: the type of the state
//   UNITS           N
//   ACTIVATION      see activations.cuh
//   SEQUENTIAL      1: r sees the new x (the default scheme), 0: the old one (textbook explicit Euler)
//   COMPENSATED     1: x and r are Kahan sums
//   COUPLING        0: no weights, 1: one matrix for all sets, 2: each set chooses a matrix or replaces entries
//   MODES           for every parameter, by what it varies: see Mode
//   STIMULI         number of inputs to choose from; 0: no input
//   INPUT_UNITS     1: the input is the same for all units, else UNITS
//   MOMENTS_X, _R   1: mean, 2: mean and variance; LOW_X, LOW_R, HIGH_X, HIGH_R: smallest and largest value
//   COMPARISONS     how many series (targets times lags) r is compared with; CORRELATION, MSE: how
//   TARGET_UNITS    1: the series are the same for all units, else UNITS
//   RECORD_X, _R    1: keep the trajectory
//   DETECT          1: look for the step at which a set diverges, and do nothing else
//   STAGE           steps of the series held in shared memory at a time; 0: they are read from device memory
//   UNROLL          steps in a turn of the time loop, a multiple of those that one call of the noise serves
//   CONSTANTS       numbers passed by value; BY_VALUE 1: weights and numbers by unit are among them
//   ARGUMENTS_BYTES size of the structure as the host has laid it out
//   MIN_BLOCKS      blocks per multiprocessor that the compiler must leave registers for

#ifndef SWEEP_ARGUMENTS_CUH
#define SWEEP_ARGUMENTS_CUH

#include "lanes.cuh"

#ifndef LANE
#define LANE REAL
#endif
#ifndef SWEEP_DYNAMIC_SHARED
#define SWEEP_DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#endif

typedef REAL real;
typedef LANE lane;  // one number of one set for a CUDA thread; for a vector unit, one number each of neighbouring sets
typedef unsigned int word;
constexpr int WIDTH = sizeof(lane) / sizeof(real);

// By what a parameter varies. NEUTRAL: it has a value that changes nothing, 1 for factors and 0 for terms.
enum Mode { NEUTRAL, COMMON, BY_UNIT, BY_SET, BY_BOTH };
enum Which { ALPHA_S, ALPHA_R, NOISE, GAIN, INPUT_GAIN, BIAS, SLOPE, THRESHOLD, PARAMETERS };
constexpr int modes[PARAMETERS] = {MODES};

constexpr int COLUMNS_INPUT = STIMULI * INPUT_UNITS;
constexpr int COLUMNS_TARGET = COMPARISONS * TARGET_UNITS;
constexpr int COLUMNS = COLUMNS_INPUT + (CORRELATION + MSE) * COLUMNS_TARGET;

// Moments are flushed to float64 at the ends of segments: 16, 32, 64, ... 1024, 2048, 3072, ... steps after the
// transient. Short ones first, so that a start far from the rest is soon behind.
constexpr word FIRST_SEGMENT = 16, LONGEST_SEGMENT = 1024;

// Where the segment of a step begins and stops, counted from the end of the transient.
SWEEP_DEVICE word segment_stop(word step) {
    if (step >= LONGEST_SEGMENT) return step / LONGEST_SEGMENT * LONGEST_SEGMENT + LONGEST_SEGMENT;
    word stop = FIRST_SEGMENT;
    while (stop <= step) stop *= 2;
    return stop;
}
SWEEP_DEVICE word segment_start(word step) {
    const word stop = segment_stop(step);
    return stop == FIRST_SEGMENT ? 0 : stop > LONGEST_SEGMENT ? stop - LONGEST_SEGMENT : stop / 2;
}

// Four numbers that travel together.
struct alignas(4 * sizeof(real) < 16 ? 4 * sizeof(real) : 16) Quad {
    real of[4];
};

struct Arguments {
    real *state;                        // [x, r, lost x, lost r][unit][set]
    const real *rates;                  // [unit][set]: r before and after the step, where a step is a launch
    real *new_rates;                    //     (product.cu), and
    real *sums;                         // [sum][unit][set]: the sums of a segment, from launch to launch
    double *moments;                    // [mean x, m2 x, mean r, m2 r][unit][set]
    real *extremes;                     // [low x, high x, low r, high r][unit][set]
    double *comparisons;                // [products, squares][comparison][unit][set]
    real *record_x, *record_r;          // [record][place][set]; [record][set][place] (lanes_per_set.cu);
                                        //     [set][record][place] (tile_of_sets.cpp)
    long long *diverged;                // [set]: -1, or the step whose state was not finite (DETECT), or 0
    const real *by_set;                 // [row][set]: parameters that vary by set
    const real *by_unit;                // [row][unit]: parameters that vary by unit alone
    const real *weights;                // [network][to][from]; product.cu: [network][from][to], padded
    const real *entries;                // [entry][set]: weights that replace those of the matrix
    const int *entry_units;             // [entry][to, from]
    const int *networks, *stimuli;      // [set]
    const unsigned long long *streams;  // [set]: noise
    const real *series;                 // [step][column]: inputs, then target deviations, then target values
    const double *series_sums;          // [segment][comparison][unit or 1]: target deviations summed
    const int *places;                  // [unit]: where a record keeps the unit, or -1
    unsigned long long seed;
    word first, steps;                  // of this launch; series, records and series_sums begin with it
    word origin, end;                   // the first step after the transient, and the step after the last one
    int sets, entry_count, every;
    int records, kept;                  // of a set: records in this launch, and units of each
    real constants[CONSTANTS];          // [common parameters][by unit][weights]
};
static_assert(sizeof(Arguments) == ARGUMENTS_BYTES, "the host has laid out the arguments in another way");

// The place of a set in a row of an array, and the number of the sets of a lane there.
template <typename number> SWEEP_DEVICE number *at(number *array, int row, int sets, int set) {
    return array + (long long)row * sets + set;
}
SWEEP_DEVICE lane load(const real *place) { return *(const lane *)place; }
SWEEP_DEVICE lane common(real value) { return lanes::broadcast<lane>(value); }  // the same for every set
SWEEP_DEVICE void store(real *place, lane value) { *(lane *)place = value; }

// ------------------------------------------------------------------------------------------------------- parameters

SWEEP_DEVICE constexpr int rows_of(int mode) { return mode == BY_SET ? 1 : mode == BY_BOTH ? UNITS : 0; }

// The row of by_set at which a parameter begins; of by_unit; of the constants.
SWEEP_DEVICE constexpr int set_row(int which) { return which == 0 ? 0 : set_row(which - 1) + rows_of(modes[which - 1]); }
SWEEP_DEVICE constexpr int unit_row(int which) {
    return which == 0 ? 0 : unit_row(which - 1) + (modes[which - 1] == BY_UNIT);
}
constexpr int WEIGHTS_AT = PARAMETERS + unit_row(PARAMETERS) * UNITS;

// A parameter as a lane holds it, for `held` units from `first` on: in registers, or not at all.
template <int which, int held> struct Parameter {
    static constexpr int mode = modes[which];
    static constexpr bool in_registers = mode == BY_SET || mode == BY_BOTH || (mode == BY_UNIT && !BY_VALUE);
    static constexpr bool one = mode == BY_SET;
    lane own[in_registers && !one ? held : 1];

    SWEEP_DEVICE void load(const Arguments &a, int set, int first) {
        if constexpr (in_registers) {
#pragma unroll
            for (int i = 0; i < (one ? 1 : held); ++i) {
                const int unit = first + i < UNITS ? first + i : UNITS - 1;
                if constexpr (mode == BY_UNIT)
                    own[i] = common(a.by_unit[unit_row(which) * UNITS + unit]);
                else
                    own[i] = ::load(at(a.by_set, set_row(which) + (one ? 0 : unit), a.sets, set));
            }
        }
    }

    SWEEP_DEVICE lane operator()(const Arguments &a, int i) const {
        if constexpr (mode == NEUTRAL)
            return common(which == GAIN || which == INPUT_GAIN || which == SLOPE);
        else if constexpr (mode == COMMON)
            return common(a.constants[which]);
        else if constexpr (!in_registers)
            return common(a.constants[PARAMETERS + unit_row(which) * UNITS + i]);
        else
            return own[one ? 0 : i];
    }
};

template <int held> struct Parameters {
    Parameter<ALPHA_S, held> alpha_s;
    Parameter<ALPHA_R, held> alpha_r;
    Parameter<NOISE, held> noise;
    Parameter<GAIN, held> gain;
    Parameter<INPUT_GAIN, held> input_gain;
    Parameter<BIAS, held> bias;
    Parameter<SLOPE, held> slope;
    Parameter<THRESHOLD, held> threshold;

    SWEEP_DEVICE void load(const Arguments &a, int set, int first) {
        alpha_s.load(a, set, first);
        alpha_r.load(a, set, first);
        noise.load(a, set, first);
        gain.load(a, set, first);
        input_gain.load(a, set, first);
        bias.load(a, set, first);
        slope.load(a, set, first);
        threshold.load(a, set, first);
    }
};

#endif
