"""Pinned memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy._machine import machine
from cupy.cuda import runtime
from numpy.typing import DTypeLike, NDArray


def empty_pinned(shape: tuple[int, ...], dtype: DTypeLike = float, order: str = "C") -> NDArray[Any]:
    """Return an array of the host that the device can copy to by itself."""
    runtime.use()
    array = np.empty(shape, dtype, order)
    if machine.pinned is not None and array.nbytes > machine.pinned:
        runtime.fail("cudaErrorMemoryAllocation")
    # Nobody may read it before the copy is done.
    array.view(np.uint8).fill(0xFF) if array.size else None
    return array
