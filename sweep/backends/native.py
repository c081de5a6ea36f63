"""The native back end: the kernels, compiled on this machine for its CPU, once for each kind of job."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled import cpu as tiles
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.cpu import TileKernel
from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.backends.compiled.source import Specialisation
from sweep.backends.protocol import Entry, Probe, cpu
from sweep.errors import BackendError

_LINE = 64
_ENTRIES = ("transient", "observed")
_OPTIONS = (
    *("-x", "c++", "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti"),
    # Every rounding is written out, so that bits do not depend on what a compiler fuses. Nothing uses errno or traps.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-w"),
)
_INSTALL = "install g++ or clang++, or pip install '.[native]' in a clone of tausweep, or name one in CXX"
#: The largest memory of a call, in bytes.
_MOST_BYTES = 2**29


@functools.cache
def compiler() -> tuple[str, ...] | None:
    """Return the command of the C++ compiler: from ``CXX``, the system, or the ziglang wheel; None if there is none."""
    asked = os.environ.get("CXX", "").strip()
    try:
        commands = [shlex.split(asked)] if asked else [["c++"], ["g++"], ["clang++"]]
    except ValueError:  # a quote that is never closed
        return None
    for command in commands:
        found = shutil.which(command[0])
        if found:
            return (found, *command[1:])
    if not asked and importlib.util.find_spec("ziglang"):
        # Not "c++", which would first build a whole standard library.
        return (sys.executable, "-m", "ziglang", "cc")
    return None


@functools.cache
def target() -> str:
    """Return the compiler's predefined macros, which describe the compiler and this CPU."""
    command = compiler()
    assert command is not None
    done = _called([*command, "-march=native", "-dM", "-E", "-x", "c++", "-"], "")
    return "\n".join(sorted(done.splitlines()))


def vector_bytes() -> int:
    """Return the size of this CPU's vectors in bytes."""
    return 64 if "#define __AVX512F__ 1" in target() else 32 if "#define __AVX2__ 1" in target() else 16


def why_not() -> str:
    """Return why nothing can be compiled here, and what to do; empty if it can."""
    if compiler() is None:
        asked = os.environ.get("CXX", "").strip()
        return (
            f"CXX = {asked!r} is not there; unset it or correct it"
            if asked
            else f"there is no C++ compiler; {_INSTALL}"
        )
    try:
        answer = _library('extern "C" int ask() { return 42; }\n').ask()
    except (BackendError, OSError) as error:
        return " ".join(str(error).split()).rstrip(".")
    return "" if answer == 42 else "what the compiler makes does not run as it should"


def version() -> str:
    """Return the name and the version of the compiler, and the size of the vectors."""
    command = compiler()
    assert command is not None
    first = _called([*command, "--version"], "").splitlines()[0]
    return f"{first}, vectors of {vector_bytes()} bytes"


def _called(command: Sequence[str], source: str) -> str:
    try:
        done = subprocess.run(
            command, input=source, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        raise BackendError(f"the compiler {command[0]!r} cannot be run: {error}; {_INSTALL}.") from error
    if done.returncode:
        raise BackendError(
            f"the compiler {' '.join(command[:3])} ... fails: {done.stderr.strip()[:1500]}\nName another one in CXX, or use "
            "backend = 'numpy'; please report it if the compiler is a recent one."
        )
    return done.stdout


@functools.cache
def folder() -> Path:
    """Return the folder for compiled kernels: in the user's cache, or a temporary one if that cannot be written."""
    from platformdirs import user_cache_path  # here, as psutil below

    own = user_cache_path("tausweep", appauthor=False)
    if own.is_absolute():  # a user without a home keeps the ~
        with contextlib.suppress(OSError):
            own.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=own):
                return own
    made = tempfile.mkdtemp(prefix="tausweep-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _library(text: str) -> ctypes.CDLL:
    """Compile a text and load it, or load it from the cache. Several processes may do this at the same time."""
    command = compiler()
    assert command is not None
    key = _digest("\0".join([text, *command, *_OPTIONS, target()]).encode())
    # The name also has the digest of the content, because loading a file that was cut off would kill the process.
    for kept in folder().glob(f"{key}-*.so"):
        if kept.name == f"{key}-{_digest(kept.read_bytes())}.so":
            return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        made = Path(scratch) / "kernel.so"
        _called([*command, *_OPTIONS, "-o", str(made), "-"], text)
        path = folder() / f"{key}-{_digest(made.read_bytes())}.so"
        os.replace(made, path)
    return ctypes.CDLL(str(path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


class NativeDevice:
    """The CPU of this machine. Its buffers are NumPy arrays, aligned to a cache line."""

    launch_seconds = 0.2
    cache_bytes = 2**30

    def __init__(self) -> None:
        self._vector_bytes = vector_bytes()
        self._modules: dict[Specialisation, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @property
    def speed(self) -> float:
        """Lane-instructions per second of a core, approximately: two vector instructions per cycle, at 2.5 GHz."""
        return 5e9 * self._vector_bytes / 4

    def session(self) -> AbstractContextManager[None]:
        """Return a context that does nothing, because a call ends when its work is done."""
        return contextlib.nullcontext()

    def passes(self, needs: Needs) -> Sequence[tuple[slice, Kernel]]:
        """Return one kernel, because a tile has room for any number of comparisons."""
        return [(slice(0, needs.comparisons), tiles.choose(needs, self._vector_bytes))]

    def load(self, specialisation: Specialisation) -> dict[str, Any]:
        """Compile a specialisation, or take what this process or another one has compiled before."""
        with self._lock:
            if specialisation not in self._modules:
                library = _library(specialisation.source)
                for entry in _ENTRIES:
                    function = getattr(library, entry)
                    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int), ctypes.c_int
                self._modules[specialisation] = {entry: getattr(library, entry) for entry in _ENTRIES}
            return self._modules[specialisation]

    def upload(self, array: np.ndarray, name: str = "") -> np.ndarray:
        """Return an aligned copy of an array."""
        copy = self.empty(array.shape, array.dtype)
        copy[...] = array
        return copy

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str = "") -> np.ndarray:
        """Return a new aligned array."""
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        raw = np.empty(count + _LINE, dtype=np.uint8)
        start = -raw.ctypes.data % _LINE
        return raw[start : start + count].view(dtype).reshape(shape)

    def download(self, buffer: np.ndarray) -> np.ndarray:
        """Return the array itself, which is already on the host."""
        return buffer

    def address(self, buffer: np.ndarray) -> int:
        """Return the address of an array for a kernel."""
        return int(buffer.ctypes.data)

    def launch(self, module: dict[str, Any], entry: str, kernel: Kernel, arguments: npt.NDArray[np.void]) -> None:
        """Run a kernel, without the interpreter's lock."""
        assert isinstance(kernel, TileKernel)
        if module[entry](arguments.ctypes.data, 0, int(arguments["sets"][0])):
            raise MemoryError("the scratch of a tile does not fit in memory")

    def synchronize(self) -> None:
        """Do nothing, because a launch has ended when it returns."""

    def free_bytes(self) -> int:
        """Return how many bytes a call may use."""
        import psutil  # not at the top, because it is not needed for looking which back ends there are

        return min(_MOST_BYTES, int(psutil.virtual_memory().available // 4))


class NativeBackend(KernelBackend):
    """The back end that runs the kernels on this CPU."""

    def __init__(self) -> None:
        super().__init__("native", NativeDevice())

    def concurrency(self, cores: int) -> int:
        """Return one call per core; see :class:`sweep.backends.protocol.Backend`."""
        return cores

    def devices(self) -> tuple[str, ...]:
        """Return none, because all processes share the CPU's cores."""
        return ()


def _probe() -> Probe:
    reason = why_not()
    return Probe(
        name="native",
        works=not reason,
        reason=reason or f"{version()}, on the CPU",
        device=cpu(),
        expected=bool(os.environ.get("CXX", "").strip()) or compiler() is not None,
    )


ENTRY = Entry(name="native", rank=1, probe=_probe, load=NativeBackend)
