"""The emulated device runs threads as fibres: a missing or wrong barrier is found."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.emulator import EmulationError
from support.emulator.launches import SEEDS, emulate, nothing, wrong

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)

# ---------------------------------------------------------------------------------------------------------------- races

REVERSE = """
extern "C" __global__ void kernel(const float *given, float *out) {
    SWEEP_DYNAMIC_SHARED(float, stage);
    const int t = threadIdx.x;
    stage[t] = given[t];
    BARRIER;
    out[t] = stage[blockDim.x - 1 - t];
}
"""


@pytest.mark.parametrize(("block", "barrier"), [(96, "__syncthreads()"), (32, "__syncwarp()")])
def test_a_stage_read_before_it_is_written_shows(block: int, barrier: str) -> None:
    """Without its barrier a thread reads a NaN that its partner has not replaced yet, with every seed."""
    given = np.arange(block, dtype=np.float32)

    def reverse(seed: int, **macros: str) -> NDArray[Any]:
        arrays = {"given": given, "out": nothing(block)}
        return emulate(REVERSE, arrays, block=block, shared=4 * block, seed=seed, **macros)["out"]

    assert wrong(given[::-1], lambda seed: reverse(seed, BARRIER=barrier)) == 0
    assert wrong(given[::-1], lambda seed: reverse(seed, BARRIER="")) == len(SEEDS)


def test_a_barrier_of_a_warp_does_not_hold_the_block() -> None:
    """__syncwarp does not replace __syncthreads if the partner is in another warp."""
    given = np.arange(96, dtype=np.float32)
    arrays = {"given": given, "out": nothing(96)}
    outs = [
        emulate(REVERSE, arrays, block=96, shared=4 * 96, seed=seed, BARRIER="__syncwarp()")["out"] for seed in SEEDS
    ]
    assert any(not np.array_equal(out, given[::-1]) for out in outs)
    # The middle warp is its own partner.
    assert all(np.array_equal(out[32:64], given[32:64][::-1]) for out in outs)


RING = """
extern "C" __global__ void kernel(float *state, int steps) {
    SWEEP_DYNAMIC_SHARED(float, r);
    const int t = threadIdx.x, n = blockDim.x;
    r[t] = state[t];
    __syncthreads();
    for (int step = 0; step < steps; ++step) {
        const float *old = r + (step % BUFFERS) * n;
        float sum = old[(t + 1) % n];
        sum += __shfl_xor_sync(~0u, sum, 1);
        AFTER_READING;
        r[(step + 1) % BUFFERS * n + t] = sum - 2 * state[t];
        __syncthreads();
    }
    state[t] = r[steps % BUFFERS * n + t];
}
"""


def ring(seed: int, buffers: int, after_reading: str) -> NDArray[Any]:
    """Run RING: every thread adds the numbers of its neighbours, six times."""
    arguments = {"state": np.arange(128, dtype=np.float32), "steps": np.int32(6)}
    macros = {"BUFFERS": str(buffers), "AFTER_READING": after_reading}
    return emulate(RING, arguments, block=128, shared=4 * 128 * buffers, seed=seed, **macros)["state"]


def test_a_single_buffer_with_one_barrier_is_a_race() -> None:
    """With one buffer a second barrier is needed. The shuffle in between must not hide that a warp is ahead."""
    start = state = np.arange(128, dtype=np.float32)
    for _ in range(6):
        seen = np.roll(state, -1)
        state = seen + seen.reshape(-1, 2)[:, ::-1].ravel() - 2 * start
    assert wrong(state, lambda seed: ring(seed, 2, "")) == 0
    assert wrong(state, lambda seed: ring(seed, 1, "__syncthreads()")) == 0
    assert wrong(state, lambda seed: ring(seed, 1, "")) >= 1


def test_a_race_comes_back_with_its_seed() -> None:
    """The order is a function of the seed, so that a failure can be repeated."""
    outcomes = [ring(seed, 1, "").tobytes() for seed in SEEDS]
    assert len(set(outcomes)) > 1
    assert outcomes == [ring(seed, 1, "").tobytes() for seed in SEEDS]


def test_warps_run_in_step_or_far_ahead() -> None:
    """Between barriers, one warp runs to its end first with some seeds, and all warps take turns with others."""
    source = """
    extern "C" __global__ void kernel(int *clock, int *when) {
        for (int step = 0; step < 20; ++step) {
            if (threadIdx.x % 32 == 0) when[threadIdx.x / 32 * 20 + step] = (*clock)++;
            __syncwarp();
        }
    }
    """
    leads = []
    for seed in SEEDS:
        arrays = {"clock": np.zeros(1, np.int32), "when": np.zeros((2, 20), np.int32)}
        when = emulate(source, arrays, block=64, seed=seed)["when"]
        np.testing.assert_array_equal(np.sort(when.ravel()), np.arange(40))
        first = np.isin(np.arange(40), when[0])
        leads.append(int(np.abs(np.where(first, 1, -1).cumsum()).max()))
    assert max(leads) == 20
    assert min(leads) <= 3


def test_every_lane_and_every_warp_may_be_the_first() -> None:
    """No thread is preferred: each of 4 warps starts in some of 50 thread blocks, and so does every lane of 8."""
    source = """
    extern "C" __global__ void kernel(int *first) {
        if (first[blockIdx.x] < 0) first[blockIdx.x] = threadIdx.x;
    }
    """
    warps, lanes = (
        emulate(source, {"first": np.full(50, -1, np.int32)}, grid=50, block=block)["first"] for block in (128, 8)
    )
    assert set(warps // 32) == set(range(4))
    assert set(lanes) == set(range(8))


GROUPS = """
extern "C" __global__ void kernel(const float *given, float *sums, int *votes) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % warpSize;
    const unsigned mask = 0xffu << (lane & ~7);
    float sum = given[t];
    const int rounds = 1 + lane / 8;  // groups of a warp go their own ways
    for (int round = 0; round < rounds; ++round)
        for (int bit = 4; bit; bit /= 2) sum += __shfl_xor_sync(mask, sum, bit, 8);
    sums[t] = sum;
    votes[t] = __ballot_sync(mask, given[t] > 2) >> (lane & ~7);
}
"""


def test_groups_of_lanes_synchronise_by_themselves() -> None:
    """Groups of 8 lanes that shuffle and vote a different number of times give the same under every seed."""
    given = np.random.default_rng(1).integers(0, 5, 3 * 64).astype(np.float32)
    rounds = np.tile([1, 2, 3, 4], 6)
    sums = given.reshape(-1, 8).sum(axis=1) * 8.0 ** (rounds - 1)
    votes = (given.reshape(-1, 8) > 2) @ (1 << np.arange(8))
    for seed in SEEDS:
        arrays = {"given": given, "sums": nothing(192), "votes": np.zeros(192, np.int32)}
        out = emulate(GROUPS, arrays, grid=3, block=64, seed=seed)
        np.testing.assert_array_equal(out["sums"], np.repeat(sums, 8))
        np.testing.assert_array_equal(out["votes"], np.repeat(votes, 8))


# ------------------------------------------------------------------------------------------------------- warp operations

SHUFFLE = """
extern "C" __global__ void kernel(const NUMBER *given, NUMBER *out) {
    const int t = threadIdx.x;
    const NUMBER value = given[t];
    out[t] = __shfl_sync(~0u, value, 11, 8);
    out[32 + t] = __shfl_sync(~0u, value, t + 1, 8);
    out[64 + t] = __shfl_up_sync(~0u, value, 3, 8);
    out[96 + t] = __shfl_down_sync(~0u, value, 3, 8);
    out[128 + t] = __shfl_xor_sync(~0u, value, 5, 8);
}
"""


@pytest.mark.parametrize("number", ["float", "double", "int", "unsigned"])
def test_shuffles_move_values_within_their_segment(number: str) -> None:
    """Lanes of a segment of 8 get the value of the lane that CUDA defines, their own beyond its ends."""
    dtype = {"float": np.float32, "double": np.float64, "int": np.int32, "unsigned": np.uint32}[number]
    given = np.random.default_rng(2).integers(0, 1 << 20, 32).astype(dtype)
    out = emulate(SHUFFLE, {"given": given, "out": np.zeros((5, 4, 8), dtype)}, NUMBER=number)["out"]
    lane = np.arange(8)
    sources = [0 * lane + 3, (lane + 1) % 8, np.where(lane < 3, lane, lane - 3), np.where(lane > 4, lane, lane + 3)]
    for got, source in zip(out, [*sources, lane ^ 5], strict=True):
        np.testing.assert_array_equal(got, given.reshape(4, 8)[:, source])


def test_a_shuffle_without_width_crosses_the_warp() -> None:
    """The width is that of the warp if none is given, and xor reads earlier segments but not later ones, as in CUDA."""
    source = """
    extern "C" __global__ void kernel(int *whole, int *segments) {
        const int t = threadIdx.x;
        whole[t] = __shfl_down_sync(0xffffffffu, t, 16);
        segments[t] = __shfl_xor_sync(0xffffffffu, t, 16, 16);
    }
    """
    out = emulate(source, {"whole": np.zeros(32, np.int32), "segments": np.zeros(32, np.int32)})
    lane = np.arange(32)
    np.testing.assert_array_equal(out["whole"], np.where(lane < 16, lane + 16, lane))
    np.testing.assert_array_equal(out["segments"], np.where(lane < 16, lane, lane - 16))


def test_votes() -> None:
    """any, all and ballot count the lanes of the mask and no others, and a last warp has the lanes that exist."""
    source = """
    extern "C" __global__ void kernel(int *any, int *all, unsigned *ballot) {
        const int t = threadIdx.x, odd = t & 1;
        const unsigned mask = odd ? 0xaaaaaaaau : 0x55555555u;
        any[t] = __any_sync(mask, 4 * odd);
        all[t] = __all_sync(mask, t < 40);
        ballot[t] = __ballot_sync(~0u, t % 3 == 0);
    }
    """
    out = emulate(
        source, {name: np.zeros(45, t) for name, t in (("any", "i4"), ("all", "i4"), ("ballot", "u4"))}, block=45
    )
    lane = np.arange(45)
    np.testing.assert_array_equal(out["any"], lane & 1)
    np.testing.assert_array_equal(out["all"], lane < 32)
    thirds = (lane % 3 == 0).astype(np.uint64)
    first, last = (int((thirds[w] << (lane[w] % 32).astype(np.uint64)).sum()) for w in (slice(32), slice(32, 45)))
    np.testing.assert_array_equal(out["ballot"], np.where(lane < 32, first, last))


REDUCE = """
extern "C" __global__ void kernel(const float *given, float *out) {
    const int t = threadIdx.x;
    float sum = given[t];
    if (t < LANES)
        for (int bit = LANES / 2; bit; bit /= 2) sum += __shfl_xor_sync(MASK, sum, READ, WIDTH);
    if (t == 0) out[0] = sum;
}
"""


@pytest.mark.parametrize("lanes", [32, 16])
def test_a_reduction_over_the_right_mask(lanes: int) -> None:
    """The result is the sum of the lanes of the mask, for any behaviour of the other lanes."""
    given = np.arange(32, dtype=np.float32)
    macros = {"LANES": str(lanes), "READ": "bit", "WIDTH": "32", "MASK": hex((1 << lanes) - 1) + "u"}
    assert wrong(
        given[:lanes].sum(keepdims=True),
        lambda seed: emulate(REDUCE, {"given": given, "out": nothing(1)}, seed=seed, **macros)["out"],
    ) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("macros", "message"),
    [
        ({"LANES": "16", "MASK": "~0u"}, "threads 0-15 wait at __shfl_xor_sync .* of 0xffffffff.*16-31 have ended"),
        ({"LANES": "32", "MASK": "0xffffu"}, "is not among the lanes of 0x0000ffff; block 0, thread (1[6-9]|2.|3[01])"),
        ({"LANES": "16", "MASK": "0xffffu", "READ": "16"}, r"value of lane (1[6-9]|2.|3[01]), which is not among"),
        ({"LANES": "32", "MASK": "~0u", "WIDTH": "12"}, "has width 12, which must be 1, 2, 4, 8, 16 or 32"),
        ({"LANES": "32", "MASK": "(bit == 4 ? t & 1 ? 0xaaaaaaaau : 0x55555555u : ~0u)"}, None),
        ({"LANES": "32", "MASK": "(t & 1 ? 0xaaaaaaaau : ~0u)", "READ": "2"}, "0, 2, .* 0xffffffff; .* 1, 3,.* ended"),
    ],
    ids=["lanes that do not come", "caller not in mask", "reads beyond", "width", "right", "masks that differ"],
)
def test_a_reduction_over_a_wrong_mask(macros: dict[str, str], message: str | None) -> None:
    """A lane that calls without being in the mask, or is in it and does not call, is named with the line. Masks may differ."""
    arrays = {"given": np.ones(32, np.float32), "out": nothing(1)}
    macros = {"READ": "bit", "WIDTH": "32"} | macros
    if message is None:
        assert emulate(REDUCE, arrays, **macros)["out"] == 32
    else:
        with pytest.raises(EmulationError, match=message) as error:
            emulate(REDUCE, arrays, **macros)
        assert "__shfl_xor_sync (planted.cu:6)" in str(error.value)


def test_masks_may_overlap_one_after_the_other() -> None:
    """A lane that waits for one neighbour is not confused with one that waits for the other."""
    source = """
    extern "C" __global__ void kernel(int *out) {
        const int t = threadIdx.x;
        int value = t;
        if (t > 0 && t < 3) value += __shfl_xor_sync(6u, value, 3);
        if (t < 2) value += __shfl_xor_sync(3u, value, 1);
        out[t] = value;
    }
    """
    for seed in SEEDS:
        out = emulate(source, {"out": np.zeros(3, np.int32)}, block=3, seed=seed)["out"]
        np.testing.assert_array_equal(out, [3, 3, 3])


@pytest.mark.parametrize(
    ("even", "odd", "message"),
    [
        ("__syncwarp()", "__any_sync(~0u, 1)", "lanes of a warp meet at different operations"),
        ("__syncwarp()", "__syncthreads()", "threads wait for ever"),
        ("__syncthreads()", "(__syncthreads())", "threads meet at different barriers"),
    ],
)
def test_threads_that_meet_at_different_operations(even: str, odd: str, message: str) -> None:
    """If the two sides of a branch synchronise separately, the error says which thread is where."""
    source = """
    extern "C" __global__ void kernel(int) {
        if (threadIdx.x % 2)
            ODD;
        else
            EVEN;
    }
    """
    with pytest.raises(EmulationError, match=message) as error:
        emulate(source, {"unused": np.int32(0)}, block=4, EVEN=even, ODD=odd)
    text = str(error.value)
    assert f"threads 0, 2 wait at {even.split('(')[0]} (planted.cu:6)" in text
    assert f"threads 1, 3 wait at {odd.strip('(').split('(')[0]} (planted.cu:4)" in text


def test_a_barrier_in_a_branch_waits_for_ever() -> None:
    """A barrier that some threads never reach is a deadlock; one that all reach is not."""
    source = """
    extern "C" __global__ void kernel(int threads) {
        if (threadIdx.x < threads) __syncthreads();
    }
    """
    emulate(source, {"threads": np.int32(64)}, grid=2, block=64)
    with pytest.raises(
        EmulationError,
        match=r"threads 0-39 wait at __syncthreads \(planted.cu:3\); threads 40-63 have ended; block [01]$",
    ):
        emulate(source, {"threads": np.int32(40)}, grid=2, block=64)
