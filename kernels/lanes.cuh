// Arithmetic over a lane: one source for a CUDA thread and for a vector of a CPU.
//
// A lane is a float or a double. Under GCC and Clang it may also be a vector of them (attribute vector_size), whose
// elements belong to different sets. A comparison gives a mask: a bool, or a vector of integers. select() replaces branches.
//
// On a CPU an element has the same bits whatever the width of its vector. To ensure this, the compiler may not contract
// or reorder operations (-ffp-contract=off, no -ffast-math), and every fused multiply-add is written as fma(). A vector
// should be as wide as the processor's registers: GCC makes slow code of wider ones. CUDA is compiled with
// --fmad=false -ftz=true. NVRTC, nvcc and g++ compile this file without any standard or CUDA header.

#ifndef SWEEP_LANES_CUH
#define SWEEP_LANES_CUH

#ifndef SWEEP_DEVICE
#ifdef __CUDACC__
#define SWEEP_DEVICE __device__ __forceinline__
#else
#define SWEEP_DEVICE __attribute__((always_inline)) inline
#endif
#endif

// GCC may turn a loop over the elements of a vector into scalar code (at 64 bytes it always did), and it makes two
// instructions of a comparison and a choice. So on x86 we name the instruction to use. Clang needs no help.
#if defined(__FMA__) && !defined(__clang__) && !defined(__CUDACC__)
#define SWEEP_X86 1
#else
#define SWEEP_X86 0
#endif

namespace lanes {

// ------------------------------------------------------------------------------------------------- what a lane is

template <typename lane> struct traits;

template <> struct traits<float> {
    using scalar = float;
    using integer = int;
    using mask = bool;
    static constexpr int width = 1;
};

template <> struct traits<double> {
    using scalar = double;
    using integer = long long;
    using mask = bool;
    static constexpr int width = 1;
};

#ifndef __CUDACC__
template <typename lane> struct traits {
    using scalar = decltype(+lane{}[0]);
    using integer = decltype(lane{} < lane{});
    using mask = integer;
    static constexpr int width = sizeof(lane) / sizeof(scalar);
};
#endif

template <typename lane> using scalar_of = typename traits<lane>::scalar;
template <typename lane> using integer_of = typename traits<lane>::integer;
template <typename lane> using mask_of = typename traits<lane>::mask;

template <typename lane> constexpr bool is_scalar = traits<lane>::width == 1;
template <typename lane> constexpr bool is_float = sizeof(scalar_of<lane>) == sizeof(float);

template <typename lane> SWEEP_DEVICE lane broadcast(scalar_of<lane> a) {
    if constexpr (is_scalar<lane>)
        return a;
    else
        return a - lane{};
}

// --------------------------------------------------------------------------------------------- exact operations

// a b + c, rounded once.
template <typename lane> SWEEP_DEVICE lane fma(lane a, lane b, lane c) {
    if constexpr (!is_scalar<lane>) {
#if SWEEP_X86
        if constexpr (sizeof(lane) == 16 && is_float<lane>) return __builtin_ia32_vfmaddps(a, b, c);
        if constexpr (sizeof(lane) == 16 && !is_float<lane>) return __builtin_ia32_vfmaddpd(a, b, c);
        if constexpr (sizeof(lane) == 32 && is_float<lane>) return __builtin_ia32_vfmaddps256(a, b, c);
        if constexpr (sizeof(lane) == 32 && !is_float<lane>) return __builtin_ia32_vfmaddpd256(a, b, c);
#ifdef __AVX512F__  // -1: all elements; 4: the current rounding mode
        if constexpr (sizeof(lane) == 64 && is_float<lane>) return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
        if constexpr (sizeof(lane) == 64 && !is_float<lane>) return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4);
#endif
#endif
        lane sum;
        for (int i = 0; i < traits<lane>::width; ++i) sum[i] = fma<scalar_of<lane>>(a[i], b[i], c[i]);
        return sum;
    } else if constexpr (is_float<lane>) {
#ifdef __CUDA_ARCH__
        return ::fmaf(a, b, c);
#else
        return __builtin_fmaf(a, b, c);
#endif
    } else {
#ifdef __CUDA_ARCH__
        return ::fma(a, b, c);
#else
        return __builtin_fma(a, b, c);
#endif
    }
}

template <typename lane> SWEEP_DEVICE lane select(mask_of<lane> mask, lane a, lane b) { return mask ? a : b; }

// The smaller of two numbers, and below it the larger. The result is NaN where b is NaN. Where only a is NaN, the result
// is b on a CPU, and NaN on a GPU from sm_80 on, where one instruction does it. Of +0 and -0 either may come back.
template <typename lane> SWEEP_DEVICE lane minimum(lane a, lane b) {
#if __CUDA_ARCH__ >= 800
    if constexpr (is_float<lane>) {
        lane least;
        asm("min.ftz.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
        return least;
    }
#endif
#if SWEEP_X86
    if constexpr (is_float<lane> && sizeof(lane) == 16) return __builtin_ia32_minps(a, b);
    if constexpr (is_float<lane> && sizeof(lane) == 32) return __builtin_ia32_minps256(a, b);
#endif
    return a < b ? a : b;
}

template <typename lane> SWEEP_DEVICE lane maximum(lane a, lane b) {
#if __CUDA_ARCH__ >= 800
    if constexpr (is_float<lane>) {
        lane most;
        asm("max.ftz.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
        return most;
    }
#endif
#if SWEEP_X86
    if constexpr (is_float<lane> && sizeof(lane) == 16) return __builtin_ia32_maxps(a, b);
    if constexpr (is_float<lane> && sizeof(lane) == 32) return __builtin_ia32_maxps256(a, b);
#endif
    return a > b ? a : b;
}

#ifndef __CUDA_ARCH__
template <typename lane> SWEEP_DEVICE integer_of<lane> bits(lane a) {
    integer_of<lane> b;
    __builtin_memcpy(&b, &a, sizeof b);
    return b;
}

template <typename lane> SWEEP_DEVICE lane from_bits(integer_of<lane> b) {
    lane a;
    __builtin_memcpy(&a, &b, sizeof a);
    return a;
}

template <typename lane> constexpr auto sign_bit = integer_of<scalar_of<lane>>(1) << (8 * sizeof(scalar_of<lane>) - 1);
#endif

template <typename lane> SWEEP_DEVICE lane absolute(lane a) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>)
        return ::fabsf(a);
    else
        return ::fabs(a);
#else
    return from_bits<lane>(bits(a) & ~sign_bit<lane>);
#endif
}

// `size`, which must not be negative, with the sign of `sign`.
template <typename lane> SWEEP_DEVICE lane copy_sign(lane size, lane sign) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>)
        return ::copysignf(size, sign);
    else
        return ::copysign(size, sign);
#else
    return from_bits<lane>(bits(size) | (bits(sign) & sign_bit<lane>));
#endif
}

// True where a is neither infinite nor NaN.
template <typename lane> SWEEP_DEVICE mask_of<lane> is_finite(lane a) {
    return absolute(a) <= broadcast<lane>(is_float<lane> ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);
}

// ------------------------------------------------------------------------------------------ quotients and e^a

// 1 / a, and below it a / b. Both are rounded once, except for float on a GPU: the hardware's reciprocal is within 1 ulp.
template <typename lane> SWEEP_DEVICE lane reciprocal(lane a) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>) {
        lane inverse;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(a));
        return inverse;
    }
#endif
    return 1 / a;
}

template <typename lane> SWEEP_DEVICE lane divide(lane a, lane b) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>) return a * reciprocal(b);
#endif
    return a / b;
}

constexpr double log2_e = 0x1.71547652b82fep+0;
constexpr double ln_2 = 0x1.62e42fefa39efp-1;
template <typename lane> constexpr double ln_2_rest = is_float<lane> ? ln_2 - (float)ln_2 : 0x1.abc9e3b39803fp-56;

#ifdef __CUDA_ARCH__
// 2^a, computed by the hardware.
SWEEP_DEVICE float power_of_two(float a) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(a));
    return power;
}
#else
// (e^a - 1 - a) / a^2 for |a| <= log(2) / 2. For float a minimax polynomial, with which e^a - 1 has a relative error of
// 1.4e-8; for double the Taylor series, with 1.2e-17. Even and odd powers are summed separately, because two short chains
// of operations are faster than one long one.
template <typename lane> SWEEP_DEVICE lane exponential_rest(lane a, lane square) {
    const auto add = [&](lane sum, double even, double odd) {
        return fma(square, sum, fma(a, broadcast<lane>(odd), broadcast<lane>(even)));
    };
    if constexpr (is_float<lane>) {
        const lane high = fma(a, broadcast<lane>(0.00836708769f), broadcast<lane>(0.0416677482f));
        return add(fma(square, broadcast<lane>(0.00138378609f), high), 0.49999997f, 0.16666539f);
    } else {
        lane p = fma(a, broadcast<lane>(1 / 6227020800.0), broadcast<lane>(1 / 479001600.0));
        p = add(p, 1 / 3628800.0, 1 / 39916800.0);
        p = add(p, 1 / 40320.0, 1 / 362880.0);
        p = add(p, 1 / 720.0, 1 / 5040.0);
        p = add(p, 1 / 24.0, 1 / 120.0);
        return add(p, 1 / 2.0, 1 / 6.0);
    }
}

// Splits e^a into scale (1 + excess), for |a| <= -least_exponent. scale is a power of two (or 0 in place of the largest
// subnormal one), and excess lies between sqrt(1/2) - 1 and sqrt(2) - 1.
template <typename lane> SWEEP_DEVICE void split_exponential(lane a, lane &scale, lane &excess) {
    constexpr int digits = is_float<lane> ? 23 : 52, bias = is_float<lane> ? 127 : 1023;
    // Adding this rounds to an integer and leaves it, plus the exponent's bias, in the low bits.
    const lane shift = broadcast<lane>((is_float<lane> ? 0x1.8p23 : 0x1.8p52) + bias);
    const lane shifted = fma(a, broadcast<lane>(log2_e), shift);
    const lane power = shifted - shift;
    const lane rest = fma(power, broadcast<lane>(-ln_2_rest<lane>), fma(power, broadcast<lane>(-ln_2), a));
    const lane square = rest * rest;
    scale = from_bits<lane>(bits(shifted) << digits);
    excess = fma(square, exponential_rest(rest, square), rest);
}
#endif

// exp() needs |a| <= -least_exponent. At least_exponent itself e^a is 0.
template <typename lane> constexpr int least_exponent = is_float<lane> ? -88 : -709;

template <typename lane> SWEEP_DEVICE lane exp(lane a) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>) {
        const lane binary = a * (float)log2_e;
        const lane power = power_of_two(binary);
        // the part of a that rounding left out of `binary`
        const lane rest = fma(binary, -(float)ln_2_rest<lane>, fma(binary, -(float)ln_2, a));
        return fma(power, rest, power);
    } else {
        return ::exp(a);
    }
#else
    lane scale, excess;
    split_exponential(a, scale, excess);
    return fma(scale, excess, scale);
#endif
}

}  // namespace lanes

#endif
