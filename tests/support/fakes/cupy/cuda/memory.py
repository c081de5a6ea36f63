"""Errors of the memory pool."""

from __future__ import annotations


class OutOfMemoryError(MemoryError):
    """As CuPy's: what was asked for and what is in use."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        self._size, self._total, self._limit = size, total, limit
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
