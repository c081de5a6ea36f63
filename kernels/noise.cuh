// Which normal of a call belongs to a unit and a step. philox.cuh says which call serves which units and steps.

#ifndef SWEEP_NOISE_CUH
#define SWEEP_NOISE_CUH

#include "arguments.cuh"
#include "philox.cuh"

constexpr bool NOISY = modes[parameters::noise] != NEUTRAL;
constexpr int NOISE_STEPS = philox::steps_per_call(UNITS), NOISE_UNITS = philox::units_per_call(UNITS);

// The normal of a unit (`odd` is 1 for an odd unit) in step number `phase` of those that a call serves. No index is computed,
// so that the four normals stay in registers even when the phase is not known at compile time.
SWEEP_DEVICE real pick(const float normals[4], int phase, int odd) {
    if constexpr (UNITS == 1) return phase == 0 ? normals[0] : phase == 1 ? normals[1] : phase == 2 ? normals[2] : normals[3];
    const float early = odd ? normals[1] : normals[0], late = odd ? normals[3] : normals[2];
    return phase == 0 ? early : late;
}

#endif
