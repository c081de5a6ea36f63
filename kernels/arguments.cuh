// What the host hands to a kernel. Sizes and switches are macros, fixed when the kernel is compiled for a job. Arrays come
// as addresses in one structure, passed by value; sweep/backends/compiled/layout.py fills it in the same order.
//
// All arrays of sets are [row][set], so that neighbouring threads touch neighbouring numbers. The host pads `sets` to whole
// tiles with copies of a real set, so a kernel never meets a tile that is only partly full.
//
//   REAL               float or double: the type of the state
//   UNITS              N
//   ACTIVATION         name of a function of activations.cuh
//   SEQUENTIAL         1: r sees the new x (the default scheme), 0: the old one (textbook explicit Euler)
//   COMPENSATED        1: x and r are Kahan sums
//   COUPLING           0: no weights, 1: one matrix for all sets, 2: each set chooses a matrix, scales or replaces entries
//   RUNS               0: no set scales weights. Else the units as sources, cut into so many runs: all weights to a unit from
//                      such a run have the same factor
//   EACH_PARAMETER(X)  X(name, mode, neutral) for every parameter of the equations. The Mode says whether it varies by unit,
//                      by set, by both or not at all; with the value `neutral` it changes nothing
//   STIMULI            number of inputs to choose from; 0: no input
//   INPUT_UNITS        1: the input is the same for all units, else UNITS
//   MOMENTS_X, _R      1: mean, 2: mean and variance
//   EACH_RUNNING(X)    X(row, variable, function) for every running number; the function is one of observables.cuh
//   RUNNING_X, _R      number of running numbers of x and of r
//   COMPARISONS        number of series (targets times lags) that r is compared with
//   CORRELATION, MSE   1: compare in this way
//   READINGS           0: r is compared in every step. Else the number of readings: of the different ways in which comparisons
//                      read r, as its mean over the steps of each measurement
//   READING_OF         the number of the reading of each comparison
//   TARGET_UNITS       1: the series are the same for all units, else UNITS
//   RECORD_X, _R       1: keep the trajectory
//   DETECT             1: look for the step at which a set diverges, and do nothing else
//   STAGE              steps of the series held in shared memory at a time; 0: they are read from device memory
//   UNROLL             steps in a turn of the time loop, a multiple of the steps that one call of the noise serves
//   CONSTANTS          how many numbers are passed by value
//   BY_VALUE           1: weights, and parameters that vary by unit alone, are among them
//   ARGUMENTS_BYTES    size of the structure on the host
//   MIN_THREAD_BLOCKS  thread blocks per multiprocessor; the compiler must leave registers for so many

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
typedef LANE lane;  // on a GPU a number of one set; on a CPU a vector with one number of each of several sets
typedef unsigned int word;
constexpr int WIDTH = sizeof(lane) / sizeof(real);

// What a parameter varies by. NEUTRAL: it has the value that changes nothing, 1 for a factor and 0 for a term.
enum Mode { NEUTRAL, COMMON, BY_UNIT, BY_SET, BY_BOTH };
#define SWEEP_NUMBER(name, mode, neutral) name,
#define SWEEP_MODE(name, mode, neutral) mode,
#define SWEEP_NEUTRAL(name, mode, neutral) neutral,
namespace parameters {
enum { EACH_PARAMETER(SWEEP_NUMBER) count };
}
constexpr int PARAMETERS = parameters::count;
constexpr int modes[PARAMETERS] = {EACH_PARAMETER(SWEEP_MODE)};
constexpr real neutrals[PARAMETERS] = {EACH_PARAMETER(SWEEP_NEUTRAL)};

constexpr int COLUMNS_INPUT = STIMULI * INPUT_UNITS;
constexpr int COLUMNS_TARGET = COMPARISONS * TARGET_UNITS;
constexpr int COLUMNS = COLUMNS_INPUT + READINGS + (CORRELATION + MSE) * COLUMNS_TARGET;
SWEEP_DEVICE constexpr int reading_of(int comparison) {
    constexpr int readings[] = {READING_OF};
    return readings[comparison];
}

// The numbers of a segment: sums of target deviations, and for each reading these four.
enum OfReading { OPEN_BEFORE, OPEN_AFTER, MEASURED_BEFORE, MEASURED, OF_READING };
constexpr int OF_SEGMENT = COLUMNS_TARGET + READINGS * OF_READING;

// The sums for the moments are flushed to float64 at the end of each segment: 16, 32, 64, ... 1024, 2048, 3072, ... steps
// after the transient. The first segments are short, so that a start far from the later values is soon out of the sums.
constexpr word FIRST_SEGMENT = 16, LONGEST_SEGMENT = 1024;

// The end of the segment that a step belongs to (the first step after it), and below it the segment's first step. All are
// counted from the end of the transient.
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

// Four numbers that are loaded and stored together.
struct alignas(4 * sizeof(real) < 16 ? 4 * sizeof(real) : 16) Quad {
    real of[4];
};

struct Arguments {
    real *state;                        // [x, r, lost x, lost r][unit][set]
    const real *rates;                  // [unit][set]: r before the step; only for product.cu, where a launch is one step
    real *new_rates;                    // [unit][set]: r after the step; only for product.cu
    real *sums;                         // [sum][unit][set]: the sums of a segment so far; only for product.cu
    double *moments;                    // [mean x, m2 x, mean r, m2 r; only those asked for][unit][set]
                                        //     then, if correlations are asked for, [mean, m2 of each reading][unit][set]
    real *running;                      // [running number][unit][set]
    double *comparisons;                // [products, squares][comparison][unit][set]
    double *open;                       // [reading][unit][set]: sum of r over the measurement that has begun and not ended
    real *record_x, *record_r;          // [record][place][set]; [record][set][place] (lanes_per_set.cu);
                                        //     [set][record][place] (tile_of_sets.cpp)
    long long *diverged;                // [set]: -1, or 0 once the state is not finite (with DETECT: the first such step)
    const real *by_set;                 // [row][set]: parameters that vary by set
    const real *by_unit;                // [row][unit]: parameters that vary by unit alone
    const real *weights;                // [network][to][from]; product.cu: [network][from][to], padded
    const real *factors;                // [factor][set]: factors of weights
    const int *factor_rows;             // [run][to]: the factor of the weights to a unit from a run, or -1
    const int *run_ends;                // [run]: the unit after its last one
    const int *copies;                  // [copy][first unit, unit after the last, factor]; only for product.cu
    const real *entries;                // [entry][set]: weights that replace those of the matrix
    const int *entry_units;             // [entry][to, from]
    const int *networks, *stimuli;      // [set]
    const unsigned long long *streams;  // [set]: noise
    const real *series;                 // [step][column]: inputs, then an event for each reading, then target deviations,
                                        //     then target values
    const double *segments;             // [segment][comparison][unit or 1]: sums of target deviations;
                                        //     then [reading][of reading]: how many steps of an open measurement lie before
                                        //     the segment and before its end, how many measurements end before it and in it
    const int *places;                  // [unit]: where a record keeps the unit, or -1
    unsigned long long seed;
    word first, steps;                  // of this launch; series, records and segments begin with its first step
    word origin, end;                   // the first step after the transient, and the step after the last one
    int sets, entry_count, every;
    int records, kept;                  // records of a set in this launch, and units in each record
    real constants[CONSTANTS];          // [common parameters][by unit][weights]
};
static_assert(sizeof(Arguments) == ARGUMENTS_BYTES, "the host lays out the arguments differently from struct Arguments");

// at(): the address of a set in a row of an array. load() and store(): the numbers of a lane at an address.
template <typename number> SWEEP_DEVICE number *at(number *array, int row, int sets, int set) {
    return array + (long long)row * sets + set;
}
SWEEP_DEVICE lane load(const real *place) { return *(const lane *)place; }
SWEEP_DEVICE lane common(real value) { return lanes::broadcast<lane>(value); }  // the same for every set
SWEEP_DEVICE void store(real *place, lane value) { *(lane *)place = value; }

// ------------------------------------------------------------------------------------------------------- parameters

SWEEP_DEVICE constexpr int rows_of(int mode) { return mode == BY_SET ? 1 : mode == BY_BOTH ? UNITS : 0; }

// The row at which a parameter begins in by_set, and below it in by_unit.
SWEEP_DEVICE constexpr int set_row(int which) { return which == 0 ? 0 : set_row(which - 1) + rows_of(modes[which - 1]); }
SWEEP_DEVICE constexpr int unit_row(int which) {
    return which == 0 ? 0 : unit_row(which - 1) + (modes[which - 1] == BY_UNIT);
}
constexpr int WEIGHTS_AT = PARAMETERS + unit_row(PARAMETERS) * UNITS;  // where the weights begin in the constants

// A parameter of `held` units as a lane holds it. A parameter that varies by set is in registers, and so is one that varies
// by unit and is not passed by value; the others are read from the constants.
template <int which, int held> struct Parameter {
    static constexpr int mode = modes[which];
    static constexpr real neutral = neutrals[which];
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
            return common(neutral);
        else if constexpr (mode == COMMON)
            return common(a.constants[which]);
        else if constexpr (!in_registers)
            return common(a.constants[PARAMETERS + unit_row(which) * UNITS + i]);
        else
            return own[one ? 0 : i];
    }
};

template <int held> struct Parameters {
#define SWEEP_MEMBER(name, mode, neutral) Parameter<parameters::name, held> name;
    EACH_PARAMETER(SWEEP_MEMBER)

    SWEEP_DEVICE void load(const Arguments &a, int set, int first) {
#define SWEEP_LOAD(name, mode, neutral) name.load(a, set, first);
        EACH_PARAMETER(SWEEP_LOAD)
    }
};

#endif
