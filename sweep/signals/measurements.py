"""Where a target was measured: which steps of the model each measurement is compared with.

A measurement has a value and some steps. An instant has the step that begins at its time, or that contains it. A mean over a
window has all steps that begin in the window, and the rate is averaged over these. So a target is compared once for each
measurement, never in the steps between.

A lag shifts the steps. Measurements whose steps do not all lie in the observed part of the run are left out. What is left is a
`Reading`: when the rates are read. Targets and lags that read the rates in the same steps share a reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sweep.errors import JobError
from sweep.signals.signal import Array, Signal

Steps = npt.NDArray[np.int64]

#: With fewer measurements there is no correlation to speak of: that of two is always 1 or -1.
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measurements in the order of time; the steps of no two of them overlap.

    Attributes
    ----------
    first, stop : ndarray
        (measurement,): the first step of each and the step after its last one, counted from the start of the simulation.
    values : ndarray
        (channel, measurement)
    """

    first: Steps
    stop: Steps
    values: Array


@runtime_checkable
class Measured(Protocol):
    """A signal that knows when it was measured."""

    @property
    def spacing(self) -> float:
        """Time from one measurement to the next, ms; 0 if there is one in every step."""
        ...

    def measurements(self, stop: int, dt: float) -> Measurements | None:
        """Return the measurements before step ``stop``, for steps of ``dt`` ms; None if there is one in every step."""
        ...


@dataclass(frozen=True, eq=False)
class Reading:
    """When the rates are read: once for each measurement, as their mean over some steps.

    Attributes
    ----------
    first, stop : ndarray
        (measurement,): the first step of each and the step after its last one, counted from the start of the simulation.
    """

    first: Steps
    stop: Steps

    @property
    def count(self) -> int:
        """Number of measurements."""
        return len(self.first)

    def closed(self, step: int) -> int:
        """Return how many measurements end before a step."""
        return int(np.searchsorted(self.stop, step, side="right"))

    def opened(self, step: int) -> int:
        """Return how many steps of a measurement lie before a step, if others of its steps do not; else 0."""
        at = self.closed(step)
        return max(0, step - int(self.first[at])) if at < self.count else 0

    def events(self, start: int, stop: int) -> Array:
        """Return what happens in steps ``start`` to ``stop - 1``, (step,).

        -1: the step belongs to no measurement. 0: it belongs to one that goes on. Otherwise it is the last step of a
        measurement, and the number is 1 / (number of its steps).
        """
        low, high = self.closed(start), int(np.searchsorted(self.first, stop))
        change = np.zeros(stop - start + 1, dtype=np.int64)
        np.add.at(change, np.maximum(self.first[low:high] - start, 0), 1)
        np.add.at(change, np.minimum(self.stop[low:high] - start, stop - start), -1)
        events = np.cumsum(change[:-1]) - 1.0
        ends = slice(low, self.closed(stop))
        events[self.stop[ends] - 1 - start] = 1.0 / (self.stop[ends] - self.first[ends])
        return np.asarray(events, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """All comparisons of a job: of every target at every lag.

    Attributes
    ----------
    every_step : bool
        Whether every comparison reads the rates in every observed step. Then there are no readings.
    read : range
        The steps in which a target that has a value for every step is read.
    readings : tuple of Reading
        The readings, each once; empty with ``every_step``.
    of : tuple of int
        (target x lag,): the number of the reading of each comparison.
    kept : tuple of slice
        (target x lag,): which measurements of the target are compared.
    """

    every_step: bool
    read: range
    readings: tuple[Reading, ...] = ()
    of: tuple[int, ...] = ()
    kept: tuple[slice, ...] = ()

    @classmethod
    def between(cls, signals: Sequence[Signal], lags: Sequence[int], observed: range, dt: float) -> Comparisons:
        """Return the comparisons of some targets.

        Parameters
        ----------
        signals : sequence of Signal
            The targets' signals.
        lags : sequence of int
            The lags in steps.
        observed : range
            The observed steps.
        dt : float
            Length of a step, ms.

        Raises
        ------
        JobError
            If fewer than three measurements are left at a lag.
        """
        far = range(observed.start + min(lags, default=0), observed.stop + max(lags, default=0))
        measured = [_steps_of(signal, far.stop, dt) for signal in signals]
        if all(steps is None or _in_every(*steps, far) for steps in measured) and far.start >= 0:
            return cls(True, far)
        readings: list[Reading] = []
        known: dict[tuple[bytes, bytes], int] = {}
        of, kept = [], []
        for signal, steps in zip(signals, measured, strict=True):
            first, stop = steps or _each_step(0, far.stop)
            for lag in lags:
                low = int(np.searchsorted(first, observed.start + lag))
                high = int(np.searchsorted(stop, observed.stop + lag, side="right"))
                if high - low < FEWEST:
                    part = f"from {observed.start * dt:g} to {observed.stop * dt:g} ms"
                    raise JobError(
                        f"target ({signal.kind}): at the lag {lag * dt:g} ms {max(0, high - low)} of its {len(first)} "
                        f"measurements lie wholly in the observed part of the run, {part}, and at least {FEWEST} are needed. "
                        "Lengthen the run, shorten its transient or the lag, or give measurements of that time."
                    )
                own = Reading(first[low:high] - lag, stop[low:high] - lag)
                key = own.first.tobytes(), own.stop.tobytes()
                if key not in known:
                    known[key] = len(readings)
                    readings.append(own)
                of.append(known[key])
                kept.append(slice(low, high))
        return cls(False, range(far.stop), tuple(readings), tuple(of), tuple(kept))

    def values(self, signal: Signal, dt: float) -> Array:
        """Return the values of a target, (channel, measurement): those in the steps that are read, or all."""
        own = _measurements(signal, self.read.stop, dt)
        if own is None:
            return signal.sample(self.read.start, whole_steps(signal.duration, self.read.stop, dt), dt)
        low, high = np.searchsorted(own.first, [self.read.start, self.read.stop])
        return own.values[:, low:high]


def whole_steps(duration: float, stop: int | None, dt: float) -> int:
    """Return how many steps of ``dt`` ms lie wholly in a duration, at most ``stop``; 0 in a negative one."""
    if stop is not None and duration >= stop * dt:
        return stop
    return max(0, int(np.floor(_in_steps(duration, dt))))


def instants(start: float, interval: float, count: int, dt: float) -> tuple[Steps, Steps, npt.NDArray[np.intp]]:
    """Return the steps of measurements at single times, and which of the measurements these are.

    Parameters
    ----------
    start, interval : float
        The time of the first measurement and the time between them, ms.
    count : int
        Number of measurements.
    dt : float
        Length of a step, ms.

    Returns
    -------
    tuple of ndarray
        ``first`` and ``stop`` of `Measurements`, and the numbers of the measurements. Of several measurements in the same
        step only the first has one, and those before 0 ms have none.
    """
    steps = np.floor(_in_steps(start + np.arange(count) * interval, dt, far=abs(start))).astype(np.int64)
    fresh = np.flatnonzero((np.diff(steps, prepend=steps[:1] - 1) > 0) & (steps >= 0))
    return steps[fresh], steps[fresh] + 1, fresh


def windows(start: float, width: float, count: int, dt: float) -> tuple[Steps, Steps, npt.NDArray[np.intp]]:
    """Return the steps of means over windows of ``width`` ms that follow each other, as `instants` does.

    A window has the steps that begin in it. Windows that begin before 0 ms are left out.
    """
    edges = np.ceil(_in_steps(start + np.arange(count + 1) * width, dt, up=False, far=abs(start))).astype(np.int64)
    whole = np.flatnonzero((edges[:-1] >= 0) & (np.diff(edges) > 0))
    return edges[whole], edges[whole + 1], whole


def _in_steps(times: npt.ArrayLike, dt: float, up: bool = True, far: float = 0.0) -> Array:
    """Return times in steps, moved by a billionth of a step, so that n dt is never rounded into the step before.

    Times that were computed from larger ones, up to ``far``, have the rounding errors of these.
    """
    steps = np.asarray(times, dtype=np.float64) / dt
    room = 1e-9 + 8 * np.finfo(np.float64).eps * np.maximum(np.abs(steps), far / dt)
    return np.asarray(steps + room if up else steps - room)


def _steps_of(signal: Signal, stop: int, dt: float) -> tuple[Steps, Steps] | None:
    """Return the steps of a target's measurements; None if it was measured in every step before ``stop``."""
    own = _measurements(signal, stop, dt)
    if own is not None:
        return own.first, own.stop
    last = whole_steps(signal.duration, stop, dt)
    return None if last >= stop else _each_step(0, last)


def _measurements(signal: Signal, stop: int, dt: float) -> Measurements | None:
    return signal.measurements(stop, dt) if isinstance(signal, Measured) else None


def _each_step(start: int, stop: int) -> tuple[Steps, Steps]:
    each = np.arange(start, stop, dtype=np.int64)
    return each, each + 1


def _in_every(first: Steps, stop: Steps, far: range) -> bool:
    """Return whether there is a measurement for each single step of a range."""
    low, high = np.searchsorted(first, [far.start, far.stop])
    return bool(high - low == len(far) and (stop[low:high] - first[low:high] == 1).all())
