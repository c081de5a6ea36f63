"""The kernels as a back end of this process, their very source executed on the CPU (tests/emulator)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from emulator import EmulatedDevice

from sweep.backends import Backend, Probe
from sweep.backends.device import KernelBackend


class Device(EmulatedDevice):
    """Slow enough for the engine to cut every job into several launches."""

    speed = 2e6
    cache_bytes = 1 << 20

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Do nothing: launches are in order."""
        yield


class EmulatedBackend(KernelBackend):
    """What the CuPy back end does, on another device."""

    def __init__(self) -> None:
        super().__init__("emulated", Device())

    def devices(self) -> tuple[str, ...]:
        """Return none: it needs no device of its own."""
        return ()


def look() -> Probe:
    """Say that it works."""
    return Probe(name="emulated", works=True, reason="the kernels, on the CPU", device="fibres")


def load() -> Backend:
    """Return the back end."""
    return EmulatedBackend()
