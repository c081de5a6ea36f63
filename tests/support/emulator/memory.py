"""Arrays of the emulated device: each ends at a protected page, and has a canary before it."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GUARD = 1 << 20
# NaN, as a double or else as a float, and signalling: a sum does not leave it as it is.
CANARIES = {
    wide: np.full(mmap.PAGESIZE // 8, word, np.uint64).view(np.uint8)
    for wide, word in ((True, 0x7FF4_DEAD_7FA0_DEAD), (False, 0x7FA0_DEAD_7FA0_DEAD))
}
STACK = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_NO_RESERVE = 0x4000  # Linux: memory counts when it is touched
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def _map(length: int) -> int:
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    base: int = _libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, kind, -1, 0)
    if base == ctypes.c_void_p(-1).value:
        raise MemoryError(f"{length} bytes: {os.strerror(ctypes.get_errno())}")
    return base


def _protect(base: int, length: int) -> None:
    if _libc.mprotect(base, length, 0):
        raise MemoryError(f"{length} bytes not to be touched: {os.strerror(ctypes.get_errno())}")


@functools.cache
def stacks(count: int) -> int:
    """Return the memory of the threads' stacks, one after the other, with a guard at the low end of each."""
    base = _map(count * STACK)
    for i in range(count):
        _protect(base + i * STACK, STACK // 4)
    return base


@dataclass(frozen=True)
class Region:
    """Where an array lies: guard, canary, array, guard.

    Attributes
    ----------
    name : str
    base, length : int
        Of the whole, in bytes.
    start, size : int
        Of the array.
    wide : bool
        Whether its elements have 8 bytes.
    """

    name: str
    base: int
    length: int
    start: int
    size: int
    wide: bool

    @classmethod
    def reserve(cls, size: int, name: str, wide: bool) -> Region:
        """Map pages so that the array ends at the second guard."""
        inner = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        length = inner + 2 * GUARD
        base = _map(length)
        _protect(base, GUARD)
        _protect(base + length - GUARD, GUARD)
        region = cls(name, base, length, base + GUARD + inner - size, size, wide)
        region.restore_canary()
        return region

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.base + self.length

    def array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the array, which must not outlive the region."""
        return np.ndarray(shape, dtype, (ctypes.c_char * self.size).from_address(self.start))

    @functools.cached_property
    def canary(self) -> NDArray[np.uint8]:
        """The bytes between the guard and the array."""
        first = self.base + GUARD
        return np.ndarray(self.start - first, np.uint8, (ctypes.c_char * (self.start - first)).from_address(first))

    def restore_canary(self) -> None:
        """Write the canary."""
        self.canary[:] = CANARIES[self.wide][: self.canary.size]

    def damage(self) -> tuple[int, int] | None:
        """Return the first and the last byte before the array that have been written, counted from its start."""
        damaged = np.flatnonzero(self.canary != CANARIES[self.wide][: self.canary.size])
        return (int(damaged[0]) - self.canary.size, int(damaged[-1]) - self.canary.size) if damaged.size else None

    def close(self) -> None:
        """Free the memory. The addresses stay reserved, and access to them is an error."""
        _libc.madvise(self.base, self.length, mmap.MADV_DONTNEED)
        _protect(self.base, self.length)

    def forget(self) -> None:
        """Let the addresses be used again."""
        _libc.munmap(self.base, self.length)
