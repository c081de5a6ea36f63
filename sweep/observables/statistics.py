"""The statistics over time: the numbers that back ends accumulate step by step, and the values computed from them at the end.

For a variable and a unit a back end accumulates two kinds of numbers. *Moments* are the mean over the observed steps, the mean of
the squared deviation from it (the variance), and so on. They are summed with a shift and merged in float64, so that millions of
steps lose no digits. *Running* numbers are updated by each state. A statistic says which of these it needs, and how its value is
computed from them. All back ends use this table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Running:
    """A number that is updated by every state.

    Attributes
    ----------
    kernel : str
        Name of the function in ``kernels/observables.cuh`` that takes the number so far and the new state.
    start : float
        The number before the first state.
    update : callable
        The same function for arrays. It takes the numbers ``(unit, set)``, which it changes in place, and states
        ``(step, unit, set)``.
    """

    kernel: str
    start: float
    update: Callable[[Numbers, Numbers], object]


def _lower(lowest: Numbers, states: Numbers) -> object:
    return np.minimum(lowest, np.minimum.reduce(states, axis=0), out=lowest)


def _raise(highest: Numbers, states: Numbers) -> object:
    return np.maximum(highest, np.maximum.reduce(states, axis=0), out=highest)


LOWEST = Running("lowest", np.inf, _lower)
HIGHEST = Running("highest", -np.inf, _raise)


@dataclass(frozen=True, kw_only=True)
class Accumulated:
    """The numbers that a back end has accumulated of one variable, each ``(unit, set)``.

    Attributes
    ----------
    final : ndarray
        The state after the last step.
    moments : sequence of ndarray
        Mean, variance, ..., as many as were asked for; float64.
    running : mapping of str to ndarray
        The running numbers, by the names of their kernel functions.
    """

    final: Numbers
    moments: Sequence[npt.NDArray[np.float64]] = ()
    running: Mapping[str, Numbers]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A statistic of a variable and a unit: its meaning, what it needs, and how it is computed.

    Attributes
    ----------
    name, long_name : str
        Its name and its meaning. ``{of}`` in the long name stands for the meaning of the variable.
    value : callable
        Computes it from the accumulated numbers.
    moments : int
        Number of moments that it needs: 1 for the mean, 2 for the mean and the variance.
    running : tuple of Running
        The running numbers that it needs.
    """

    name: str
    long_name: str
    value: Callable[[Accumulated], Numbers]
    moments: int = 0
    running: tuple[Running, ...] = ()


STATISTICS: Mapping[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        Statistic(name="mean", long_name="mean over time of the {of}", moments=1, value=lambda a: a.moments[0]),
        Statistic(name="var", long_name="variance over time of the {of}", moments=2, value=lambda a: a.moments[1]),
        Statistic(
            name="std",
            long_name="standard deviation over time of the {of}",
            moments=2,
            value=lambda a: np.sqrt(a.moments[1]),
        ),
        Statistic(
            name="min",
            long_name="smallest value over time of the {of}",
            running=(LOWEST,),
            value=lambda a: a.running[LOWEST.kernel],
        ),
        Statistic(
            name="max",
            long_name="largest value over time of the {of}",
            running=(HIGHEST,),
            value=lambda a: a.running[HIGHEST.kernel],
        ),
        Statistic(name="final", long_name="{of} after the last step", value=lambda a: a.final),
    )
}


@dataclass(frozen=True)
class Wanted:
    """The statistics that are wanted of one variable, and the numbers that they need.

    Attributes
    ----------
    names : collection of str
        The statistics, by their names in :data:`STATISTICS`.
    moments : int
        Number of moments that they need.
    running : tuple of Running
        The running numbers that they need, each once.
    """

    names: Collection[str]

    @property
    def moments(self) -> int:
        """Number of moments that are needed."""
        return max((STATISTICS[name].moments for name in self.names), default=0)

    @property
    def running(self) -> tuple[Running, ...]:
        """The running numbers that are needed, in the order of the table."""
        wanted = (number for name, row in STATISTICS.items() if name in self.names for number in row.running)
        return tuple(dict.fromkeys(wanted))

    def values(self, accumulated: Accumulated) -> dict[str, Numbers]:
        """Return the statistics by name, each ``(unit, set)``."""
        return {name: STATISTICS[name].value(accumulated) for name in self.names}
