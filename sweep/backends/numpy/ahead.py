"""What depends on the step alone, worked out many steps ahead: for a handful of numbers a call costs more than they do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_MOST_STEPS = 1024
_MOST_ELEMENTS = 2**18


class Ahead:
    """A function of steps, remembered over a span of them.

    Parameters
    ----------
    compute : callable
        Returns the values of steps ``first`` to ``stop``, ``(step, ...)``; whichever span is asked, a step's values
        must be the same.
    end : int
        Steps from here on are never asked for.
    elements : int
        Numbers per step; bounds the memory.
    """

    def __init__(self, compute: Callable[[int, int], np.ndarray], end: int, elements: int) -> None:
        self._compute, self._end = compute, end
        self._span = min(_MOST_STEPS, _MOST_ELEMENTS // elements)
        self._first = 0
        self._values = np.empty(0)

    def __call__(self, first: int, stop: int) -> np.ndarray:
        """Return the values of steps ``first`` to ``stop``, ``(stop - first, ...)``."""
        if first < self._first or stop > self._first + len(self._values):
            self._first = first
            self._values = self._compute(first, min(self._end, max(stop, first + self._span)))
        return self._values[first - self._first : stop - self._first]
