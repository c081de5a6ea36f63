// The two equations, mirroring sweep/model/network.py (Quax, D'Asaro & van Gerven, Sci. Rep. 10:11360, 2020):
//
//   tau_s dx/dt = -x + g W r + g_u U u(t) + b        x: synaptic current
//   tau_r dr/dt = -r + f(slope (x - threshold))      r: firing rate
//
// and one Euler(-Maruyama) step of them in increment form, with alpha = dt/tau and xi drawn from N(0, 1):
//
//   x <- x + alpha_s (g W r + g_u U u + b - x) + sigma sqrt(2 alpha_s) xi
//   r <- r + alpha_r (f(slope (x - threshold)) - r)
//
// In the sequential scheme r sees the new x, in the simultaneous scheme the old one. The compiler may not fuse operations;
// every fused multiply-add is written out. So a factor of 1 or a term of 0 changes no bit, and a kernel that is compiled
// without it gives the same result.

#ifndef SWEEP_RATE_MODEL_CUH
#define SWEEP_RATE_MODEL_CUH

#include "activations.cuh"
#include "arguments.cuh"

// x and r of one unit, and with COMPENSATED the rounding errors that their sums have made so far (Kahan 1965).
struct Unit {
    lane x, r, lost_x, lost_r;
};

// Kahan's sum: adds an increment to the state, corrected by the rounding error so far, and puts the new error into `lost`.
SWEEP_DEVICE void add(lane &state, lane increment, lane &lost) {
    const lane kept = increment - lost;
    const lane sum = state + kept;
    lost = (sum - state) - kept;
    state = sum;
}

// g W r + g_u U u + b. W r is added last, so that the input can be added while W r is still being computed.
template <int held>
SWEEP_DEVICE lane drive(const Arguments &a, const Parameters<held> &p, int i, lane recurrent, lane input) {
    lane h = p.bias(a, i);
    if constexpr (STIMULI > 0) h = modes[parameters::bias] == NEUTRAL ? p.input_gain(a, i) * input
                                                          : lanes::fma(p.input_gain(a, i), input, h);
    if constexpr (COUPLING > 0) h = modes[parameters::bias] == NEUTRAL && STIMULI == 0 ? p.gain(a, i) * recurrent
                                                                           : lanes::fma(p.gain(a, i), recurrent, h);
    return h;
}

// One step of one unit comes in two halves, with the activation between them. `i` numbers the units that the lane holds.
// The first half computes the new x. It returns z = slope (x - threshold), so that the second half needs f(z).
template <int held>
SWEEP_DEVICE lane step_x(const Arguments &a, const Parameters<held> &p, int i, Unit &unit, lane h, lane xi) {
    const lane alpha_s = p.alpha_s(a, i), old = unit.x, change = h - old;
    if constexpr (COMPENSATED) {
        lane increment = alpha_s * change;
        if constexpr (modes[parameters::noise] != NEUTRAL) increment = lanes::fma(p.noise(a, i), xi, increment);
        add(unit.x, increment, unit.lost_x);
    } else {
        unit.x = lanes::fma(alpha_s, change, old);
        if constexpr (modes[parameters::noise] != NEUTRAL) unit.x = lanes::fma(p.noise(a, i), xi, unit.x);
    }
    return p.slope(a, i) * ((SEQUENTIAL ? unit.x : old) - p.threshold(a, i));
}

// The second half moves r towards f(z).
template <int held> SWEEP_DEVICE void step_r(const Arguments &a, const Parameters<held> &p, int i, Unit &unit, lane f_z) {
    const lane alpha_r = p.alpha_r(a, i), change = f_z - unit.r;
    if constexpr (COMPENSATED)
        add(unit.r, alpha_r * change, unit.lost_r);
    else
        unit.r = lanes::fma(alpha_r, change, unit.r);
}

template <int held>
SWEEP_DEVICE void step(const Arguments &a, const Parameters<held> &p, int i, Unit &unit, lane h, lane xi) {
    const lane z = step_x(a, p, i, unit, h, xi);
    step_r(a, p, i, unit, lanes::activation(z));
}

// ------------------------------------------------------------------------------- state between launches, divergence

enum StateRow { STATE_X, STATE_R, LOST_X, LOST_R };

SWEEP_DEVICE Unit load_unit(const Arguments &a, int unit, int set) {
    Unit u = {};
    u.x = load(at(a.state, STATE_X * UNITS + unit, a.sets, set));
    u.r = load(at(a.state, STATE_R * UNITS + unit, a.sets, set));
    if constexpr (COMPENSATED) {
        u.lost_x = load(at(a.state, LOST_X * UNITS + unit, a.sets, set));
        u.lost_r = load(at(a.state, LOST_R * UNITS + unit, a.sets, set));
    }
    return u;
}

SWEEP_DEVICE void store_unit(const Arguments &a, int unit, int set, const Unit &u) {
    store(at(a.state, STATE_X * UNITS + unit, a.sets, set), u.x);
    store(at(a.state, STATE_R * UNITS + unit, a.sets, set), u.r);
    if constexpr (COMPENSATED) {
        store(at(a.state, LOST_X * UNITS + unit, a.sets, set), u.lost_x);
        store(at(a.state, LOST_R * UNITS + unit, a.sets, set), u.lost_r);
    }
}

// 0 where x and r are finite, else NaN. This tests the state and not f of it, because tanh(inf) = 1. A state that is not
// finite never becomes finite again, because inf - inf is NaN and NaN stays NaN. So a test at the end of a launch is enough;
// the step at which it happened is looked for later, and only in the sets that diverged.
SWEEP_DEVICE lane unsound(const Unit &u) { return (u.x - u.x) + (u.r - u.r); }

#endif
