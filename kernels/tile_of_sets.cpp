// The CPU's design: one tile of sets after the other, with a vector of neighbouring sets as lane. The state of a tile stays
// in the cache for a whole launch. W r is a product in registers of ROWS units and VECTORS vectors of sets, so that each
// weight is used for VECTORS vectors and each rate for ROWS rows. The new x is computed while the sums are in registers; f
// and r have loops of their own.
//
//   h_i = g sum_j W_ij r_j + g_u (U u)_i + b_i, then one step of rate_model.cuh for every unit
//
// Calls     transient(arguments, first set, last set) and observed(...) simulate the sets [first, last), which must be whole
//           tiles. Several threads may call them at the same time, each with sets of its own.
// Memory    the arrays of the arguments are [row][set], except records. A tile works on its scratch memory, [row][TILE], in
//           which x and r have a slot for each of the last steps. Weights that all sets share are packed: for one product
//           after the other, [from][to] of its rows. A set's own weights are copied into the scratch, [to][from][TILE].
//
// Macros    those of arguments.cuh, and
//   VECTOR_BYTES  size of a vector
//   TILE          sets of a tile
//   ROWS          most units of a product
//   VECTORS       vectors of sets of a product
//   OWN_WEIGHTS   1: every set may have a matrix of its own. 0: a tile shares one; entries that a set replaces are 0 in it
//                 and added one by one, and sums over a run of units are scaled.

typedef REAL vector_of_sets __attribute__((vector_size(VECTOR_BYTES), may_alias));
#define LANE vector_of_sets
// Normals are floats even where the state is in double, so a vector of them may have more sets than a lane.
typedef float normals_of_sets __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef unsigned words_of_sets __attribute__((vector_size(VECTOR_BYTES), may_alias));

#include "noise.cuh"
#include "observables.cuh"
#include "rate_model.cuh"
#include "time_loop.cuh"

extern "C" void *aligned_alloc(__SIZE_TYPE__ alignment, __SIZE_TYPE__ size);
extern "C" void free(void *memory);

// The compiler keeps sums in registers only if it unrolls the loops over them completely.
#define SWEEP_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define SWEEP_UNROLL(times) SWEEP_PRAGMA(unroll times)
#define SWEEP_ROLLED SWEEP_PRAGMA(nounroll)
#else
#define SWEEP_UNROLL(times) SWEEP_PRAGMA(GCC unroll times)
#define SWEEP_ROLLED SWEEP_PRAGMA(GCC unroll 1)
#endif

constexpr int LINE = 64;
constexpr int NOISE_GROUPS = (UNITS + NOISE_UNITS - 1) / NOISE_UNITS;
constexpr int NORMALS = VECTOR_BYTES / sizeof(float);
typedef float normals_of_lane __attribute__((vector_size(WIDTH * sizeof(float)), may_alias));
constexpr int PRODUCT_SETS = VECTORS * WIDTH;  // sets that the product takes at once
constexpr int MATRIX_PRODUCTS = (UNITS + ROWS - 1) / ROWS;
// Units in products of ROWS rows; the other products have a row less.
constexpr int FULL = (UNITS - MATRIX_PRODUCTS * (ROWS - 1)) * ROWS;
constexpr bool SEES_X = MOMENTS_X || RUNNING_X, SEES_R = MOMENTS_R || RUNNING_R || COMPARISONS;
// The number of steps whose states are kept and then observed together, so that each sum is read and written once for all.
constexpr int KEPT = COMPARISONS ? 32 : SEES_X || SEES_R ? 8 : 2;
// Comparisons are divided among products in the same way as units.
constexpr int MOST_SERIES = 6, SERIES_PRODUCTS = (COMPARISONS + MOST_SERIES - 1) / MOST_SERIES;
constexpr int SERIES = COMPARISONS ? (COMPARISONS + SERIES_PRODUCTS - 1) / SERIES_PRODUCTS : 1;
constexpr int FULL_SERIES = (COMPARISONS - SERIES_PRODUCTS * (SERIES - 1)) * SERIES;
static_assert(TILE % PRODUCT_SETS == 0, "a tile must be whole products");
static_assert(!NOISY || TILE % NORMALS == 0, "a tile must be whole vectors of normals");

// The comparisons, those of a reading after each other.
struct ByReading {
    int start[READINGS + 1], comparison[COMPARISONS ? COMPARISONS : 1];
};
constexpr ByReading by_reading() {
    ByReading all = {};
    int count = 0;
    for (int reading = 0; reading < READINGS; ++reading) {
        for (int c = 0; c < COMPARISONS; ++c)
            if (reading_of(c) == reading) all.comparison[count++] = c;
        all.start[reading + 1] = count;
    }
    return all;
}
constexpr ByReading BY_READING = by_reading();

// Steps [begin, end) of those kept that belong to one measurement, and 1 / (number of its steps) if it ends with them, else 0.
struct Piece {
    int begin, end;
    real share;
};

// What is kept of a unit from step to step, besides its state.
struct UnitOfSets {
    real lost_x[COMPENSATED ? TILE : 0], lost_r[COMPENSATED ? TILE : 0];
    real sums[SUMS][TILE];
    real running[RUNNING][TILE];
};

// Everything of a tile that is kept from step to step.
struct Scratch {
    real r[KEPT][UNITS][TILE];  // a slot for each of the last steps
    real x[SEES_X ? KEPT : 1][UNITS][TILE];
    UnitOfSets units[UNITS];
    real activations[ROWS * TILE];  // z, then f(z)
    real recurrent[RUNS && !OWN_WEIGHTS ? ROWS * TILE : 0];  // W r from the runs so far
    real weights[OWN_WEIGHTS ? UNITS * UNITS : 0][TILE];
    float normals[NOISY ? NOISE_STEPS : 0][NOISE_GROUPS * NOISE_UNITS][TILE];
    word streams[NOISY ? 2 : 0][TILE];  // low words, high words
    Piece pieces[READINGS][KEPT];
    int piece_count[READINGS];
    real unsound[TILE];
    long long diverged[TILE];
};

// What all units have in common in a step: the inputs, the slots of the state before and after the step, which of the normals
// to use, and whether the step is recorded.
struct Step {
    const real *inputs;
    int before, after, phase;
    bool recorded;
};

struct TileOfSets {
    const Arguments &a;
    const int set;  // the first set of the tile
    Scratch &own;
    const real *packed;
    int until, record;
    int last;             // the slot of the current state
    int unseen = 0;       // how many of the last steps have not been observed yet
    int begins;           // the segment that begins with the first of these, or -1
    const real *targets;  // the series of the first of these, without the inputs

    SWEEP_DEVICE TileOfSets(const Arguments &a, int set, Scratch &scratch) : a(a), set(set), own(scratch) {
        // After the transient a step has the slot of its number, however the steps are cut into launches. So the same steps are
        // observed together, and their sums are rounded in the same way.
        last = a.first > a.origin ? (a.first - a.origin - 1) % KEPT : KEPT - 1;
        for (int i = 0; i < UNITS; ++i) {
            for (int t = 0; t < TILE; ++t) {
                *x(last, i, t) = *at(a.state, STATE_X * UNITS + i, a.sets, set + t);
                own.r[last][i][t] = *at(a.state, STATE_R * UNITS + i, a.sets, set + t);
                if constexpr (COMPENSATED) {
                    own.units[i].lost_x[t] = *at(a.state, LOST_X * UNITS + i, a.sets, set + t);
                    own.units[i].lost_r[t] = *at(a.state, LOST_R * UNITS + i, a.sets, set + t);
                }
            }
        }
        if constexpr (OWN_WEIGHTS) unpack();
        const int network = COUPLING == 2 && !OWN_WEIGHTS ? a.networks[set] : 0;
        packed = a.weights + (long long)network * UNITS * UNITS;
        for (int t = 0; t < TILE; ++t) own.diverged[t] = a.diverged[set + t];
        if constexpr (NOISY)
            for (int t = 0; t < TILE; ++t) {
                own.streams[0][t] = (word)a.streams[set + t];
                own.streams[1][t] = (word)(a.streams[set + t] >> 32);
            }
    }

    SWEEP_DEVICE real *x(int slot, int unit, int place) const { return &own.x[SEES_X ? slot : 0][unit][place]; }

    SWEEP_DEVICE void unpack() {
        for (int t = 0; t < TILE; ++t) {
            const real *matrix = a.weights + (long long)a.networks[set + t] * UNITS * UNITS;
            for (int w = 0; w < UNITS * UNITS; ++w) own.weights[w][t] = matrix[w];
            for (int run = 0, first = 0; run < RUNS; first = a.run_ends[run++])
                for (int to = 0; to < UNITS; ++to) {
                    const int row = a.factor_rows[run * UNITS + to];
                    if (row < 0) continue;
                    const real factor = *at(a.factors, row, a.sets, set + t);
                    for (int from = first; from < a.run_ends[run]; ++from) own.weights[to * UNITS + from][t] *= factor;
                }
            for (int e = 0; e < a.entry_count; ++e)
                own.weights[a.entry_units[2 * e] * UNITS + a.entry_units[2 * e + 1]][t] =
                    *at(a.entries, e, a.sets, set + t);
        }
    }

    template <int steps, bool observed> SWEEP_DEVICE void advance(word k, const real *row, int starts) {
        constexpr int slots = observed ? KEPT : 2;
        for (int s = 0; s < steps; ++s) {
            const word step = a.first + k + s;
            const int phase = step % NOISE_STEPS;
            if (NOISY && (phase == 0 || steps == 1)) draw(own, step / NOISE_STEPS, a.seed);
            const bool recorded = (RECORD_X || RECORD_R) && observed && --until == 0;
            const Step one = {row + s * COLUMNS, last, last + 1 < slots ? last + 1 : 0, phase, recorded};
            for (int unit = 0; unit < FULL; unit += ROWS) advance_rows<ROWS>(unit, one);
            if constexpr (FULL < UNITS)
                for (int unit = FULL; unit < UNITS; unit += ROWS - 1) advance_rows<ROWS - 1>(unit, one);
            last = one.after;
            if constexpr (observed && (SEES_X || SEES_R)) {
                if (unseen++ == 0) {
                    begins = starts;
                    targets = one.inputs + COLUMNS_INPUT;
                }
                if (last == KEPT - 1) see();
            }
            if (recorded) {
                until = a.every;
                ++record;
            }
            if constexpr (DETECT) detect(step);
        }
    }

    // Draw the normals of all units for the steps that one call of the noise serves. Not inlined, because it is long and
    // called from many places. Static, so that the members of the tile may stay in registers during the call.
    static __attribute__((noinline)) void draw(Scratch &own, word step_group, unsigned long long seed) {
        constexpr int places = TILE / NORMALS, all = NOISE_GROUPS * places;
        constexpr int count = all % 2 == 0 ? 2 : 1;
        typedef philox::Floats<VECTOR_BYTES, count> Floats;
        typedef philox::Words<VECTOR_BYTES, count> Words;
        SWEEP_ROLLED
        for (int first = 0; first < all; first += count) {
            const auto unit_group = [&](int i) { return (first + i) / places; };
            const auto place = [&](int i) { return (first + i) % places * NORMALS; };
            const auto stream = [&](int part) {
                return Words::each([&](int i) { return *(const words_of_sets *)&own.streams[part][place(i)]; });
            };
            const Words unit_groups = Words::each([&](int i) { return unit_group(i) - words_of_sets{}; });
            Floats four[4];
            philox::normals(step_group, unit_groups, stream(0), stream(1), seed, four);
            SWEEP_UNROLL(4)
            for (int n = 0; n < 4; ++n)
                SWEEP_UNROLL(2)
                for (int i = 0; i < count; ++i) {
                    const int unit = unit_group(i) * NOISE_UNITS + n % NOISE_UNITS;
                    *(normals_of_sets *)&own.normals[n / NOISE_UNITS][unit][place(i)] = four[n].of[i];
                }
        }
    }

    // A step of some neighbouring units, as three short loops one after the other. A whole step is a long chain of operations.
    // The processor looks only some hundred instructions ahead, so in a single loop it would wait most of the time.
    template <int rows> SWEEP_DEVICE void advance_rows(int first, const Step &step) {
        for (int place = 0; place < TILE; place += PRODUCT_SETS) currents<rows>(first, place, step);
        SWEEP_ROLLED
        for (int t = 0; t < rows * TILE; t += WIDTH) store(&own.activations[t], lanes::activation(load(&own.activations[t])));
        SWEEP_ROLLED
        for (int i = 0; i < rows; ++i)
            SWEEP_ROLLED
            for (int place = 0; place < TILE; place += WIDTH) rates(i, first + i, place, step);
    }

    // Compute W r and x after the step; store z.
    template <int rows> SWEEP_DEVICE void currents(int first, int place, const Step &step) {
        lane sums[rows][VECTORS] = {};
        if constexpr (COUPLING > 0 && (RUNS == 0 || OWN_WEIGHTS)) {
            add_products<rows>(first, place, step, 0, UNITS, sums);
        } else if constexpr (COUPLING > 0) {
            for (int run = 0, from = 0; run < RUNS; from = a.run_ends[run++]) {
                add_products<rows>(first, place, step, from, a.run_ends[run], sums);
                SWEEP_UNROLL(16)
                for (int i = 0; i < rows; ++i) {
                    const int row = a.factor_rows[run * UNITS + first + i];
                    SWEEP_UNROLL(16)
                    for (int v = 0; v < VECTORS; ++v) {
                        real *const before = &own.recurrent[i * TILE + place + v * WIDTH];
                        if (row >= 0) sums[i][v] *= load(at(a.factors, row, a.sets, set + place + v * WIDTH));
                        if (run > 0) sums[i][v] += load(before);
                        if (run + 1 < RUNS) {
                            store(before, sums[i][v]);
                            sums[i][v] = lane{};
                        }
                    }
                }
            }
        }
        SWEEP_UNROLL(16)
        for (int i = 0; i < rows; ++i)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v)
                store(&own.activations[i * TILE + place + v * WIDTH], current(first + i, place + v * WIDTH, sums[i][v], step));
    }

    // Add the products of the weights from some units with their rates.
    template <int rows>
    SWEEP_DEVICE void add_products(int first, int place, const Step &step, int from, int end, lane (&sums)[rows][VECTORS]) {
        const real *weights = packed + first * UNITS;
        SWEEP_UNROLL(4)
        for (int j = from; j < end; ++j) {
            lane rates[VECTORS];
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) rates[v] = load(&own.r[step.before][j][place + v * WIDTH]);
            SWEEP_UNROLL(16)
            for (int i = 0; i < rows; ++i)
                SWEEP_UNROLL(16)
                for (int v = 0; v < VECTORS; ++v)
                    sums[i][v] = lanes::fma(weight(weights[j * rows + i], first + i, j, place + v * WIDTH), rates[v], sums[i][v]);
        }
    }

    SWEEP_DEVICE lane weight(const real &shared, int to, int from, int place) const {
        if constexpr (OWN_WEIGHTS)
            return load(&own.weights[to * UNITS + from][place]);
        else
            return common(shared);
    }

    // Compute x after the step, and return z.
    SWEEP_DEVICE lane current(int unit, int place, lane recurrent, const Step &step) {
        Parameters<1> p;
        p.load(a, set + place, unit);
        Unit u = {};
        u.x = load(x(step.before, unit, place));
        if constexpr (COMPENSATED) u.lost_x = load(&own.units[unit].lost_x[place]);
        if constexpr (COUPLING == 2 && !OWN_WEIGHTS) {
            for (int e = 0; e < a.entry_count; ++e)
                if (a.entry_units[2 * e] == unit)
                    recurrent = lanes::fma(load(at(a.entries, e, a.sets, set + place)),
                                           load(&own.r[step.before][a.entry_units[2 * e + 1]][place]), recurrent);
        }
        lane input = {}, xi = {};
        if constexpr (STIMULI > 0) {
            const int column = INPUT_UNITS > 1 ? unit : 0;
            if constexpr (STIMULI == 1)
                input = common(step.inputs[column]);
            else
                for (int t = 0; t < WIDTH; ++t) input[t] = step.inputs[a.stimuli[set + place + t] * INPUT_UNITS + column];
        }
        if constexpr (NOISY) xi = __builtin_convertvector(*(const normals_of_lane *)&own.normals[step.phase][unit][place], lane);
        const lane z = step_x(a, p, 0, u, drive(a, p, 0, recurrent, input), xi);
        store(x(step.after, unit, place), u.x);
        if constexpr (COMPENSATED) store(&own.units[unit].lost_x[place], u.lost_x);
        return z;
    }

    // Compute r after the step.
    SWEEP_DEVICE void rates(int i, int unit, int place, const Step &step) {
        Parameters<1> p;
        p.load(a, set + place, unit);
        Unit u = {};
        u.x = load(x(step.after, unit, place));
        u.r = load(&own.r[step.before][unit][place]);
        if constexpr (COMPENSATED) u.lost_r = load(&own.units[unit].lost_r[place]);
        step_r(a, p, 0, u, load(&own.activations[i * TILE + place]));
        store(&own.r[step.after][unit][place], u.r);
        if constexpr (COMPENSATED) store(&own.units[unit].lost_r[place], u.lost_r);
        if constexpr (DETECT) {
            const lane before = unit ? load(&own.unsound[place]) : lane{};
            store(&own.unsound[place], before + unsound(u));
        }
        if (step.recorded && a.places[unit] >= 0) {
            for (int t = 0; t < WIDTH; ++t) {
                const long long number = ((long long)(set + place + t) * a.records + record) * a.kept + a.places[unit];
                if (RECORD_X) a.record_x[number] = u.x[t];
                if (RECORD_R) a.record_r[number] = u.r[t];
            }
        }
    }

    // Observe the steps that have not been observed yet.
    SWEEP_DEVICE void see() {
        const int from = last + 1 - unseen;
        if constexpr (READINGS > 0) find_pieces();
        for (int unit = 0; unit < UNITS; ++unit) {
            SWEEP_ROLLED
            for (int place = 0; place < TILE; place += PRODUCT_SETS) {
                if (unseen == KEPT)
                    see<KEPT>(unit, place, from, begins >= 0);
                else
                    for (int slot = from; slot <= last; ++slot) see<1>(unit, place, slot, begins >= 0 && slot == from);
            }
            for (int place = 0; place < TILE; place += PRODUCT_SETS) {
                if constexpr (READINGS > 0)
                    read(unit, place, from);
                else if constexpr (COMPARISONS > 0)
                    compare(unit, place, from);
            }
        }
        unseen = 0;
    }

    // Observe some slots of a unit, for neighbouring sets. `begins` says whether a segment begins with the first of them.
    template <int steps> SWEEP_DEVICE void see(int unit, int place, int from, bool begins) {
        UnitOfSets &unit_own = own.units[unit];
        Statistics seen[VECTORS];
        SWEEP_UNROLL(16)
        for (int v = 0; v < VECTORS; ++v) {
            const int here = place + v * WIDTH;
            if (begins)
                seen[v].begin(state(unit, here, from));
            else
                seen[v].each_moment([&](int sum, lane &value) { value = load(&unit_own.sums[sum][here]); });
            seen[v].each_running([&](int row, lane &value) { value = load(&unit_own.running[row][here]); });
        }
        SWEEP_UNROLL(2)
        for (int slot = from; slot < from + steps; ++slot)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) seen[v].see(state(unit, place + v * WIDTH, slot));
        SWEEP_UNROLL(16)
        for (int v = 0; v < VECTORS; ++v) {
            const int here = place + v * WIDTH;
            seen[v].each_moment([&](int sum, lane &value) {
                if (begins || !Statistics::is_shift(sum)) store(&unit_own.sums[sum][here], value);
            });
            seen[v].each_running([&](int row, lane &value) { store(&unit_own.running[row][here], value); });
            if (begins)
                for (int sum = SUMS_COMPARED; sum < SUMS; ++sum) store(&unit_own.sums[sum][here], lane{});
        }
    }

    SWEEP_DEVICE Unit state(int unit, int place, int slot) const {
        Unit u = {};
        u.x = load(x(slot, unit, place));
        u.r = load(&own.r[slot][unit][place]);
        return u;
    }

    // Find out which of the unseen steps belong to measurements.
    SWEEP_DEVICE void find_pieces() {
        for (int reading = 0; reading < READINGS; ++reading) {
            Piece *pieces = own.pieces[reading];
            int begin = -1;
            for (int s = 0; s < unseen; ++s) {
                const real event = targets[s * COLUMNS + reading];
                if (event < 0) continue;
                if (begin < 0) begin = s;
                if (event > 0) {
                    *pieces++ = {begin, s + 1, event};
                    begin = -1;
                }
            }
            if (begin >= 0) *pieces++ = {begin, unseen, 0};
            own.piece_count[reading] = pieces - own.pieces[reading];
        }
    }

    // Read the rates of a unit where they were measured, for neighbouring sets, and compare their means. The sum over the
    // steps of a piece is a difference of two running sums, which all readings share.
    SWEEP_DEVICE void read(int unit, int place, int from) {
        real(*const sums)[TILE] = own.units[unit].sums;
        lane shift[VECTORS], running[KEPT + 1][VECTORS], means[KEPT][VECTORS];
        SWEEP_UNROLL(16)
        for (int v = 0; v < VECTORS; ++v) {
            shift[v] = load(&sums[SUMS_X][place + v * WIDTH]);
            running[0][v] = lane{};
        }
        const auto deviation = [&](int s, int v) { return load(&own.r[from + s][unit][place + v * WIDTH]) - shift[v]; };
        for (int s = 0; s < unseen; ++s)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) running[s + 1][v] = running[s][v] + deviation(s, v);
        for (int reading = 0; reading < READINGS; ++reading) {
            const Piece *const pieces = own.pieces[reading];
            lane open[VECTORS];
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) {
                const int here = place + v * WIDTH;
                open[v] = begins < 0 ? load(&sums[SUMS_READINGS + reading][here])
                                     : carried(a, reading, unit, set + here, of_reading(a, begins, reading)[OPEN_BEFORE], shift[v]);
            }
            int count = 0, ends[KEPT];
            for (int p = 0; p < own.piece_count[reading]; ++p) {
                const Piece piece = pieces[p];
                const bool single = piece.end == piece.begin + 1;  // the difference of two sums would be rounded
                SWEEP_UNROLL(16)
                for (int v = 0; v < VECTORS; ++v) {
                    open[v] += single ? deviation(piece.begin, v) : running[piece.end][v] - running[piece.begin][v];
                    means[count][v] = open[v] * common(piece.share);
                    if (piece.share > 0) open[v] = lane{};
                }
                if (piece.share > 0) ends[count++] = piece.end - 1;
            }
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) store(&sums[SUMS_READINGS + reading][place + v * WIDTH], open[v]);
            compare_means(unit, place, reading, shift, means, ends, count);
        }
    }

    SWEEP_DEVICE void compare_means(int unit, int place, int reading, const lane *shift, const lane (*means)[VECTORS],
                                    const int *ends, int count) {
        real(*const sums)[TILE] = own.units[unit].sums;
        if constexpr (SUMS_READ > 0) {
            real(*const moments)[TILE] = sums + SUMS_READINGS + READINGS + reading * SUMS_READ;
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) {
                const int here = place + v * WIDTH;
                Moments<ORDER_READ> read;
                if (begins >= 0)
                    read.begin(shift[v]);
                else
                    read.each(0, [&](int row, lane &value) { value = load(&moments[row][here]); });
                for (int i = 0; i < count; ++i) read.add(means[i][v]);
                read.each(0, [&](int row, lane &value) { store(&moments[row][here], value); });
            }
        }
        if (count == 0) return;
        for (int k = BY_READING.start[reading]; k < BY_READING.start[reading + 1]; ++k) {
            const int c = BY_READING.comparison[k];
            const real *const deviations = targets + READINGS + c * TARGET_UNITS + (TARGET_UNITS > 1 ? unit : 0);
            if constexpr (CORRELATION)
                add_means(sums[SUMS_COMPARED + c] + place, means, ends, count, deviations,
                          [](lane sum, lane mean, lane y, int) { return with_product(sum, mean, y); });
            if constexpr (MSE)
                add_means(sums[SUMS_COMPARED + CORRELATION * COMPARISONS + c] + place, means, ends, count,
                          deviations + CORRELATION * COLUMNS_TARGET,
                          [&](lane sum, lane mean, lane y, int v) { return with_square(sum, mean, y - shift[v]); });
        }
    }

    template <typename With>
    SWEEP_DEVICE void add_means(real *sum, const lane (*means)[VECTORS], const int *ends, int count, const real *column, With with) {
        lane own_sum[VECTORS];
        SWEEP_UNROLL(16)
        for (int v = 0; v < VECTORS; ++v) own_sum[v] = load(sum + v * WIDTH);
        for (int i = 0; i < count; ++i)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v)
                own_sum[v] = with(own_sum[v], means[i][v], common(column[ends[i] * COLUMNS]), v);
        SWEEP_UNROLL(16)
        for (int v = 0; v < VECTORS; ++v) store(sum + v * WIDTH, own_sum[v]);
    }

    // Compare the rates of every step with the series. This is a product again, for some series at a time.
    SWEEP_DEVICE void compare(int unit, int place, int from) {
        for (int first = 0; first < FULL_SERIES; first += SERIES) compare<SERIES>(unit, place, from, first);
        if constexpr (FULL_SERIES < COMPARISONS)
            for (int first = FULL_SERIES; first < COMPARISONS; first += SERIES - 1)
                compare<SERIES - 1>(unit, place, from, first);
    }

    template <int series> SWEEP_DEVICE void compare(int unit, int place, int from, int first) {
        const real *const ours = targets + (TARGET_UNITS > 1 ? unit : 0) + first * TARGET_UNITS;
        if constexpr (CORRELATION) {
            const real *const shift = &own.units[unit].sums[SUMS_X][place];
            add_up<series>(unit, place, from, first, ours, [&](lane sum, lane r, lane y, int v) {
                return with_product(sum, r - load(shift + v * WIDTH), y);
            });
        }
        if constexpr (MSE)
            add_up<series>(unit, place, from, first + CORRELATION * COMPARISONS, ours + CORRELATION * COLUMNS_TARGET,
                           [](lane sum, lane r, lane y, int) { return with_square(sum, r, y); });
    }

    template <int series, typename With>
    SWEEP_DEVICE void add_up(int unit, int place, int from, int first, const real *columns, With with) {
        lane sums[series][VECTORS];
        real(*const rows)[TILE] = &own.units[unit].sums[SUMS_COMPARED + first];
        SWEEP_UNROLL(16)
        for (int c = 0; c < series; ++c)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) sums[c][v] = load(&rows[c][place + v * WIDTH]);
        for (int s = 0; s < unseen; ++s) {
            SWEEP_UNROLL(16)
            for (int c = 0; c < series; ++c)
                SWEEP_UNROLL(16)
                for (int v = 0; v < VECTORS; ++v)
                    sums[c][v] = with(sums[c][v], load(&own.r[from + s][unit][place + v * WIDTH]),
                                      common(columns[s * COLUMNS + c * TARGET_UNITS]), v);
        }
        SWEEP_UNROLL(16)
        for (int c = 0; c < series; ++c)
            SWEEP_UNROLL(16)
            for (int v = 0; v < VECTORS; ++v) store(&rows[c][place + v * WIDTH], sums[c][v]);
    }

    SWEEP_DEVICE void detect(word step) {
        for (int t = 0; t < TILE; ++t)
            if (own.diverged[t] < 0 && !(own.unsound[t] == 0)) own.diverged[t] = step;
    }

    SWEEP_DEVICE void flush(int segment, word before, word count) {
        if constexpr (SEES_X || SEES_R) {
            if (unseen) see();
            for (int unit = 0; unit < UNITS; ++unit)
                for (int place = 0; place < TILE; place += WIDTH) {
                    Observer observer;
                    observer.each_sum([&](int sum, lane &value) { value = load(&own.units[unit].sums[sum][place]); });
                    observer.flush(a, unit, set + place, segment, before, count);
                }
        }
    }

    template <bool observed> SWEEP_DEVICE void run() {
        // Steps until the next record. A launch may begin between two records.
        until = observed ? a.every - (a.first - a.origin) % a.every : 0;
        record = 0;
        carry<observed>(true);
        time_loop<observed>(a, *this, nullptr);
        carry<observed>(false);
        for (int t = 0; t < TILE; ++t) own.unsound[t] = 0;
        for (int i = 0; i < UNITS; ++i)
            for (int t = 0; t < TILE; ++t) {
                const real x = *this->x(last, i, t), r = own.r[last][i][t];
                own.unsound[t] += (x - x) + (r - r);
                *at(a.state, STATE_X * UNITS + i, a.sets, set + t) = x;
                *at(a.state, STATE_R * UNITS + i, a.sets, set + t) = r;
                if constexpr (COMPENSATED) {
                    *at(a.state, LOST_X * UNITS + i, a.sets, set + t) = own.units[i].lost_x[t];
                    *at(a.state, LOST_R * UNITS + i, a.sets, set + t) = own.units[i].lost_r[t];
                }
            }
        for (int t = 0; t < TILE; ++t)
            a.diverged[set + t] = DETECT ? own.diverged[t] : own.unsound[t] == 0 ? own.diverged[t] : 0;
    }

    // Copy the running numbers from the arguments into the scratch, or back.
    template <bool observed> SWEEP_DEVICE void carry(bool in) {
        if constexpr (observed && RUNNING) {
            for (int row = 0; row < RUNNING * UNITS; ++row)
                for (int t = 0; t < TILE; ++t) {
                    real &here = own.units[row % UNITS].running[row / UNITS][t], &there = *at(a.running, row, a.sets, set + t);
                    (in ? here : there) = in ? there : here;
                }
        }
    }
};

// On x86 subnormal floats become 0, as on a GPU, because vector instructions may take a hundred times as long for them.
struct FlushToZero {
#ifdef __SSE__
    static constexpr unsigned FLUSH = 0x8040;
    const unsigned before = __builtin_ia32_stmxcsr();
    FlushToZero() { __builtin_ia32_ldmxcsr(before | (sizeof(real) == sizeof(float) ? FLUSH : 0)); }
    ~FlushToZero() { __builtin_ia32_ldmxcsr(before); }
#endif
};

template <bool observed> int tiles(const Arguments *given, int first, int last) {
    // A local copy. The compiler knows that no store to an array can change it, so its members may stay in registers.
    const Arguments a = *given;
    Scratch *scratch = (Scratch *)aligned_alloc(LINE, (sizeof(Scratch) + LINE - 1) / LINE * LINE);
    if (!scratch) return 1;
    const FlushToZero mode;
    for (int set = first; set < last; set += TILE) TileOfSets(a, set, *scratch).run<observed>();
    free(scratch);
    return 0;
}

// Both return 0, or 1 if there is no memory for the scratch.
extern "C" int transient(const Arguments *a, int first, int last) { return tiles<false>(a, first, last); }
extern "C" int observed(const Arguments *a, int first, int last) { return tiles<true>(a, first, last); }
