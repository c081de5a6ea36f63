"""The kernels as a back end of this process: the same source, executed on the CPU (support/emulator)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.emulator import EmulatedDevice, Module
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.gpu import CudaKernel, passes
from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.backends.protocol import Entry, Probe


class Device(EmulatedDevice):
    """A device that is so slow that every job is cut into several launches."""

    speed = 2e6
    launch_seconds = 0.05
    cache_bytes = 1 << 20

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Do nothing: launches are in order."""
        yield

    def passes(self, needs: Needs) -> Sequence[tuple[slice, Kernel]]:
        """Choose among the designs for GPUs."""
        return passes(needs)

    def launch(self, module: Module, entry: str, kernel: Kernel, arguments: NDArray[np.void]) -> None:
        """Run a kernel to its end."""
        assert isinstance(kernel, CudaKernel)
        grid = kernel.thread_blocks(int(arguments["sets"][0]))
        super().launch(module, entry, grid, kernel.threads, kernel.shared_bytes, (arguments,))


class EmulatedBackend(KernelBackend):
    """The back end that does the same as CuPy's, on the emulated device."""

    def __init__(self) -> None:
        super().__init__("emulated", Device())

    def devices(self) -> tuple[str, ...]:
        """Return none, because it needs no device."""
        return ()


class OnGPU(EmulatedBackend):
    """The emulated back end, which says that it has a GPU. Its memory is not for two threads at once."""

    turn = threading.Lock()

    def simulate(self, *arguments: Any, **options: Any) -> dict[str, np.ndarray]:
        """Let the threads take turns."""
        with self.turn:
            return super().simulate(*arguments, **options)

    def devices(self) -> tuple[str, ...]:
        """Return one."""
        return ("0",)


def look() -> Probe:
    """Say that it works."""
    return Probe(name="emulated", works=True, reason="the kernels, on the CPU", device="fibres")


ENTRY = Entry(name="emulated", rank=-1, probe=look, load=EmulatedBackend)
