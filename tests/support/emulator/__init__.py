"""A device without a GPU: g++ compiles a kernel's own source, and a launch runs it on the CPU, to find what is wrong.

Races and missing barriers show as results that depend on the seed, or as NaN; wrong indices as an error that names the
array: every array ends where a page begins that nobody may touch, and has a canary before it. `emulator.h` says more.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from support.emulator.compiler import library
from support.emulator.memory import STACK, Region, stacks

MOST_THREADS = 1024
MOST_SHARED = 227 << 10
REMEMBERED = 1000  # freed arrays whose addresses stay taken
FAULT = 2

_one_at_a_time = threading.Lock()  # a launch has the signal handlers to itself


class EmulationError(RuntimeError):
    """A kernel did what it must not."""


class Source(Protocol):
    """What a device compiles: a text, and the name of the file it comes from."""

    @property
    def file(self) -> str: ...
    @property
    def source(self) -> str: ...


class Launch(ctypes.Structure):
    """As in emulator.h."""

    _fields_ = (
        ("grid", ctypes.c_uint),
        ("block", ctypes.c_uint),
        ("shared", ctypes.c_size_t),
        ("page", ctypes.c_size_t),
        ("stack", ctypes.c_size_t),
        ("stacks", ctypes.c_void_p),
        ("seed", ctypes.c_ulonglong),
        ("order", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)),
        ("address", ctypes.c_size_t),
        ("verb", ctypes.c_char * 16),
        ("message", ctypes.c_char * 4096),
    )


@dataclass(frozen=True)
class Module:
    """A compiled source."""

    file: str
    library: ctypes.CDLL


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array of the device, freed when there is no reference to it any more."""

    region: Region
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def array(self) -> NDArray[Any]:
        return self.region.array(self.shape, self.dtype)


class EmulatedDevice:
    """Stands in for a GPU.

    Parameters
    ----------
    seed : int
        Of the order in which blocks, warps and lanes run.
    free : int
        How many bytes of memory it says are free.
    """

    def __init__(self, seed: int = 0, free: int = 1 << 30) -> None:
        self._random = np.random.default_rng(seed)
        self._free = free
        self._live: dict[int, Region] = {}
        self._buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._freed: deque[Region] = deque()

    def load(self, specialisation: Source) -> Module:
        """Compile a source, or take what was compiled of it before.

        Raises
        ------
        RuntimeError
            The compiler's message.
        """
        return Module(specialisation.file, library(specialisation.file, specialisation.source))

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike, name: str = "") -> Buffer:
        """Return an array of bytes 0xff: NaN."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        region = Region.reserve(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, name, dtype.itemsize == 8)
        region.array((region.size,), np.dtype(np.uint8)).fill(0xFF)
        self._live[region.base] = region
        buffer = Buffer(region, shape, dtype)
        with self._guard:
            self._buffers.add(buffer)
        weakref.finalize(buffer, _free, region, self._live, self._freed).atexit = False
        return buffer

    def full(self, shape: int | Sequence[int], dtype: DTypeLike, fill: Any, name: str = "") -> Buffer:
        """Return an array of one value."""
        buffer = self.empty(shape, dtype, name)
        buffer.array[...] = fill
        return buffer

    def zeros(self, shape: int | Sequence[int], dtype: DTypeLike, name: str = "") -> Buffer:
        """Return an array of zeros."""
        return self.full(shape, dtype, 0, name)

    def upload(self, array: NDArray[Any], name: str = "") -> Buffer:
        """Return a copy on the device."""
        buffer = self.empty(array.shape, array.dtype, name)
        buffer.array[...] = array
        return buffer

    def download(self, buffer: Buffer) -> NDArray[Any]:
        """Return a copy on the host."""
        return buffer.array.copy()

    def address(self, buffer: Buffer) -> int:
        """Return the address of an array for a kernel."""
        return buffer.region.start

    def launch(
        self, module: Module, entry: str, grid: int, block: int, shared: int, arguments: tuple[NDArray[Any], ...]
    ) -> None:
        """Run a kernel to its end; the arguments' bytes are those of the structures it takes.

        Raises
        ------
        EmulationError
            The kernel touches what it must not, waits for ever, or cannot be launched like this.
        """
        if not (1 <= block <= MOST_THREADS and 1 <= grid < 1 << 31 and 0 <= shared <= MOST_SHARED):
            raise EmulationError(
                f"{entry} in {module.file}: {grid} blocks of {block} threads with {shared} bytes of shared memory; "
                f"a block has 1 to {MOST_THREADS} threads and at most {MOST_SHARED} bytes, a launch at least one block"
            )
        # NumPy's memory is aligned to 16 bytes, a structure inside a caller's array need not be.
        copies = [np.array(argument, copy=True, order="C") for argument in arguments]
        try:
            run = getattr(module.library, f"emulate_{entry}")
        except AttributeError:
            raise EmulationError(f"{module.file} has no kernel {entry}") from None
        with _one_at_a_time:
            order = self._random.permutation(grid).astype(np.uint32)
            seed = int(self._random.integers(1, 1 << 63))
            launch = Launch(grid, block, shared, mmap.PAGESIZE, STACK, stacks(MOST_THREADS), seed, order.ctypes.data)
            launch.count = len(copies)
            launch.arguments = (ctypes.c_void_p * len(copies))(*[copy.ctypes.data for copy in copies])
            launch.sizes = (ctypes.c_size_t * len(copies))(*[copy.nbytes for copy in copies])
            outcome = run(ctypes.byref(launch))
        touched = self._touched(launch.address, launch.verb.decode()) if outcome == FAULT else ""
        wrong = [text for text in (touched + launch.message.decode(), *self._damages()) if text]
        if wrong:
            raise EmulationError(f"{entry} in {module.file}: {'; '.join(wrong)}")

    def synchronize(self) -> None:
        """Do nothing: a launch is over when it returns."""

    def free_bytes(self) -> int:
        """Return how many bytes of memory are free."""
        return self._free

    def _touched(self, address: int, verb: str) -> str:
        for region in [*self._live.values(), *self._freed]:
            if address in region:
                what = f"byte {address - region.start} of the array {region.name!r}, "
                live = region.base in self._live
                return what + (f"which has {region.size} bytes, is {verb}" if live else f"which is freed, is {verb}")
        return f"address {address:#x}, where no array is, is {verb}"

    def _damages(self) -> Iterator[str]:
        with self._guard:
            held = list(self._buffers)  # which no other thread can free meanwhile
        for region in (buffer.region for buffer in held):
            if damage := region.damage():
                region.restore_canary()
                first, last = damage
                yield f"bytes {first} to {last} of the array {region.name!r}, before its start, have been written"


def _free(region: Region, live: dict[int, Region], freed: deque[Region]) -> None:
    region.close()
    freed.append(live.pop(region.base))
    if len(freed) > REMEMBERED:
        freed.popleft().forget()
