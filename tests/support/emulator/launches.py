"""A kernel launched once, from its text, under as many seeds as a test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.emulator import EmulatedDevice

SEEDS = range(20)


@dataclass(frozen=True)
class Source:
    source: str
    file: str = "planted.cu"


def emulate(
    source: str,
    arguments: dict[str, Any],
    *,
    grid: int = 1,
    block: int = 32,
    shared: int = 0,
    seed: int = 0,
    **macros: str,
) -> dict[str, NDArray[Any]]:
    """Launch the kernel of a source once. Arrays are copied to the device and back, numbers are passed by value."""
    defines = "".join(f"#define {name} {text}\n" for name, text in macros.items())
    device = EmulatedDevice(seed)
    module = device.load(Source(f'{defines}#line 1 "planted.cu"\n{source}'))
    arrays = {k: device.upload(v, k) for k, v in arguments.items() if isinstance(v, np.ndarray)}
    passed = tuple(np.uint64(device.address(arrays[k])) if k in arrays else v for k, v in arguments.items())
    device.launch(module, "kernel", grid, block, shared, passed)
    return {name: device.download(array) for name, array in arrays.items()}


def wrong(expected: NDArray[Any], attempt: Callable[[int], NDArray[Any]]) -> int:
    """Count the seeds for which the result is not the expected one."""
    return sum(not np.array_equal(attempt(seed), expected) for seed in SEEDS)


def nothing(size: int) -> NDArray[np.float32]:
    """Return NaN."""
    return np.full(size, np.nan, np.float32)
