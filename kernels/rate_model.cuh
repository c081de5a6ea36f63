// The two equations, mirroring sweep/model/network.py (Quax, D'Asaro & van Gerven, Sci. Rep. 10:11360, 2020):
//
//   tau_s dx/dt = -x + g W r + g_u U u(t) + b        x: synaptic current
//   tau_r dr/dt = -r + f(slope (x - threshold))      r: firing rate
//
// and one Euler(-Maruyama) step of them in increment form, with alpha = dt/tau and xi ~ N(0, 1):
//
//   x <- x + alpha_s (g W r + g_u U u + b - x) + sigma sqrt(2 alpha_s) xi
//   r <- r + alpha_r (f(slope (x - threshold)) - r)
//
// In the sequential scheme r sees the new x, in the simultaneous one the old. Contraction is off and every fused
// multiply-add is written out: a factor of 1 or a term of 0 changes no bit, whichever switches a kernel is compiled for.

#ifndef SWEEP_RATE_MODEL_CUH
#define SWEEP_RATE_MODEL_CUH

#include "activations.cuh"
#include "arguments.cuh"

// x and r of one unit, and what rounding has kept from them so far (Kahan 1965) where the sums are compensated.
struct Unit {
    lane x, r, lost_x, lost_r;
};

SWEEP_DEVICE void add(lane &state, lane increment, lane &lost) {
    const lane kept = increment - lost;
    const lane sum = state + kept;
    lost = (sum - state) - kept;
    state = sum;
}

// g W r + g_u U u + b. W r comes last, so that an input may be added up while it is on its way.
template <int held>
SWEEP_DEVICE lane drive(const Arguments &a, const Parameters<held> &p, int i, lane recurrent, lane input) {
    lane h = p.bias(a, i);
    if constexpr (STIMULI > 0) h = modes[BIAS] == NEUTRAL ? p.input_gain(a, i) * input
                                                          : lanes::fma(p.input_gain(a, i), input, h);
    if constexpr (COUPLING > 0) h = modes[BIAS] == NEUTRAL && STIMULI == 0 ? p.gain(a, i) * recurrent
                                                                           : lanes::fma(p.gain(a, i), recurrent, h);
    return h;
}

// One step of one unit, in two halves with the activation between them; `i` is its place among those that the lane holds.
// First x, and z, of which r nears f.
template <int held>
SWEEP_DEVICE lane step_x(const Arguments &a, const Parameters<held> &p, int i, Unit &unit, lane h, lane xi) {
    const lane alpha_s = p.alpha_s(a, i), old = unit.x, change = h - old;
    if constexpr (COMPENSATED) {
        lane increment = alpha_s * change;
        if constexpr (modes[NOISE] != NEUTRAL) increment = lanes::fma(p.noise(a, i), xi, increment);
        add(unit.x, increment, unit.lost_x);
    } else {
        unit.x = lanes::fma(alpha_s, change, old);
        if constexpr (modes[NOISE] != NEUTRAL) unit.x = lanes::fma(p.noise(a, i), xi, unit.x);
    }
    return p.slope(a, i) * ((SEQUENTIAL ? unit.x : old) - p.threshold(a, i));
}

// Then r, which nears f(z).
template <int held> SWEEP_DEVICE void step_r(const Arguments &a, const Parameters<held> &p, int i, Unit &unit, lane aim) {
    const lane alpha_r = p.alpha_r(a, i), change = aim - unit.r;
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

// 0 where x and r are finite, else NaN. The state is asked, not f of it: tanh(inf) = 1. What is not finite once never
// becomes so again, because inf - inf and all that follows from NaN are NaN; so it is enough to look at the end of a
// launch, and to look for the step only in sets that are lost.
SWEEP_DEVICE lane unsound(const Unit &u) { return (u.x - u.x) + (u.r - u.r); }

#endif
