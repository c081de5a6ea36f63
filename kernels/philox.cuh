// Counter-based noise for one lane: Philox4x32-10 and Box-Muller, bit for bit what sweep/philox.py computes.
//
//   counter = (step block, unit block, stream low, stream high)      key = (seed low, seed high)
//   u = (w0 | 1) / 2^32,  y = int(w1) / 2^32
//   n0, n1 = +-sqrt(-2 log u) * (cos(pi/2 y), sin(pi/2 y))           bit 1 of w1 swaps the two, bit 0 is the sign
//
// Counter map, a function of the number of units alone (steps are absolute):
//   units >= 2   block (step / 2, unit / 2), lane 2 (step % 2) + unit % 2
//   units == 1   block (step / 4, 0),        lane step % 4
//
// Sources: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox);
// Box & Muller, Ann. Math. Stat. 29:610 (1958).
//
// The bits are the same everywhere because each product, sum and square root is rounded by itself: round-to-nearest
// intrinsics under CUDA (no value is subnormal, so -ftz=true is harmless), -ffp-contract=off under g++ and clang, where
// -fno-math-errno -fno-trapping-math let a loop over lanes become vector code, three times as fast, with the same bits.
// Relative error against float64: below 1e-6.
// No standard and no CUDA header is needed: NVRTC, nvcc and g++ compile this file as it stands.

#ifndef SWEEP_PHILOX_CUH
#define SWEEP_PHILOX_CUH

#include "lanes.cuh"

#ifdef __CUDA_ARCH__
#define SWEEP_MUL(a, b) __fmul_rn(a, b)
#define SWEEP_ADD(a, b) __fadd_rn(a, b)
#define SWEEP_SQRT(a) __fsqrt_rn(a)
#define SWEEP_BITS(a) __float_as_uint(a)
#define SWEEP_FLOAT(a) __uint_as_float(a)
#else
#define SWEEP_MUL(a, b) ((a) * (b))
#define SWEEP_ADD(a, b) ((a) + (b))
#define SWEEP_SQRT(a) __builtin_sqrtf(a)
#define SWEEP_BITS(a) philox::bits(a)
#define SWEEP_FLOAT(a) philox::from_bits(a)
#endif

namespace philox {

typedef unsigned int word;

#ifndef __CUDA_ARCH__
SWEEP_DEVICE word bits(float a) {
    word b;
    __builtin_memcpy(&b, &a, sizeof b);
    return b;
}

SWEEP_DEVICE float from_bits(word b) {
    float a;
    __builtin_memcpy(&a, &b, sizeof a);
    return a;
}
#endif

SWEEP_DEVICE word high_product(word a, word b) {
#ifdef __CUDA_ARCH__
    return __umulhi(a, b);  // the 64-bit product made NVRTC do every round in 64-bit words
#else
    return (word)((unsigned long long)a * b >> 32);
#endif
}

// How many steps and units one call of normals() serves.
SWEEP_DEVICE constexpr int steps_per_call(int units) { return units == 1 ? 4 : 2; }
SWEEP_DEVICE constexpr int units_per_call(int units) { return units == 1 ? 1 : 2; }

// Ten rounds of Philox4x32; c is counter on entry, random words on return.
SWEEP_DEVICE void philox4x32(word c[4], word k0, word k1) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int round = 0; round < 10; ++round) {
        const word c0 = c[0], c2 = c[2];
        c[0] = high_product(0xCD9E8D57u, c2) ^ c[1] ^ k0;
        c[1] = 0xCD9E8D57u * c2;
        c[2] = high_product(0xD2511F53u, c0) ^ c[3] ^ k1;
        c[3] = 0xD2511F53u * c0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// Leading zeros of an odd word.
SWEEP_DEVICE int leading_zeros(word odd) {
#ifdef __CUDA_ARCH__
    return __clz((int)odd);
#else
    // From the exponent of a float, which every vector unit can do; clearing each bit that follows a set one keeps the
    // conversion from rounding up to the next power of two.
    return 158 - (int)(bits((float)(odd & ~(odd >> 1))) >> 23);
#endif
}

// -2 log(1 - q) / q for 0 < q <= 1/2, sin(pi/2 y) and cos(pi/2 y) for |y| <= 1/2: the polynomials of sweep/philox.py.
SWEEP_DEVICE float log_factor(float q) {
    float p = SWEEP_ADD(SWEEP_MUL(q, 1.93527794f), -1.20175231f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.99957937f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.388670802f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.675875008f);
    p = SWEEP_ADD(SWEEP_MUL(q, p), 0.999751151f);
    return SWEEP_ADD(SWEEP_MUL(q, p), 2.0f);
}

SWEEP_DEVICE float quarter_sine(float y, float square) {
    float p = SWEEP_ADD(SWEEP_MUL(square, -0.00462878263f), 0.0796920136f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), -0.64596498f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), 1.57079637f);
    return SWEEP_MUL(y, p);
}

SWEEP_DEVICE float quarter_cosine(float square) {
    float p = SWEEP_ADD(SWEEP_MUL(square, -0.0204145294f), 0.253602386f);
    p = SWEEP_ADD(SWEEP_MUL(square, p), -1.23369765f);
    return SWEEP_ADD(SWEEP_MUL(square, p), 1.0f);
}

// Two standard normals from two random words.
SWEEP_DEVICE void box_muller(word radius, word angle, float *n0, float *n1) {
    // u = (1 - q) / 2^zeros with 0 < q <= 1/2: shifted to the top and read as signed, the word is -q 2^32.
    const word odd = radius | 1u;
    const int zeros = leading_zeros(odd);
    const float q = SWEEP_MUL((float)(int)(odd << zeros), -0x1p-32f);
    const float squared = SWEEP_ADD(SWEEP_MUL(q, log_factor(q)), SWEEP_MUL((float)zeros, 1.38629436f));
    const float length = SWEEP_FLOAT(SWEEP_BITS(SWEEP_SQRT(squared)) ^ (angle << 31));

    const float y = SWEEP_MUL((float)(int)angle, 0x1p-32f);
    const float square = SWEEP_MUL(y, y);
    const float sine = quarter_sine(y, square);
    const float cosine = quarter_cosine(square);
    const bool swap = angle & 2u;
    *n0 = SWEEP_MUL(length, swap ? sine : cosine);
    *n1 = SWEEP_MUL(length, swap ? cosine : sine);
}

// The four normals of one (step block, unit block), in the order of the lanes above.
SWEEP_DEVICE void normals(word step_block, word unit_block, unsigned long long stream, unsigned long long seed,
                          float lanes[4]) {
    word c[4] = {step_block, unit_block, (word)stream, (word)(stream >> 32)};
    philox4x32(c, (word)seed, (word)(seed >> 32));
    box_muller(c[0], c[1], lanes, lanes + 1);
    box_muller(c[2], c[3], lanes + 2, lanes + 3);
}

}  // namespace philox

#endif
