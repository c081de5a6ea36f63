"""The part of CuPy that the back end uses, on the emulated device: for tests where there is no GPU.

Strict where CuPy is, and where CuPy leaves a mistake to chance: kernels and copies happen when their stream is waited for,
memory belongs to the stream that is current when it is allocated, arguments are taken when a kernel is launched.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy import float32 as float32
from numpy.typing import DTypeLike, NDArray

from cupy import cuda as cuda
from cupy._machine import machine
from cupy.cuda import runtime

__version__ = "14.2.0"

_MOST_SHARED = 48 << 10


class _Pointer:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class ndarray:
    """An array on the device."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = float) -> None:
        runtime.use()
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.nbytes = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        with machine.lock:
            if machine.used + self.nbytes > machine.memory:
                raise cuda.memory.OutOfMemoryError(self.nbytes, machine.used)
            machine.used += self.nbytes
            machine.peak = max(machine.peak, machine.used)
            self._buffer = machine.device.empty(shape, self.dtype)
        self._stream = cuda.get_current_stream()
        self.data = _Pointer(machine.device.address(self._buffer))

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            machine.used -= self.nbytes
            # The stream's own later work may reuse the memory, its earlier work still finds it.
            self._stream.add(lambda held=self._buffer: held)

    def get(
        self,
        stream: cuda.Stream | None = None,
        order: str = "C",
        out: NDArray[Any] | None = None,
        blocking: bool = True,
    ) -> NDArray[Any]:
        """Copy to the host: at once if blocking, else when the stream is waited for."""
        runtime.use()
        target = np.empty(self.shape, self.dtype) if out is None else out
        if (target.shape, target.dtype) != (self.shape, self.dtype):
            raise ValueError("out must have the shape and the dtype of the array")
        buffer, stream = self._buffer, stream or cuda.get_current_stream()
        stream.add(lambda: np.copyto(target, machine.device.download(buffer)))
        if blocking:
            stream.synchronize()
        return target

    def set(self, arr: NDArray[Any], stream: cuda.Stream | None = None) -> None:
        """Copy from the host, when the stream is waited for."""
        runtime.use()
        buffer = self._buffer
        (stream or cuda.get_current_stream()).add(lambda: np.copyto(buffer.array, arr))

    def __setitem__(self, place: object, value: ndarray) -> None:
        runtime.use()
        if place is not ...:
            raise NotImplementedError("only a whole array is filled")
        buffer, other = self._buffer, value._buffer
        cuda.get_current_stream().add(lambda: np.copyto(buffer.array, other.array))

    def __add__(self, other: float) -> ndarray:
        return asarray(self.get() + self.dtype.type(other))


def empty(shape: tuple[int, ...], dtype: DTypeLike = float, order: str = "C") -> ndarray:
    """Return an array that nothing is in yet."""
    return ndarray(shape, dtype)


def asarray(a: NDArray[Any], dtype: DTypeLike = None, order: str | None = None, *, blocking: bool = False) -> ndarray:
    """Return a copy on the device."""
    array = ndarray(a.shape, a.dtype)
    machine.uploads.append(a.shape)
    array.set(a.copy())
    return array


def arange(start: int, stop: int | None = None, step: int = 1, dtype: DTypeLike = None) -> ndarray:
    """Return rising numbers."""
    return asarray(np.arange(start, stop, step, dtype))


class _Text:
    def __init__(self, source: str) -> None:
        self.source, self.file = source, "kernel.cu"


class _Function:
    max_dynamic_shared_size_bytes = _MOST_SHARED

    def __init__(self, module: Any, name: str) -> None:
        self._module, self._name = module, name

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
        stream: cuda.Stream | None = None,
    ) -> None:
        runtime.use()
        if not (isinstance(grid, tuple) and isinstance(block, tuple)):
            raise TypeError("grid and block must be tuples")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise cuda.driver.CUDADriverError(1)
        taken = tuple(map(_by_value, args))
        with machine.lock:
            number = machine.launches
            machine.launches += 1

        def run() -> None:
            if machine.launch_fails and machine.launch_fails[0] == number:
                machine.lost = machine.launch_fails[1]
                return
            # A grid or a block of 0 becomes one of 1.
            machine.device.launch(self._module, self._name, max(1, grid[0]), max(1, block[0]), shared_mem, taken)

        (stream or cuda.get_current_stream()).add(run)


def _by_value(argument: Any) -> NDArray[Any]:
    """Return the bytes that CuPy would pass."""
    if isinstance(argument, np.ndarray):
        if argument.size != 1:
            raise TypeError("Only arrays of one element are passed by value")
        return argument.copy()
    if isinstance(argument, ndarray):
        return np.array(argument.data.ptr, np.uint64)
    if isinstance(argument, bool | int | float | complex | np.generic):
        return np.array(argument)
    raise TypeError(f"Unsupported type {type(argument)}")


class RawModule:
    """A source, compiled when its first kernel is asked for."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucode: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool | None = None,
    ) -> None:
        assert code is not None
        assert jitify is None, "CuPy 14 warns of it"
        self._code, self._options = code, options
        self._module: Any = None

    def get_function(self, name: str) -> _Function:
        """Return a kernel."""
        runtime.use()
        if self._module is None:
            try:
                self._module = machine.device.load(_Text(self._code))
            except RuntimeError as error:
                log = re.sub(r"^([\w.]+):(\d+):\d+: error", r"\1(\2): error", str(error), flags=re.MULTILINE)
                raise cuda.compiler.CompileException(log, self._code, "kernel.cu", self._options) from None
        return _Function(self._module, name)


class _Pool:
    def free_bytes(self) -> int:
        """Return what the pool keeps for new arrays."""
        return 0


def get_default_memory_pool() -> _Pool:
    """Return the pool of the device's memory."""
    return _Pool()
