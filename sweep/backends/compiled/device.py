"""The protocol of a device that runs the kernels. A GPU through CuPy is one, and this machine's CPU is another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.backends.compiled.source import Specialisation

#: Some of a job's comparisons, and the kernel that makes them in one pass over the steps.
Compared = tuple[slice, Kernel]
#: Device memory for a span's series and for its records.
SERIES_BYTES, RECORD_BYTES = 2**24, 2**26


class Device(Protocol):
    """A device that runs kernels. Buffers belong to the device; all other arrays are NumPy arrays on the host."""

    @property
    def speed(self) -> float:
        """Lane-instructions per second, approximately. The length of a launch is chosen by this."""
        ...

    @property
    def launch_seconds(self) -> float:
        """Seconds that a launch should take: short enough to show progress and to cancel, long enough to be efficient."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Size of the last cache. If each step reads the state from memory, the state of a batch should fit this."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Return a context in which the work of the calling thread is ordered, independently of other threads."""
        ...

    def load(self, specialisation: Specialisation) -> Any:
        """Compile a specialisation, or take it from the cache; raise BackendError with the compiler's message."""
        ...

    def upload(self, array: np.ndarray, name: str = "") -> Any:
        """Return a copy of an array on the device; raise MemoryError if it does not fit."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str = "") -> Any:
        """Return a new array on the device; raise MemoryError if it does not fit."""
        ...

    def download(self, buffer: Any) -> np.ndarray:
        """Return a copy on the host, made after everything that was launched before has finished."""
        ...

    def address(self, buffer: Any) -> int:
        """Return the address of an array for a kernel."""
        ...

    def passes(self, needs: Needs) -> Sequence[Compared]:
        """Return the kernels of a job: one, or one for each pass. The first also measures all other observables."""
        ...

    def launch(self, module: Any, entry: str, kernel: Kernel, arguments: npt.NDArray[np.void]) -> None:
        """Start a kernel for all sets of its arguments."""
        ...

    def synchronize(self) -> None:
        """Wait until everything that this thread has launched has finished; raise BackendError if any of it failed."""
        ...

    def free_bytes(self) -> int:
        """Return how many bytes new arrays may take."""
        ...
