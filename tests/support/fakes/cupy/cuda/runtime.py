"""Errors and questions of the CUDA runtime."""

from __future__ import annotations

from typing import Any

from cupy._machine import ERRORS, machine


class CUDARuntimeError(RuntimeError):
    """As CuPy's: made from a number, with the name and the words of the error."""

    def __init__(self, status: int) -> None:
        self.status = status
        name, words = next((name, words) for name, (number, words) in ERRORS.items() if number == status)
        super().__init__(f"{name}: {words}")


def fail(name: str) -> None:
    """Raise an error by its name."""
    raise CUDARuntimeError(ERRORS[name][0])


def _ask() -> None:
    if machine.error:
        fail(machine.error)


def use() -> None:
    """Raise the error of an earlier fault: after a fault every use of the device fails."""
    _ask()
    if machine.lost or machine.fails:
        fail(machine.lost or machine.fails)


def getDeviceCount() -> int:
    """Return how many devices there are."""
    _ask()
    return machine.devices


def memGetInfo() -> tuple[int, int]:
    """Return the free and the whole memory of the device."""
    use()
    return machine.memory - machine.used, machine.memory


def getDeviceProperties(device: int) -> dict[str, Any]:
    """Return what the device is."""
    _ask()
    return {"name": b"Emulated GPU", "totalGlobalMem": machine.memory}


def driverGetVersion() -> int:
    """Return the version of CUDA that the driver is for."""
    return 13000
