"""What the engine asks of a device that runs the kernels: little. A GPU through CuPy is one, this CPU another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.backends.compiled.source import Specialisation

#: Some of the comparisons of a job, and the kernel that makes them in a pass over its steps.
Compared = tuple[slice, Kernel]
#: Device memory for a span's series and for its records.
SERIES_BYTES, RECORD_BYTES = 2**24, 2**26


class Device(Protocol):
    """What runs kernels. Buffers are the device's own; everything else is NumPy's."""

    @property
    def speed(self) -> float:
        """Lane-instructions per second, about; what the length of a launch is chosen by."""
        ...

    @property
    def launch_seconds(self) -> float:
        """How long a launch should take: short enough for progress and cancelling, and that nothing else counts."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes that the state of a batch should not exceed where each step reads it anew: the last cache."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Give the calling thread its own order of work on the device."""
        ...

    def load(self, specialisation: Specialisation) -> Any:
        """Compile, or take what was compiled before; raise BackendError with the compiler's words."""
        ...

    def upload(self, array: np.ndarray, name: str = "") -> Any:
        """Return a copy on the device; raise MemoryError where it does not fit."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str = "") -> Any:
        """Return an array on the device; raise MemoryError where it does not fit."""
        ...

    def download(self, buffer: Any) -> np.ndarray:
        """Return a copy on the host, after all that was launched before."""
        ...

    def address(self, buffer: Any) -> int:
        """Return where a kernel finds an array."""
        ...

    def passes(self, needs: Needs) -> Sequence[Compared]:
        """Choose the kernels for a job: one, or several that share its comparisons, the first with all the rest."""
        ...

    def launch(self, module: Any, entry: str, kernel: Kernel, arguments: npt.NDArray[np.void]) -> None:
        """Start a kernel for all the sets that its arguments name."""
        ...

    def synchronize(self) -> None:
        """Wait for all that this thread has launched; raise BackendError if any of it failed."""
        ...

    def free_bytes(self) -> int:
        """Return how much memory a new array may take."""
        ...
