"""The protocol of inputs and targets, and how times become steps.

A signal is a small frozen object that can be sampled in any steps. Step n, which goes from n dt to (n + 1) dt, uses the value at
n dt, and this does not depend on which other steps are sampled. Times are in ms, frequencies in Hz. Instead of a number a
signal may always have a number for each channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sweep.checks.units import Hertz, Milliseconds
from sweep.errors import JobError

Array = NDArray[np.float64]
Numbers = float | Sequence[float] | Array
Times = Annotated[Numbers, Milliseconds]
Frequencies = Annotated[Numbers, Hertz]


@runtime_checkable
class Signal(Protocol):
    """An input u(t) or a target, as the rest of the engine sees it."""

    kind: ClassVar[str]

    @property
    def channels(self) -> int:
        """Number of channels; 0 means one for each unit of the model."""
        ...

    @property
    def duration(self) -> float:
        """When the signal ends, ms, on the clock of the simulation; inf if it has no end."""
        ...

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``.

        Parameters
        ----------
        start, stop : int
            Step numbers >= 0, counted from the start of the simulation. Any part has the same bits as the whole.
        dt : float
            Length of a step, ms.

        Returns
        -------
        array of float64
            (channel, step)

        Raises
        ------
        JobError
            If the signal is too short, or cannot be sampled with such steps.
        """
        ...


class Endless:
    """A signal without an end."""

    @property
    def duration(self) -> float:
        """When the signal ends: never."""
        return math.inf


def step_times(signal: Signal, start: int, stop: int, dt: float, begin: float = 0.0) -> Array:
    """Return the times of steps in ms, (step,); raise JobError if the signal, which begins at ``begin`` ms, has not all."""
    times = np.arange(start, stop, dtype=np.float64) * dt
    if start < 0:
        raise JobError(
            f"{signal.kind}: begins at 0 ms, but is needed from {start * dt:g} ms. "
            f"Let the transient be at least as long as the most negative lag."
        )
    if times.size and nudged(times[:1], dt)[0] < begin:
        raise JobError(
            f"{signal.kind}: begins at {begin:g} ms, but is needed from {times[0]:g} ms. Give an earlier start or what was "
            "recorded before; a target is needed only from the transient and the smallest lag on, so make these longer."
        )
    if times.size and nudged(times[-1:], dt)[0] >= signal.duration:
        raise JobError(
            f"{signal.kind}: lasts {signal.duration:g} ms, but is needed until {stop * dt:g} ms. "
            f"Shorten the duration of the run or the longest lag, or give a longer signal."
        )
    return times


def nudged(times: Array, dt: float, far: float = 0.0) -> Array:
    """Move times up by a billionth of a step, so that n dt is never rounded into the interval before.

    Times that were computed from larger ones, up to ``far``, have the rounding errors of these.
    """
    return times + (1e-9 * dt + 8 * np.finfo(np.float64).eps * np.maximum(times, far))


def interval_number(times: Array, width: float) -> NDArray[np.int64]:
    """Return for each time the number of the interval that contains it; interval k is [k width, (k + 1) width)."""
    return np.floor(times / width).astype(np.int64)


def refuse_shorter(kind: str, key: str, length: float, dt: float, remedy: str) -> None:
    """Raise JobError if a length, in ms, is shorter than a step."""
    if length < dt * (1 - 1e-9):
        raise JobError(f"{kind}.{key} = {length:g} ms: must be at least a step, dt = {dt:g} ms. {remedy}")
