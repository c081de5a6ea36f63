"""The emulated device: every planted bug is found, and the kernel without it runs."""

from __future__ import annotations

import gc
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT
from support.emulator import Buffer, EmulatedDevice, EmulationError, Module

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)
SEEDS = range(20)


@dataclass(frozen=True)
class Source:
    source: str
    file: str = "planted.cu"


def emulate(
    source: str,
    arguments: dict[str, Any],
    *,
    grid: int = 1,
    block: int = 32,
    shared: int = 0,
    seed: int = 0,
    **macros: str,
) -> dict[str, NDArray[Any]]:
    """Launch the kernel of a source once; arrays go to the device and come back, numbers go by value."""
    defines = "".join(f"#define {name} {text}\n" for name, text in macros.items())
    device = EmulatedDevice(seed)
    module = device.load(Source(f'{defines}#line 1 "planted.cu"\n{source}'))
    arrays = {k: device.upload(v, k) for k, v in arguments.items() if isinstance(v, np.ndarray)}
    passed = tuple(np.uint64(device.address(arrays[k])) if k in arrays else v for k, v in arguments.items())
    device.launch(module, "kernel", grid, block, shared, passed)
    return {name: device.download(array) for name, array in arrays.items()}


def wrong(expected: NDArray[Any], attempt: Callable[[int], NDArray[Any]]) -> int:
    """Count the seeds under which something else than expected comes out."""
    return sum(not np.array_equal(attempt(seed), expected) for seed in SEEDS)


def nothing(size: int) -> NDArray[np.float32]:
    """Return NaN."""
    return np.full(size, np.nan, np.float32)


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
    """Without its barrier a thread reads the NaN that its partner has not yet replaced, under every seed."""
    given = np.arange(block, dtype=np.float32)

    def reverse(seed: int, **macros: str) -> NDArray[Any]:
        arrays = {"given": given, "out": nothing(block)}
        return emulate(REVERSE, arrays, block=block, shared=4 * block, seed=seed, **macros)["out"]

    assert wrong(given[::-1], lambda seed: reverse(seed, BARRIER=barrier)) == 0
    assert wrong(given[::-1], lambda seed: reverse(seed, BARRIER="")) == len(SEEDS)


def test_a_barrier_of_a_warp_does_not_hold_the_block() -> None:
    """__syncwarp, where the partner is in another warp, does not do the work of __syncthreads."""
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
    """One buffer needs a second barrier, or there must be two: the shuffle in between must not hide that a warp is ahead."""
    start = state = np.arange(128, dtype=np.float32)
    for _ in range(6):
        seen = np.roll(state, -1)
        state = seen + seen.reshape(-1, 2)[:, ::-1].ravel() - 2 * start
    assert wrong(state, lambda seed: ring(seed, 2, "")) == 0
    assert wrong(state, lambda seed: ring(seed, 1, "__syncthreads()")) == 0
    assert wrong(state, lambda seed: ring(seed, 1, "")) >= 1


def test_a_race_comes_back_with_its_seed() -> None:
    """The order is a function of the seed, so what was found once can be looked at again."""
    outcomes = [ring(seed, 1, "").tobytes() for seed in SEEDS]
    assert len(set(outcomes)) > 1
    assert outcomes == [ring(seed, 1, "").tobytes() for seed in SEEDS]


def test_warps_run_in_step_or_far_ahead() -> None:
    """Between barriers of the block, one warp runs to its end first under some seeds, and all take turns under others."""
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
    """No thread is favoured: each of 4 warps starts some of 50 blocks, and so does every lane of 8."""
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
    """The sum of the lanes of the mask comes out, whatever the others do."""
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
    """Who is not in the mask, or is and does not come, is named, with the line; masks may differ if each set is whole."""
    arrays = {"given": np.ones(32, np.float32), "out": nothing(1)}
    macros = {"READ": "bit", "WIDTH": "32"} | macros
    if message is None:
        assert emulate(REDUCE, arrays, **macros)["out"] == 32
    else:
        with pytest.raises(EmulationError, match=message) as error:
            emulate(REDUCE, arrays, **macros)
        assert "__shfl_xor_sync (planted.cu:6)" in str(error.value)


def test_masks_may_overlap_one_after_the_other() -> None:
    """A lane that waits for one neighbour is not taken for one that waits for the other."""
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
    """A branch whose two sides synchronise by themselves is an error that says who is where."""
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
    """A barrier that a part of the threads never reaches is a deadlock, and one that all reach is none."""
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


# --------------------------------------------------------------------------------------------------------------- indices

COPY = """
extern "C" __global__ void kernel(const TYPE *given, TYPE *out, int rows, int columns) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, row = i / columns, column = i % columns;
    if (GUARD) out[WRITE] = given[READ];
}
"""
RIGHT = {"GUARD": "i < rows * columns", "READ": "i", "WRITE": "i", "TYPE": "float"}


def copy(**macros: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run COPY, right but for what the macros change."""
    dtype = np.float64 if macros.get("TYPE") == "double" else np.float32
    given = np.random.default_rng(3).random((5, 9)).astype(dtype)
    arguments = {"given": given, "out": np.full((5, 9), np.nan, dtype), "rows": np.int32(5), "columns": np.int32(9)}
    return given, emulate(COPY, arguments, grid=3, block=16, **RIGHT | macros)["out"]


@pytest.mark.parametrize("number", ["float", "double"])
def test_a_copy_with_right_indices(number: str) -> None:
    """Reads and writes to the very ends of an array are no errors."""
    given, out = copy(TYPE=number)
    np.testing.assert_array_equal(out, given)


@pytest.mark.parametrize(
    ("macros", "message"),
    [
        ({"READ": "i + 1"}, r"byte 180 of the array 'given', which has 180 bytes, is read; block 2, thread 12"),
        ({"WRITE": "i + 1"}, r"byte 180 of the array 'out', which has 180 bytes, is written; block 2, thread 12"),
        ({"READ": "i + 1", "TYPE": "double"}, r"byte 360 of the array 'given', which has 360 bytes, is read"),
        ({"WRITE": "i - 1"}, r"bytes -4 to -1 of the array 'out', before its start, have been written$"),
        ({"WRITE": "i - 5000"}, r"byte -\d+ of the array 'out', which has 180 bytes, is written"),
        ({"GUARD": "true"}, r"byte 18\d of the array 'given', which has 180 bytes, is read; block 2, thread 1[345]"),
        (
            {"READ": "column * columns + row"},
            r"byte \d+ of the array 'given', which has 180 bytes, is read; block [0-2]",
        ),
        ({"READ": "i - (1LL << 40)"}, r"address 0x\w+, where no array is, is read"),
    ],
    ids=["read past", "write past", "double", "write before", "far before", "tail", "transposed", "far away"],
)
def test_a_wrong_index_is_found(macros: dict[str, str], message: str) -> None:
    """Past the end of an array, before its start: the error names the array, the byte and the thread."""
    with pytest.raises(EmulationError, match="kernel in planted.cu: " + message):
        copy(**macros)


SHARED = """
extern "C" __global__ void kernel(float *out, int at) {
    SWEEP_DYNAMIC_SHARED(float, stage);
    if (WRITE) stage[at] = 1;
    out[0] = stage[READ];
}
"""


@pytest.mark.parametrize(
    ("size", "at", "write", "message"),
    [
        (64, 16, 0, "byte 64 of shared memory is read, which has 64 bytes; block 0, thread 0"),
        (64, 16, 1, "byte 64 of shared memory is written, which has 64 bytes; block 0, thread 0"),
        (64, -1, 1, "byte -4 of shared memory has been written, which has 64 bytes; block 0$"),
        (60, 15, 1, "byte 60 of shared memory has been written, which has 60 bytes; block 0$"),
        (0, 0, 0, "byte 0 of shared memory is read, which has 0 bytes"),
        (64, 15, 1, None),
    ],
)
def test_shared_memory_has_ends(size: int, at: int, write: int, message: str | None) -> None:
    """What a kernel touches past the shared memory that the launch asks for, or before it, is an error."""
    arguments = {"out": nothing(1), "at": np.int32(at)}
    macros = {"WRITE": str(write), "READ": "0" if write else "at"}
    if message is None:
        emulate(SHARED, arguments, block=1, shared=size, **macros)
    else:
        with pytest.raises(EmulationError, match=message):
            emulate(SHARED, arguments, block=1, shared=size, **macros)


@pytest.mark.parametrize("written", [True, False])
def test_shared_memory_is_nan_in_every_block(written: bool) -> None:
    """A block does not find what the one before it left behind, as it might on a GPU."""
    source = """
    extern "C" __global__ void kernel(float *out) {
        SWEEP_DYNAMIC_SHARED(float, stage);
        if (WRITTEN) stage[0] = 1;
        out[blockIdx.x] = stage[0];
        stage[0] = 2;
    }
    """
    out = emulate(source, {"out": np.zeros(4, np.float32)}, grid=4, block=1, shared=4, WRITTEN=str(int(written)))["out"]
    np.testing.assert_array_equal(out, np.full(4, 1 if written else np.nan, np.float32))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the processor reads across")
@pytest.mark.parametrize("first", [0, 1])
def test_a_wide_access_that_is_misaligned_is_found(first: int) -> None:
    """Four floats in one piece begin at a multiple of 16 bytes, or the kernel fails as it does on a GPU."""
    source = """
    struct alignas(16) Four { float a, b, c, d; };
    extern "C" __global__ void kernel(const float *given, float *out) {
        *(Four *)out = *(const Four *)(given + FIRST);
    }
    """
    arrays = {"given": np.arange(8, dtype=np.float32), "out": nothing(4)}
    if first == 0:
        np.testing.assert_array_equal(emulate(source, arrays, block=1, FIRST="0")["out"], [0, 1, 2, 3])
    else:
        with pytest.raises(EmulationError, match="an access is misaligned"):
            emulate(source, arrays, block=1, FIRST=str(first))


def test_an_endless_recursion_is_found() -> None:
    """A thread that uses more stack than there is ends in an error, not in another thread's stack."""
    source = """
    __attribute__((noinline)) __device__ float deeper(volatile float *x) {
        volatile float more[100];
        more[0] = *x + 1;
        return deeper(more) + more[0];
    }
    extern "C" __global__ void kernel(float *out) { out[0] = deeper(out); }
    """
    with pytest.raises(EmulationError, match=r"the stack of a thread overflows; block 0, thread 1?[0-9]$"):
        emulate(source, {"out": np.zeros(1, np.float32)}, block=16)


# ---------------------------------------------------------------------------------------------------------------- device

PAIR = np.dtype([("array", np.uint64), ("at", np.int32), ("count", np.int32)], align=True)
ADD = """
struct Pair { float *array; int at, count; };
extern "C" __global__ void __launch_bounds__(2 * (16)) add(const Pair to, const Pair from, const float factor) {
    const int i = threadIdx.x;
    if (i < to.count) to.array[to.at + i] += factor * from.array[from.at + i];
}
"""


@pytest.fixture
def device() -> EmulatedDevice:
    """Return a device of its own for every test."""
    return EmulatedDevice(seed=5, free=12345)


@pytest.fixture
def module(device: EmulatedDevice) -> Module:
    """Compile ADD."""
    return device.load(Source(ADD))


def pair(device: EmulatedDevice, buffer: Buffer, at: int = 0, count: int = 3) -> NDArray[Any]:
    """Return the structure of a part of an array."""
    return np.array((device.address(buffer), at, count), PAIR)


def test_structures_and_numbers_are_passed_by_value(device: EmulatedDevice, module: Module) -> None:
    """A launch takes the bytes of its arguments: structured arrays, arrays, or numbers of NumPy."""
    to, given = device.zeros(5, np.float32), device.upload(np.arange(10, dtype=np.float32))
    words = np.array([device.address(given), 0, 3 << 32 | 7, 0], np.uint64)[::2]
    for source in (pair(device, given, 7), pair(device, given, 7)[None], words):
        device.launch(module, "add", 1, 32, 0, (pair(device, to, 1), source, np.float32(2)))
    device.synchronize()
    np.testing.assert_array_equal(device.download(to), [0, 42, 48, 54, 0])
    assert device.free_bytes() == 12345


def test_an_array_that_nobody_wrote_is_nan(device: EmulatedDevice, module: Module) -> None:
    """What is computed from an empty array is NaN; from a filled one it is not."""
    to = device.full((2, 2), np.float32, 7)
    for given in (device.zeros(3, np.float32), device.full(3, np.float32, 1), device.empty(3, np.float32)):
        device.launch(module, "add", 1, 32, 0, (pair(device, to), pair(device, given), np.float32(1)))
        if given.array[0] >= 0:
            assert not np.isnan(device.download(to)).any()
    np.testing.assert_array_equal(device.download(to), [[np.nan, np.nan], [np.nan, 7]])


def test_a_damage_is_reported_once(device: EmulatedDevice, module: Module) -> None:
    """The launch that adds to what lies before an array is in error (a sum changes one byte of a NaN), the next is not."""
    to, given = device.zeros(3, np.float32), device.full(3, np.float32, 1)
    with pytest.raises(EmulationError, match="bytes -6 to -2 of the array ''"):
        device.launch(module, "add", 1, 32, 0, (pair(device, to, -2), pair(device, given), np.float32(1)))
    device.launch(module, "add", 1, 32, 0, (pair(device, to), pair(device, given), np.float32(1)))
    np.testing.assert_array_equal(device.download(to), [2, 1, 1])


def test_an_array_used_after_it_is_freed(device: EmulatedDevice, module: Module) -> None:
    """An address outlives its array when the host keeps no reference: the next launch that uses it says so."""
    to, given = device.zeros(3, np.float32, "to"), device.full(3, np.float32, 1, "given")
    arguments = (pair(device, to), pair(device, given), np.float32(1))
    device.launch(module, "add", 1, 32, 0, arguments)
    del given
    gc.collect()
    with pytest.raises(
        EmulationError, match=r"byte [048] of the array 'given', which is freed, is read; block 0, thread"
    ):
        device.launch(module, "add", 1, 32, 0, arguments)


def test_addresses_are_aligned_as_far_as_the_size_allows(device: EmulatedDevice) -> None:
    """An array of whole 16 bytes may be read in pieces of 16 bytes, any array in its elements."""
    for size in (0, 4, 16, 20, 4096, 5008):
        assert device.address(device.empty(size, np.uint8)) % (16 if size % 16 == 0 else 4) == 0


@pytest.mark.parametrize(
    ("entry", "grid", "block", "shared", "arguments", "message"),
    [
        ("add", 1, 32, 0, (np.zeros((), PAIR), np.zeros(12, np.uint8), np.float32(1)), "argument 1 has 12 bytes.* 16"),
        ("add", 1, 32, 0, (np.zeros((), PAIR), np.zeros((), PAIR), np.float64(1)), "argument 2 has 8 bytes.* 4"),
        ("add", 1, 32, 0, (np.zeros((), PAIR),), "1 arguments for a kernel that takes 3"),
        ("sub", 1, 32, 0, (), "planted.cu has no kernel sub"),
        ("add", 1, 1025, 0, (), "1 blocks of 1025 threads"),
        ("add", 1, 0, 0, (), "1 blocks of 0 threads"),
        ("add", 0, 32, 0, (), "0 blocks"),
        ("add", 1, 32, 232449, (), "232449 bytes of shared memory"),
    ],
)
def test_a_launch_that_cannot_be(
    device: EmulatedDevice,
    module: Module,
    entry: str,
    grid: int,
    block: int,
    shared: int,
    arguments: tuple[Any, ...],
    message: str,
) -> None:
    """Sizes of arguments, their number, the kernel's name and the limits of a block are checked."""
    with pytest.raises(EmulationError, match=message):
        device.launch(module, entry, grid, block, shared, arguments)


def test_a_null_pointer_is_found(device: EmulatedDevice, module: Module) -> None:
    """An address that was never filled in is reported, and the device goes on working."""
    to = device.zeros(3, np.float32)
    with pytest.raises(EmulationError, match=r"address 0x[048], where no array is, is read"):
        device.launch(module, "add", 1, 32, 0, (pair(device, to), np.array((0, 0, 3), PAIR), np.float32(1)))
    device.launch(module, "add", 1, 32, 0, (pair(device, to), pair(device, to), np.float32(1)))
    np.testing.assert_array_equal(device.download(to), np.zeros(3))


@pytest.mark.parametrize("file", ["one.cu", "other.cu"])
def test_a_source_is_known_by_its_file(device: EmulatedDevice, file: str) -> None:
    """The same text in two files is two kernels: each error names the file it is from."""
    module = device.load(Source('extern "C" __global__ void k(int n) { if (threadIdx.x < n) __syncthreads(); }', file))
    with pytest.raises(EmulationError, match=rf"wait at __syncthreads \({file}:1\)"):
        device.launch(module, "k", 1, 2, 0, (np.int32(1),))


@pytest.mark.parametrize(
    ("line", "message"),
    [("float x = missing;", r"broken\.cu:12:\d+: error: .missing."), ("__shared__ float x[32];", "__shared__")],
)
def test_a_compile_error_names_file_and_line(device: EmulatedDevice, line: str, message: str) -> None:
    """The compiler's message points at the file that #line names; static shared memory does not compile."""
    source = f'#define A 1\n#line 10 "broken.cu"\n\nextern "C" __global__ void kernel(int n) {{\n{line}\n}}\n'
    with pytest.raises(RuntimeError, match=message):
        device.load(Source(source))


def test_kernels_are_found_where_macros_name_them(device: EmulatedDevice) -> None:
    """A kernel may be named or left out by the preprocessor."""
    source = """
    #define ENTRY(name, value) extern "C" __global__ void __launch_bounds__(32) name(int *out) { *out = value; }
    ENTRY(one, 1)
    ENTRY(two, 2)
    #ifndef SWEEP_EMULATED
    ENTRY(three, 3)
    #endif
    """
    module, out = device.load(Source(source)), device.zeros((), np.int32)
    for entry, value in (("one", 1), ("two", 2)):
        device.launch(module, entry, 1, 1, 0, (np.uint64(device.address(out)),))
        assert device.download(out) == value
    with pytest.raises(EmulationError, match="no kernel three"):
        device.launch(module, "three", 1, 1, 0, ())


def test_threads_of_python_compile_and_launch_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One library comes of many compilers at work on the same source, and each launch has its own results and errors."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = Source(ADD, f"{tmp_path.name}.cu")

    def attempt(i: int) -> float | str:
        device = EmulatedDevice(i)
        to, given = device.zeros(3, np.float32, f"to {i}"), device.full(3, np.float32, i)
        try:
            arguments = (pair(device, to, 3 * (i % 2)), pair(device, given), np.float32(1))
            device.launch(device.load(source), "add", 1, 32, 0, arguments)
        except EmulationError as error:
            return str(error)
        return float(device.download(to).sum())

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert outcomes[::2] == [0, 6, 12, 18]
    assert all(f"of the array 'to {2 * i + 1}'" in str(text) for i, text in enumerate(outcomes[1::2]))
    assert [path.suffix for path in next(tmp_path.iterdir()).iterdir()] == [".so"]


def test_pythons_own_fault_handler_is_put_back() -> None:
    """After a kernel's fault has been caught, a fault of the process is reported by faulthandler as ever."""
    script = f"""
import faulthandler, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
faulthandler.enable()
import numpy as np
from support.tests.test_emulator import copy
from support.emulator import EmulationError
try:
    copy(READ="i + 1")
except EmulationError as error:
    print(error, flush=True)
faulthandler._sigsegv()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "byte 180 of the array 'given'" in done.stdout
    assert "Fatal Python error: Segmentation fault" in done.stderr
