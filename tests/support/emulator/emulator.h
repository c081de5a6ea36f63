// Runs CUDA kernels on a CPU, for tests: g++ -include emulator.h compiles the kernel's own source, and a launch runs
// its blocks one after the other, every CUDA thread a fibre (a stack of its own, switched by longjmp).
//
// The order is random, from a seed: of the blocks, of the warps of a block, of the lanes of a warp. A lane runs until
// it comes to a synchronisation or ends. So a kernel that lacks a barrier gives another result under another seed.
// Strict where hardware is lenient, because such a kernel works only sometimes:
//   - a barrier is complete when every thread of the block has come to it, by the same line; a thread that has ended
//     never comes. __syncwarp, shuffles and votes wait in the same way for the lanes of their mask, and for no others
//     (in a last warp that is not whole: for those that exist);
//   - a shuffle must not read a lane that is not in its mask or does not exist.
// Not found: an update that loses another one (s[0] += x where an atomic is needed): a lane is never interrupted.
//
// Shared memory is NaN when a block starts. It, the stacks and the arrays (see memory.py) end at pages nobody may
// touch. There are no static __shared__ arrays: kernels say SWEEP_DYNAMIC_SHARED(type, name), in a function.

#define SWEEP_EMULATED 1

#include "fibres.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define SWEEP_DYNAMIC_SHARED(type, name) type *const name = reinterpret_cast<type *>(emulator::shared)

namespace emulator {
namespace {

bool among(unsigned mask, unsigned lane) { return mask >> lane & 1; }

// All lanes of the mask have come: they get what they asked for and go on.
void exchange(unsigned first, unsigned mask) {
    Fibre *const lanes = fibres + first;
    unsigned votes = 0;
    for (unsigned i = 0; i < LANES; ++i) votes |= unsigned(among(mask, i) && lanes[i].given) << i;
    for (unsigned i = 0; i < LANES; ++i) {
        if (!among(mask, i)) continue;
        const Meeting &m = lanes[i].meeting;
        if (!m.same(fibres[self].meeting)) {
            say("lanes of a warp meet at different operations");
            say_waiting(first, first + LANES - __builtin_clz(mask));
            give_up();
        }
        if (m.source >= 0 && !among(mask, m.source)) {
            say("lane %u asks by %s (%s:%d) for the value of lane %d, which is not among the lanes of 0x%08x", i,
                m.name, m.file, m.line, m.source, mask);
            give_up();
        }
        lanes[i].got = m.source >= 0 ? lanes[m.source].given : votes;
        wake(first + i);
    }
    waiting[first / LANES] &= ~mask;
}

void meet_block(const char *file, int line) {
    fibres[self].meeting = {"__syncthreads", file, line, 0, -1};
    stop(Fibre::WAITING);
    if (++at_barrier == blockDim.x) {
        at_barrier = 0;
        for (unsigned i = 0; i < blockDim.x; ++i) {
            if (fibres[i].meeting.same(fibres[self].meeting)) continue;
            say("threads meet at different barriers");
            say_waiting(0, blockDim.x);
            give_up();
        }
        for (unsigned i = 0; i < blockDim.x; ++i) wake(i);
    }
    pause();
}

unsigned long long meet_warp(const Meeting &meeting, unsigned long long given) {
    Fibre &me = fibres[self];
    const unsigned warp = self / LANES, first = warp * LANES, lanes = blockDim.x - first;
    if (!among(meeting.mask, self % LANES)) {
        say("a lane calls %s (%s:%d) but is not among the lanes of 0x%08x", meeting.name, meeting.file, meeting.line,
            meeting.mask);
        give_up();
    }
    me.meeting = meeting;
    me.given = given;
    stop(Fibre::WAITING);
    waiting[warp] |= 1u << self % LANES;
    const unsigned mask = meeting.mask & (lanes < LANES ? (1u << lanes) - 1 : ~0u);
    bool complete = (waiting[warp] & mask) == mask;
    for (unsigned i = 0; complete && i < LANES; ++i)
        complete = !among(mask, i) || fibres[first + i].meeting.mask == meeting.mask;
    if (complete) exchange(first, mask);
    pause();
    return me.got;
}

template <typename T>
T shuffle(const char *name, unsigned mask, T value, int source, int width, const char *file, int line) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= sizeof(unsigned long long), "a shuffle moves numbers");
    if (width < 1 || width > int(LANES) || (width & (width - 1))) {
        say("%s (%s:%d) has width %d, which must be 1, 2, 4, 8, 16 or 32", name, file, line, width);
        give_up();
    }
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = meet_warp({name, file, line, mask, source}, bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace
}  // namespace emulator

// ------------------------------------------------------------------------------------------------- what kernels call

#define SWEEP_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(SWEEP_SITE) { emulator::meet_block(file, line); }
static inline void __syncwarp(unsigned mask = ~0u, SWEEP_SITE) {
    emulator::meet_warp({"__syncwarp", file, line, mask, -1}, 0);
}
static inline unsigned __ballot_sync(unsigned mask, int vote, SWEEP_SITE) {
    return emulator::meet_warp({"__ballot_sync", file, line, mask, -1}, vote);
}
static inline int __any_sync(unsigned mask, int vote, SWEEP_SITE) {
    return emulator::meet_warp({"__any_sync", file, line, mask, -1}, vote != 0) != 0;
}
static inline int __all_sync(unsigned mask, int vote, SWEEP_SITE) {
    return !emulator::meet_warp({"__all_sync", file, line, mask, -1}, !vote);
}

// Lanes of a segment of `width`; a lane beyond it is not read: its own value comes back.
template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, SWEEP_SITE) {
    const int first = threadIdx.x % warpSize & -width;
    return emulator::shuffle("__shfl_sync", mask, value, first + (source & (width - 1)), width, file, line);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, SWEEP_SITE) {
    const int lane = threadIdx.x % warpSize, source = lane ^ bits;
    const int read = source > (lane | (width - 1)) ? lane : source;
    return emulator::shuffle("__shfl_xor_sync", mask, value, read, width, file, line);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize, SWEEP_SITE) {
    const int lane = threadIdx.x % warpSize, source = lane + by;
    const int read = source > (lane | (width - 1)) ? lane : source;
    return emulator::shuffle("__shfl_down_sync", mask, value, read, width, file, line);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize, SWEEP_SITE) {
    const int lane = threadIdx.x % warpSize, source = lane - by;
    const int read = source < (lane & -width) ? lane : source;
    return emulator::shuffle("__shfl_up_sync", mask, value, read, width, file, line);
}

template <typename T> T __ldg(const T *place) { return *place; }

// A lane is never interrupted, so that every update is atomic.
template <typename T> T atomicMin(T *place, T value) {
    const T before = *place;
    if (value < before) *place = value;
    return before;
}
