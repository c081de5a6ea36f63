"""Values that depend on the step alone, computed many steps ahead, because one call costs more than a few numbers do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_MOST_STEPS = 1024
#: The largest number of numbers that are kept, unless a single call asks for more.
AHEAD_ELEMENTS = 2**18


class Ahead:
    """A function of steps whose values are computed for many steps at a time, and kept.

    Parameters
    ----------
    compute : callable
        ``compute(first, stop)`` returns the values of steps ``first`` to ``stop - 1``, ``(step, ...)``. The values of a
        step must not depend on which other steps are computed with it.
    end : int
        Number of steps; none from here on is ever asked for.
    elements : int
        How many numbers a step has. This bounds the memory.
    """

    def __init__(self, compute: Callable[[int, int], np.ndarray], end: int, elements: int) -> None:
        self._compute, self._end = compute, end
        self._span = min(_MOST_STEPS, AHEAD_ELEMENTS // elements)
        self._first = 0
        self._values = np.empty(0)

    def __call__(self, first: int, stop: int) -> np.ndarray:
        """Return the values of steps ``first`` to ``stop - 1``, ``(stop - first, ...)``."""
        if first < self._first or stop > self._first + len(self._values):
            self._first = first
            self._values = self._compute(first, min(self._end, max(stop, first + self._span)))
        return self._values[first - self._first : stop - self._first]
