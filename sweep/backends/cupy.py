"""The CuPy back end: the kernels on an NVIDIA GPU. This is the only module that imports CuPy.

It depends on these facts about CuPy: a NumPy array of one element is passed to a kernel by value; a source text is compiled
once, and kept on disk under its content; memory belongs to the stream that is current when it is allocated; and
``-ftz=true`` is always passed to the compiler.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.gpu import CudaKernel, passes
from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.backends.compiled.source import Specialisation
from sweep.backends.protocol import Entry, Probe
from sweep.errors import BackendError

#: Single-precision operations of a multiprocessor per clock, by compute capability; 128 if it is not listed.
_LANES_OF_SM = {"75": 64, "80": 64}
_OLDEST = 75
#: Clock in kHz if the driver does not report it.
_CLOCK = 1_500_000
_INSTALL = (
    "install it from a clone of tausweep with pip install '.[cuda13]', or '.[cuda12]' for a driver older than 580"
)
_CACHE = "CUPY_CACHE_DIR"


def why_not() -> str:
    """Return why CuPy cannot be used here, and what to do; empty if it can be used, tested by a small computation."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; {_INSTALL}"
    unwritable = _ensure_cache()
    if unwritable:
        return unwritable
    try:
        import cupy
    except Exception as error:  # a broken installation raises anything
        return f"CuPy is installed but cannot be imported ({type(error).__name__}: {error}); {_INSTALL}, nothing else of it"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return _explained(error)
    if not count:
        return "there is no CUDA device"
    try:
        capability = int(cupy.cuda.Device().compute_capability)
        if capability < _OLDEST:
            return f"the GPU has compute capability {capability / 10:g}, and the kernels need at least {_OLDEST / 10:g}"
        (cupy.arange(3, dtype=cupy.float32) + 1).get()
    except Exception as error:
        return f"the GPU is there but fails at 1 + 1: {_explained(error)}"
    return ""


def _ensure_cache() -> str:
    """Make sure that CuPy has a folder for compiled kernels. Return what is wrong if the user chose one that cannot be used."""
    asked = os.environ.get(_CACHE)
    folder = Path(os.path.expanduser(asked or "~/.cupy/kernel_cache"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if asked:
            return (
                f"{_CACHE} = {asked!r} cannot be written ({error.strerror}), and CuPy keeps compiled kernels there: set it "
                "to a folder of your own, or unset it"
            )
        # A home that cannot be written is no reason to give up the GPU.
        own = tempfile.mkdtemp(prefix="tausweep-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        os.environ[_CACHE] = own
    return ""


def _explained(error: Exception) -> str:
    """Return what an error of CUDA means, and what to do."""
    text = str(error)
    compact = text.replace("_", "").lower()
    for code, meaning in (
        (
            "InsufficientDriver",
            "the NVIDIA driver is missing or too old for this CuPy: update it (CUDA 13 needs 580 or newer)",
        ),
        (
            "NoDevice",
            f"the driver shows no GPU (CUDA_VISIBLE_DEVICES = {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')})",
        ),
        ("IllegalAddress", "a kernel touched memory that is not its own: please report it"),
        ("LaunchTimeout", "the system stopped a kernel that ran too long, as it does on a GPU that drives a screen"),
        ("ECCUncorrectable", "the GPU's memory is faulty"),
        ("Unavailable", "the GPU is busy or in exclusive use by another process"),
    ):
        if code.lower() in compact:
            return f"{meaning} ({text.strip()})"
    return text.strip() or type(error).__name__


def device_name() -> str:
    """Return the name of the GPU in use and its driver."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    driver = cupy.cuda.runtime.driverGetVersion()
    memory = properties["totalGlobalMem"] / 2**30
    return f"{properties['name'].decode()}, {memory:.0f} GiB, driver for CUDA {driver // 1000}.{driver % 1000 // 10}"


def version() -> str:
    """Return the versions of CuPy and of its compiler."""
    import cupy

    return f"CuPy {cupy.__version__}, NVRTC {'.'.join(map(str, cupy.cuda.nvrtc.getVersion()))}"


class CupyDevice:
    """The current CUDA device of the process."""

    launch_seconds = 0.05

    def __init__(self) -> None:
        import cupy
        import cupyx

        self._cupy, self._pinned = cupy, cupyx.empty_pinned
        self._own = threading.local()
        self._modules: dict[Specialisation, Any] = {}
        self._lock = threading.Lock()
        # New threads start on the first device, and not on the one that is current here.
        self._device = cupy.cuda.Device()
        self._attributes = self._device.attributes
        self._lanes = _LANES_OF_SM.get(self._device.compute_capability, 128)

    @cached_property
    def speed(self) -> float:
        """Single-precision lane-instructions per second."""
        clock = self._attributes.get("ClockRate") or _CLOCK
        return float(self._attributes["MultiProcessorCount"] * self._lanes * clock * 1e3)

    @cached_property
    def cache_bytes(self) -> int:
        """Size of the last cache, in bytes."""
        return int(self._attributes["L2CacheSize"])

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Return a context in which the thread has its own stream, which does not wait for others."""
        with self._translated(), self._device:
            if not hasattr(self._own, "stream"):
                self._own.stream = self._cupy.cuda.Stream(non_blocking=True)
            with self._own.stream:
                yield

    def load(self, specialisation: Specialisation) -> Any:
        """Compile a specialisation with NVRTC, or take it from this process or the cache on disk."""
        with self._lock:
            if specialisation not in self._modules:
                with self._translated(), self._device:
                    self._modules[specialisation] = self._compiled(specialisation.source)
            return self._modules[specialisation]

    def _compiled(self, source: str) -> dict[str, Any]:
        module = self._cupy.RawModule(code=source, options=("--std=c++17", "--fmad=false"))
        try:
            return {entry: module.get_function(entry) for entry in ("transient", "observed")}
        except OSError as error:
            raise BackendError(
                f"CuPy cannot keep a compiled kernel ({error}): set {_CACHE}, and TMPDIR if need be, to folders that can be "
                "written."
            ) from error

    def upload(self, array: np.ndarray, name: str = "") -> Any:
        """Return a copy of an array on the device. A broadcast array is sent once and repeated there."""
        held = array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]
        sent = self._cupy.asarray(np.ascontiguousarray(held))
        if held.shape == array.shape:
            return sent
        repeated = self.empty(array.shape, array.dtype)
        repeated[...] = sent
        return repeated

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str = "") -> Any:
        """Return a new array on the device."""
        return self._cupy.empty(shape, dtype=dtype)

    def download(self, buffer: Any) -> np.ndarray:
        """Return a copy on the host. It goes through pinned memory, with which the bus is fast."""
        pinned = self._pinned(buffer.shape, buffer.dtype)
        buffer.get(out=pinned, blocking=True)
        return np.array(pinned)

    def address(self, buffer: Any) -> int:
        """Return the address of an array for a kernel."""
        return int(buffer.data.ptr)

    def passes(self, needs: Needs) -> Sequence[tuple[slice, Kernel]]:
        """Return the kernels of a job, chosen among the designs for GPUs."""
        return passes(needs)

    def launch(self, module: Any, entry: str, kernel: Kernel, arguments: npt.NDArray[np.void]) -> None:
        """Start a kernel on the thread's stream."""
        assert isinstance(kernel, CudaKernel)
        grid = kernel.thread_blocks(int(arguments["sets"][0]))
        module[entry]((grid,), (kernel.threads,), (arguments,), shared_mem=kernel.shared_bytes)

    def synchronize(self) -> None:
        """Wait for the thread's stream."""
        self._own.stream.synchronize()

    def free_bytes(self) -> int:
        """Return the bytes that the driver has free, plus those that CuPy keeps for new arrays."""
        with self._translated(), self._device:
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            return int(free + self._cupy.get_default_memory_pool().free_bytes())

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of CuPy into ours. Its OutOfMemoryError needs nothing: it is a MemoryError."""
        cuda = self._cupy.cuda
        try:
            yield
        except cuda.compiler.CompileException as error:
            raise BackendError(
                f"a kernel does not compile on this machine: {str(error).strip()[:2000]}\nPlease report it. The run goes on "
                "with backend = 'numpy'."
            ) from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            if "memoryallocation" in str(error).lower() or "out_of_memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise BackendError(
                f"the GPU failed: {_explained(error)}. Finished blocks are kept; run again to resume, with backend = 'numpy' "
                "if need be."
            ) from error


class CupyBackend(KernelBackend):
    """The back end that runs the kernels on a GPU."""

    def __init__(self) -> None:
        super().__init__("cupy", CupyDevice())

    def devices(self) -> tuple[str, ...]:
        """Return the visible devices, by their names in ``CUDA_VISIBLE_DEVICES``."""
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
        return tuple((named or list(map(str, range(count))))[:count])


def _probe() -> Probe:
    reason = why_not()
    return Probe(
        name="cupy",
        works=not reason,
        reason=reason or f"{version()}, on the GPU",
        device="" if reason else device_name(),
        expected=importlib.util.find_spec("cupy") is not None,
    )


ENTRY = Entry(name="cupy", rank=0, probe=_probe, load=CupyBackend)
