// The activation functions f of the rate equation, over a lane: linear, relu, tanh, sigmoid, softplus.
//
// There are no branches. NaN gives NaN, and infinities give the limits. The largest errors on a CPU, over all floats:
//
//   tanh 4.10 ulp     sigmoid 2.41 ulp     softplus 2.45 ulp     (a subnormal result may come out as 0)
//
// On a GPU the hardware computes the reciprocal and the power of two, and subnormals are 0. Even if each of the two were off
// by 1 ulp more than its rounding, the errors would stay below 4, 8 and 6 ulp. For double the errors on a CPU are 2.6, 2.6
// and 3.6 ulp; on a GPU CUDA's mathematical library computes tanh, log and exp.
// The polynomials are our own: minimax for the relative error of the result.

#ifndef SWEEP_ACTIVATIONS_CUH
#define SWEEP_ACTIVATIONS_CUH

#include "lanes.cuh"

namespace lanes {

template <typename lane> SWEEP_DEVICE lane linear(lane z) { return z; }

template <typename lane> SWEEP_DEVICE lane relu(lane z) { return maximum(lane{}, z); }

// tanh(-z) is -tanh(z) to the last bit, tanh(z) is z for small z, and the result is never beyond 1.
template <typename lane> SWEEP_DEVICE lane tanh(lane z) {
#ifdef __CUDA_ARCH__
    if constexpr (is_float<lane>) {
        // 1 - 2 / (e^(2|z|) + 1). Below 0.55 this loses digits, so an odd polynomial is used there.
        const lane size = absolute(z);
        const lane large = fma(reciprocal(power_of_two(size * (2 * (float)log2_e)) + 1), -2.0f, 1.0f);
        const lane square = z * z;
        lane p = fma(square, 0.0164378807f, -0.0526720099f);
        p = fma(square, p, 0.133207291f);
        p = fma(square, p, -0.333329469f);
        const lane small = fma(z * square, p, z);
        return select(size < 0.55f, small, copy_sign(large, z));
    } else {
        return ::tanh(z);
    }
#else
    if constexpr (is_float<lane>) {
        // 2 a b / (a^2 + b^2) with a / b = tanh(z / 2). Near 1, where rounding matters most, an error of a / b has almost no
        // effect. From |z| = 9.02 on the result is 1. A GPU has 2^a in hardware, so the formula above is as fast there, and
        // it has more digits.
        const lane held = minimum(broadcast<lane>(9.02f), maximum(broadcast<lane>(-9.02f), z));
        const lane square = held * held;
        lane b = fma(square, broadcast<lane>(2.4093415e-06f), broadcast<lane>(0.00240185438f));
        b = fma(square, b, broadcast<lane>(0.226106748f));
        b = fma(square, b, broadcast<lane>(2));
        const lane p = fma(square, broadcast<lane>(0.000113095237f), broadcast<lane>(0.0297200754f));
        const lane a = fma(held * square, p, held);
        return a * (b + b) / fma(b, b, a * a);
    } else {
        // u / (u + 2) with u = e^(2|z|) - 1. From |z| = 19.06 on the result is 1.
        const lane size = absolute(z);
        lane scale, excess;
        split_exponential(minimum(broadcast<lane>(40), size + size), scale, excess);
        const lane u = fma(scale, excess, scale - 1);
        return copy_sign(u / (u + 2), z);
    }
#endif
}

// e^z / (1 + e^z). z is limited to a range outside which the quotient does not change any more. In this range the reciprocal
// of the divisor is never subnormal, which a GPU would take for 0.
template <typename lane> SWEEP_DEVICE lane sigmoid(lane z) {
    const lane held = minimum(broadcast<lane>(80), maximum(broadcast<lane>(least_exponent<lane>), z));
    const lane power = exp(held);
    return divide(power, 1 + power);
}

// log(1 + e^z) = max(z, 0) + log(1 + y) with y = e^-|z|
template <typename lane> SWEEP_DEVICE lane softplus(lane z) {
    const lane positive = maximum(z, lane{});
    const lane y = exp(maximum(broadcast<lane>(least_exponent<lane>), -absolute(z)));
    if constexpr (is_float<lane>) {
        lane p = fma(y, broadcast<lane>(0.00536542246f), broadcast<lane>(-0.0300683007f));
        p = fma(y, p, broadcast<lane>(0.0792088285f));
        p = fma(y, p, broadcast<lane>(-0.137541875f));
        p = fma(y, p, broadcast<lane>(0.191538483f));
        p = fma(y, p, broadcast<lane>(-0.248572171f));
        p = fma(y, p, broadcast<lane>(0.3332133f));
        p = fma(y, p, broadcast<lane>(-0.499996483f));
        p = fma(y, p, broadcast<lane>(1));
        return fma(y, p, positive);
    } else {
#ifdef __CUDA_ARCH__
        return positive + ::log1p(y);
#else
        // 2 artanh(s) from its series, which is short because s <= 1/3.
        const lane s = y / (2 + y), square = s * s, fourth = square * square;
        lane even = broadcast<lane>(1 / 29.0), odd = broadcast<lane>(1 / 31.0);
#pragma GCC unroll 7
        for (int k = 25; k > 0; k -= 4) {
            even = fma(fourth, even, broadcast<lane>(1.0 / k));
            odd = fma(fourth, odd, broadcast<lane>(1.0 / (k + 2)));
        }
        return fma(s + s, fma(square, odd, even), positive);
#endif
    }
}

// The job's activation function f. The host defines ACTIVATION as the name of one of the functions above.
#ifdef ACTIVATION
template <typename lane> SWEEP_DEVICE lane activation(lane z) { return lanes::ACTIVATION(z); }
#endif

}  // namespace lanes

#endif
