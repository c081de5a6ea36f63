// The normals that some units need for some steps: philox.cuh says which call serves which.

#ifndef SWEEP_NOISE_CUH
#define SWEEP_NOISE_CUH

#include "arguments.cuh"
#include "philox.cuh"

constexpr bool NOISY = modes[NOISE] != NEUTRAL;
constexpr int NOISE_STEPS = philox::steps_per_call(UNITS), NOISE_UNITS = philox::units_per_call(UNITS);

// The normal of a unit, even or odd, in the `phase`-th step that a call serves. Written without an index, so that the four
// stay in registers where the phase is not known at compile time.
SWEEP_DEVICE real pick(const float normals[4], int phase, int odd) {
    if constexpr (UNITS == 1) return phase == 0 ? normals[0] : phase == 1 ? normals[1] : phase == 2 ? normals[2] : normals[3];
    const float early = odd ? normals[1] : normals[0], late = odd ? normals[3] : normals[2];
    return phase == 0 ? early : late;
}

#endif
