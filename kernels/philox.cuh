// Counter-based noise for a lane (words.cuh): Philox4x32-10 and Box-Muller, with the same bits as sweep/philox.py.
//
//   counter = (step group, unit group, stream low, stream high)      key = (seed low, seed high)
//   u = (w0 | 1) / 2^32,  y = int(w1) / 2^32
//   n0, n1 = +-sqrt(-2 log u) * (cos(pi/2 y), sin(pi/2 y))           bit 1 of w1 swaps the two, bit 0 is the sign
//
// One counter gives the four normals of a group of steps and units. Which group a step and a unit belong to, and which of
// its normals is theirs, depends only on the number of units (steps count from the start of the simulation):
//   units >= 2   group (step / 2, unit / 2), normal 2 (step % 2) + unit % 2
//   units == 1   group (step / 4, 0),        normal step % 4
//
// Sources: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox);
// Box & Muller, Ann. Math. Stat. 29:610 (1958).
//
// The bits are the same everywhere because each product, sum and square root is rounded to nearest by itself: under CUDA by
// intrinsics (no value is subnormal, so -ftz=true changes nothing), under g++ and clang by -ffp-contract=off.
// The relative error against float64 is below 1e-6.
// NVRTC, nvcc and g++ compile this file without any standard or CUDA header.

#ifndef SWEEP_PHILOX_CUH
#define SWEEP_PHILOX_CUH

#include "words.cuh"

#ifdef __CUDA_ARCH__
#define SWEEP_MUL(a, b) __fmul_rn(a, b)
#define SWEEP_ADD(a, b) __fadd_rn(a, b)
#else
#define SWEEP_MUL(a, b) ((a) * (b))
#define SWEEP_ADD(a, b) ((a) + (b))
#endif

namespace philox {

// How many steps and units one call of normals() serves.
SWEEP_DEVICE constexpr int steps_per_call(int units) { return units == 1 ? 4 : 2; }
SWEEP_DEVICE constexpr int units_per_call(int units) { return units == 1 ? 1 : 2; }

// Ten rounds of Philox4x32. c is the counter on entry, and the random words on return.
template <typename factors> SWEEP_DEVICE void philox4x32(factors c[4], word k0, word k1) {
    SWEEP_UNROLLED
    for (int round = 0; round < 10; ++round) {
        factors high0, low0, high2, low2;
        multiply(c[0], 0xD2511F53u, high0, low0);
        multiply(c[2], 0xCD9E8D57u, high2, low2);
        c[0] = high2 ^ (c[1] ^ k0);
        c[1] = low2;
        c[2] = high0 ^ (c[3] ^ k1);
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// The number of leading zeros of a word, with its lowest bit taken as 1.
template <typename words> SWEEP_DEVICE words leading_zeros(const words &a) {
#ifdef __CUDA_ARCH__
    return __clz((int)(a | 1u));
#else
    // Read from the exponent of a float, because every processor has vector instructions for that. The word is halved so that
    // it is never negative, and the 0.5 stands for its lowest bit. The float must not be rounded up to the next power of
    // two; to prevent it, each bit that follows a set bit is cleared.
    const words half = a >> 1;
    return (bits(SWEEP_ADD(signed_float(half & (half >> 1 ^ ~0u)), 0.5f)) >> 23 ^ ~0u) + 158u;
#endif
}

// The polynomials of sweep/philox.py: -2 log(1 - q) / q for 0 < q <= 1/2, then sin(pi/2 y) and cos(pi/2 y) for |y| <= 1/2.
template <typename lane> SWEEP_DEVICE lane log_factor(const lane &q) {
    lane p = SWEEP_ADD(SWEEP_MUL(q, 1.93527794f), -1.20175231f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.99957937f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.388670802f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.675875008f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.999751151f);
    return SWEEP_ADD(SWEEP_MUL(q, p), 2.0f);
}

template <typename lane> SWEEP_DEVICE lane quarter_sine(const lane &y, const lane &square) {
    lane p = SWEEP_ADD(SWEEP_MUL(square, -0.00462878263f), 0.0796920136f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), -0.64596498f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), 1.57079637f);
    return SWEEP_MUL(y, p);
}

template <typename lane> SWEEP_DEVICE lane quarter_cosine(const lane &square) {
    lane p = SWEEP_ADD(SWEEP_MUL(square, -0.0204145294f), 0.253602386f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), -1.23369765f);
    return SWEEP_ADD(SWEEP_MUL(square, p), 1.0f);
}

// Two standard normals from two random words.
template <typename lane>
SWEEP_DEVICE void box_muller(const words_of<lane> &radius, const words_of<lane> &angle, lane *n0, lane *n1) {
    // u = (1 - q) / 2^zeros with 0 < q <= 1/2. Shifted left by its zeros and read as signed, the word is -q 2^32.
    const words_of<lane> zeros = leading_zeros(radius);
    const lane q = SWEEP_MUL(signed_float((radius | 1u) << zeros), -0x1p-32f);
    const lane squared = SWEEP_ADD(SWEEP_MUL(q, log_factor(q)), SWEEP_MUL(signed_float(zeros), 1.38629436f));
    const lane length = from_bits(bits(square_root(squared)) ^ (angle << 31));

    const lane y = SWEEP_MUL(signed_float(angle), 0x1p-32f);
    const lane square = SWEEP_MUL(y, y);
    const lane sine = quarter_sine(y, square);
    const lane cosine = quarter_cosine(square);
    *n0 = SWEEP_MUL(length, select_by<1>(angle, sine, cosine));
    *n1 = SWEEP_MUL(length, select_by<1>(angle, cosine, sine));
}

// The four normals of one group of steps and units, in the order given at the top of this file.
SWEEP_DEVICE void normals(word step_group, word unit_group, unsigned long long stream, unsigned long long seed,
                          float four[4]) {
    word c[4] = {step_group, unit_group, (word)stream, (word)(stream >> 32)};
    philox4x32(c, (word)seed, (word)(seed >> 32));
    box_muller(c[0], c[1], four, four + 1);
    box_muller(c[2], c[3], four + 2, four + 3);
}

#ifndef __CUDACC__
// The same for many sets at once. `low` and `high` are the words of their streams.
template <int bytes, int count>
SWEEP_DEVICE void normals(word step_group, const Words<bytes, count> &unit_group, const Words<bytes, count> &low,
                          const Words<bytes, count> &high, unsigned long long seed, Floats<bytes, count> four[4]) {
    typedef Factors<bytes, 2 * count> factors;
    factors c[4] = {factors::all(step_group), taken_apart(unit_group), taken_apart(low), taken_apart(high)};
    philox4x32(c, (word)seed, (word)(seed >> 32));
    Floats<bytes, 2 * count> n0, n1;
    box_muller(joined(c[0], c[2]), joined(c[1], c[3]), &n0, &n1);
    for (int half = 0; half < 2; ++half) {
        four[2 * half] = Floats<bytes, count>::each([&](int i) { return n0.of[half * count + i]; });
        four[2 * half + 1] = Floats<bytes, count>::each([&](int i) { return n1.of[half * count + i]; });
    }
}
#endif

}  // namespace philox

#endif
