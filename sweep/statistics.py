"""The statistics over time: what back ends add up step by step, and what is made of it at the end.

A back end accumulates two kinds of numbers of a variable and unit. *Moments*: the mean over the observed steps, and from
the second on the mean power of the deviation from it; they are summed with a shift and merged in float64, so that millions
of steps lose no digits. *Running* numbers: each state changes them at once. A statistic says which of these it needs, and
how its value follows from them. All back ends use this table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Running:
    """A number that every state changes.

    Attributes
    ----------
    kernel : str
        The name of its function in ``kernels/observables.cuh``, which takes the number so far and the new state.
    start : float
        The number before the first state.
    update : callable
        The same for arrays: takes the numbers ``(unit, set)``, which it changes in place, and states
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
    """What a back end has accumulated of one variable; each number is ``(unit, set)``.

    Attributes
    ----------
    final : ndarray
        The state after the last step.
    moments : sequence of ndarray
        Mean, variance, ...: as many as were asked for, float64.
    running : mapping of str to ndarray
        The running numbers by the names of their functions.
    """

    final: Numbers
    moments: Sequence[npt.NDArray[np.float64]] = ()
    running: Mapping[str, Numbers]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """One number of a variable and unit: what it means, what it needs, and how it is computed.

    Attributes
    ----------
    name, long_name : str
        ``{of}`` in the long name stands for what the variable is called.
    value : callable
        Makes it of what was accumulated.
    moments : int
        How many moments it needs: 1 is the mean, 2 the mean and the variance.
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
    """What is wanted of one variable, and what that needs.

    Attributes
    ----------
    names : collection of str
        Statistics, by the names of :data:`STATISTICS`.
    moments : int
        The most moments that one of them needs.
    running : tuple of Running
        The running numbers that they need, each once.
    """

    names: Collection[str]

    @property
    def moments(self) -> int:
        """How many moments are needed."""
        return max((STATISTICS[name].moments for name in self.names), default=0)

    @property
    def running(self) -> tuple[Running, ...]:
        """The running numbers that are needed, in the order of the table."""
        wanted = (number for name, row in STATISTICS.items() if name in self.names for number in row.running)
        return tuple(dict.fromkeys(wanted))

    def values(self, accumulated: Accumulated) -> dict[str, Numbers]:
        """Return the statistics by name, each ``(unit, set)``."""
        return {name: STATISTICS[name].value(accumulated) for name in self.names}
