// Words of 32 bits, and the floats made from them, so that philox.cuh is one source for a CUDA thread and for the vectors
// of a CPU. A lane is a float, and one word goes with it. Under GCC and Clang a lane may also be Several vectors of floats,
// and as many vectors of words go with it; their elements belong to different sets.
// NVRTC, nvcc and g++ compile this file without any standard or CUDA header.

#ifndef SWEEP_WORDS_CUH
#define SWEEP_WORDS_CUH

#include "lanes.cuh"

#if defined(__CUDA_ARCH__) || defined(__clang__)
#define SWEEP_UNROLLED _Pragma("unroll")
#else
#define SWEEP_UNROLLED _Pragma("GCC unroll 16")
#endif

namespace philox {

// ------------------------------------------------------------------------------------------------------------ one set

typedef unsigned int word;

// The type of the words that go with a lane.
template <typename lane> struct words;
template <> struct words<float> { typedef word type; };
template <typename lane> using words_of = typename words<lane>::type;

// The 64-bit product of two words, as its high and its low word.
SWEEP_DEVICE void multiply(word a, word b, word &high, word &low) {
#ifdef __CUDA_ARCH__
    high = __umulhi(a, b);  // with a 64-bit product NVRTC did every round in 64-bit words
#else
    high = (word)((unsigned long long)a * b >> 32);
#endif
    low = a * b;
}

SWEEP_DEVICE word bits(float a) {
#ifdef __CUDA_ARCH__
    return __float_as_uint(a);
#else
    return (word)lanes::bits(a);
#endif
}

SWEEP_DEVICE float from_bits(word a) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(a);
#else
    return lanes::from_bits<float>((int)a);
#endif
}

SWEEP_DEVICE float square_root(float a) {
#ifdef __CUDA_ARCH__
    return __fsqrt_rn(a);
#else
    return __builtin_sqrtf(a);
#endif
}

// The float nearest to a word that is read as a signed integer.
SWEEP_DEVICE float signed_float(word a) { return (float)(int)a; }

// `one` where the bit of the word is set, else `zero`.
template <int bit> SWEEP_DEVICE float select_by(word a, float one, float zero) { return a & 1u << bit ? one : zero; }

// ---------------------------------------------------------------------------------------------------------- many sets
#ifndef __CUDACC__

// Several vectors that take every operation together. Noise is a long chain of operations, each of which waits for the one
// before. A processor looks at most a hundred instructions ahead for other work, so we put other work right beside it.
template <typename scalar, int bytes, int count> struct Several {
    typedef scalar number;
    typedef scalar vector __attribute__((vector_size(bytes)));
    vector of[count];

    template <typename Function> static SWEEP_DEVICE Several each(const Function &function) {
        Several all;
        SWEEP_UNROLLED
        for (int i = 0; i < count; ++i) all.of[i] = function(i);
        return all;
    }
    static SWEEP_DEVICE Several all(number a) {
        return each([&](int) { return a - vector{}; });
    }

#define SWEEP_OPERATOR(operation)                                                        \
    friend SWEEP_DEVICE Several operator operation(const Several &a, const Several &b) { \
        return each([&](int i) { return a.of[i] operation b.of[i]; });                   \
    }                                                                                    \
    friend SWEEP_DEVICE Several operator operation(const Several &a, number b) {         \
        return each([&](int i) { return a.of[i] operation b; });                         \
    }
    SWEEP_OPERATOR(+)
    SWEEP_OPERATOR(*)
    SWEEP_OPERATOR(&)
    SWEEP_OPERATOR(|)
    SWEEP_OPERATOR(^)
    SWEEP_OPERATOR(<<)
    SWEEP_OPERATOR(>>)
#undef SWEEP_OPERATOR
};

template <int bytes, int count> using Floats = Several<float, bytes, count>;
template <int bytes, int count> using Words = Several<word, bytes, count>;
template <int bytes> using integers = typename Several<int, bytes, 1>::vector;

// Products are twice as wide as words. So the words of a vector are split into those at even and those at odd places, each
// in the low half of 64 bits. The high half is not used and may hold anything.
template <int bytes, int count> using Factors = Several<unsigned long long, bytes, count>;

template <int bytes, int count> struct words<Floats<bytes, count>> { typedef Words<bytes, count> type; };

template <int bytes, int count> SWEEP_DEVICE Factors<bytes, 2 * count> taken_apart(const Words<bytes, count> &a) {
    typedef Factors<bytes, 2 * count> factors;
    return factors::each([&](int i) { return (typename factors::vector)a.of[i / 2] >> 32 * (i % 2); });
}

// The reverse of taken_apart(): the words of a, then those of b.
template <int bytes, int count>
SWEEP_DEVICE Words<bytes, count> joined(const Factors<bytes, count> &a, const Factors<bytes, count> &b) {
    typedef Words<bytes, count> words;
    return words::each([&](int i) {
        const auto &from = 2 * i < count ? a : b;
        const auto even = from.of[2 * i % count], odd = from.of[2 * i % count + 1] << 32;
        return (typename words::vector)((even & 0xFFFFFFFFu) | odd);
    });
}

template <int bytes, typename vector> SWEEP_DEVICE vector product(const vector &a, const vector &b) {
#if SWEEP_X86  // without these, GCC would multiply all 64 bits
    if constexpr (bytes == 16) return (vector)__builtin_ia32_pmuludq128((integers<16>)a, (integers<16>)b);
#ifdef __AVX2__
    if constexpr (bytes == 32) return (vector)__builtin_ia32_pmuludq256((integers<32>)a, (integers<32>)b);
#endif
#ifdef __AVX512F__
    typedef long long longs __attribute__((vector_size(64)));
    if constexpr (bytes == 64)
        return (vector)__builtin_ia32_pmuludq512_mask((integers<64>)a, (integers<64>)b, longs{}, -1);
#endif
#endif
    return (a & 0xFFFFFFFFu) * b;
}

template <int bytes, int count>
SWEEP_DEVICE void multiply(const Factors<bytes, count> &a, word b, Factors<bytes, count> &high,
                           Factors<bytes, count> &low) {
    typedef Factors<bytes, count> factors;
    const typename factors::vector factor = b - typename factors::vector{};
    low = factors::each([&](int i) { return product<bytes>(a.of[i], factor); });
    high = low >> 32;
}

template <int bytes, int count> SWEEP_DEVICE Words<bytes, count> bits(const Floats<bytes, count> &a) {
    return Words<bytes, count>::each([&](int i) { return (typename Words<bytes, count>::vector)a.of[i]; });
}

template <int bytes, int count> SWEEP_DEVICE Floats<bytes, count> from_bits(const Words<bytes, count> &a) {
    return Floats<bytes, count>::each([&](int i) { return (typename Floats<bytes, count>::vector)a.of[i]; });
}

template <typename vector> SWEEP_DEVICE vector square_roots(const vector &a) {
#if SWEEP_X86
    if constexpr (sizeof(vector) == 16) return __builtin_ia32_sqrtps(a);
    if constexpr (sizeof(vector) == 32) return __builtin_ia32_sqrtps256(a);
#ifdef __AVX512F__  // -1: all elements; 4: the current rounding mode
    if constexpr (sizeof(vector) == 64) return __builtin_ia32_sqrtps512_mask(a, a, -1, 4);
#endif
#endif
#ifdef __clang__  // it does not turn the loop below into vector code
#if __has_builtin(__builtin_elementwise_sqrt)
    return __builtin_elementwise_sqrt(a);
#endif
#endif
    vector root;
    for (int i = 0; i < lanes::traits<vector>::width; ++i) root[i] = __builtin_sqrtf(a[i]);
    return root;
}

template <int bytes, int count> SWEEP_DEVICE Floats<bytes, count> square_root(const Floats<bytes, count> &a) {
    return Floats<bytes, count>::each([&](int i) { return square_roots(a.of[i]); });
}

template <int bytes, int count> SWEEP_DEVICE Floats<bytes, count> signed_float(const Words<bytes, count> &a) {
    typedef Floats<bytes, count> floats;
    typedef typename floats::vector vector;
    return floats::each([&](int i) { return __builtin_convertvector((integers<bytes>)a.of[i], vector); });
}

template <int bit, int bytes, int count>
SWEEP_DEVICE Floats<bytes, count> select_by(const Words<bytes, count> &a, const Floats<bytes, count> &one,
                                            const Floats<bytes, count> &zero) {
    const Words<bytes, count> sign = a << (31 - bit);  // vector instructions choose by the highest bit
    return Floats<bytes, count>::each([&](int i) { return (integers<bytes>)sign.of[i] < 0 ? one.of[i] : zero.of[i]; });
}

#endif

}  // namespace philox

#endif
