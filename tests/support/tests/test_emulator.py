"""The emulated device: every planted bug is found, and the kernel without it runs."""

from __future__ import annotations

import gc
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT
from support.emulator import Buffer, EmulatedDevice, EmulationError, Module
from support.emulator.launches import Source, emulate, nothing

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)

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
    """Access before or after the shared memory of the launch is an error."""
    arguments = {"out": nothing(1), "at": np.int32(at)}
    macros = {"WRITE": str(write), "READ": "0" if write else "at"}
    if message is None:
        emulate(SHARED, arguments, block=1, shared=size, **macros)
    else:
        with pytest.raises(EmulationError, match=message):
            emulate(SHARED, arguments, block=1, shared=size, **macros)


@pytest.mark.parametrize("written", [True, False])
def test_shared_memory_is_nan_in_every_block(written: bool) -> None:
    """A thread block does not find data of the one before it in shared memory, as it might on a GPU."""
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
    """A vector of four floats must begin at a multiple of 16 bytes; otherwise the kernel fails as on a GPU."""
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
    """A thread that uses more stack than there is gives an error, and does not write to another stack."""
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
    """Return a new device for every test."""
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
    """A result computed from an empty array is NaN, and from a filled one it is not."""
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
    """If the host drops its reference, an address points to a freed array: the next launch that uses it fails and says so."""
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
    """An address that was never set is reported, and the device still works afterwards."""
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
    """Several compilers at once make one library of a source, and each launch has its own results and errors."""
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
    """After a kernel's fault has been caught, faulthandler still reports faults of the process."""
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
