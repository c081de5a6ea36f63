"""The machine that the fake CuPy pretends to be on; tests write into it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from support.emulator import EmulatedDevice

#: Names of errors, their numbers, and what CUDA says of them.
ERRORS = {
    "cudaErrorInvalidValue": (1, "invalid argument"),
    "cudaErrorMemoryAllocation": (2, "out of memory"),
    "cudaErrorInsufficientDriver": (35, "CUDA driver version is insufficient for CUDA runtime version"),
    "cudaErrorDevicesUnavailable": (46, "CUDA-capable device(s) is/are busy or unavailable"),
    "cudaErrorNoDevice": (100, "no CUDA-capable device is detected"),
    "cudaErrorECCUncorrectable": (214, "uncorrectable ECC error encountered"),
    "cudaErrorIllegalAddress": (700, "an illegal memory access was encountered"),
    "cudaErrorLaunchTimeout": (702, "the launch timed out and was terminated"),
}


@dataclass
class Machine:
    """The state of the fake machine: its devices, the errors to raise, and what has been called.

    Attributes
    ----------
    error : str
        Of every call of the runtime: what a missing driver gives.
    fails : str
        Of every call that uses the device: the driver answers, and the device does not.
    devices, capability, memory, clock
        How many, their compute capability without the dot, bytes of memory, and kHz: so slow that every job is cut into
        several launches.
    launch_fails : (int, str), optional
        The launch, counted from 0, that fails, and the error that is seen when its stream is next waited for.
    pinned : int, optional
        Bytes of pinned memory in one piece that can be had.
    """

    error: str = ""
    fails: str = ""
    devices: int = 1
    capability: str = "90"
    memory: int = 1 << 33
    clock: int = 16
    launch_fails: tuple[int, str] | None = None
    pinned: int | None = None
    used: int = 0
    peak: int = 0
    launches: int = 0
    uploads: list[tuple[int, ...]] = field(default_factory=list)
    lost: str = ""
    lock: Any = field(default_factory=threading.RLock)
    device: EmulatedDevice = field(default_factory=EmulatedDevice)


#: There is one.
machine = Machine()
