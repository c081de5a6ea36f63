"""Recordings: samples and spikes that were measured, as inputs and as targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from sweep.checks import Duration, OneOf, array, check_fields, number
from sweep.checks.units import Milliseconds
from sweep.errors import JobError
from sweep.model.parameters import Array
from sweep.signals.measurements import Measurements, instants, whole_steps, windows
from sweep.signals.signal import Signal, interval_number, nudged, refuse_shorter, step_times
from sweep.spec import later, stored

Start = Annotated[float, Milliseconds]

READS = ("instant", "mean")
"""What a value of a target is: the state at its time, or the mean over its interval."""


@stored("Samples")
@dataclass(frozen=True, eq=False)
class Samples:
    """Measured values (channel, time), one every ``interval`` ms; the first is at ``start`` ms.

    As an input a value holds until the next. As a target it belongs to its own time, or with ``read = "mean"`` to the whole
    interval that begins there. What lies before 0 ms, where the simulation begins, is never read.
    """

    kind: ClassVar[str] = "samples"
    values: Array
    interval: Duration
    start: Annotated[float, Milliseconds] = later(0.0)
    read: Annotated[str, OneOf(READS)] = later("instant")
    #: Names of the channels, if they are named as the units of a model may be.
    labels: Sequence[str] | None = later(None)

    def __post_init__(self) -> None:
        """Check and freeze the values."""
        values = array("samples.array", self.values)
        if values.ndim not in (1, 2) or values.size == 0:
            raise JobError(
                f"samples.array: must be (time,) or (channel, time) and not empty, but has the shape {values.shape}. "
                f"Reshape it."
            )
        check_fields(self, self.kind)
        object.__setattr__(self, "values", np.atleast_2d(values))
        _refuse_past(self.kind, self.start, self.duration)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.values)

    @property
    def duration(self) -> float:
        """When the signal ends, ms."""
        return self.start + len(self.values[0]) * self.interval

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = nudged(step_times(self, start, stop, dt, self.start) - self.start, dt, abs(self.start))
        number = np.minimum(interval_number(times, self.interval), self.values.shape[1] - 1)
        return np.asarray(np.take(self.values, number, axis=1))

    @property
    def spacing(self) -> float:
        """Time from one sample to the next, ms."""
        return self.interval

    def measurements(self, stop: int, dt: float) -> Measurements:
        """Return the samples as a target has them, those before step ``stop``; see `Measured`."""
        count = min(self.values.shape[1], max(0, math.ceil((stop * dt - self.start) / self.interval)))
        means = StepMeans(self)
        if self.read == "mean" and means.averages(
            dt
        ):  # several in a step: their mean, for every step that is full of them
            begin = max(0, math.ceil(self.start / dt - 1e-9))
            each = np.arange(begin, max(begin, whole_steps(self.duration, stop, dt)))
            return Measurements(each, each + 1, means.sample(begin, begin + len(each), dt))
        times = windows if self.read == "mean" else instants
        first, after, kept = times(self.start, self.interval, count, dt)
        return Measurements(first, after, self.values[:, kept])


@dataclass(frozen=True, eq=False)
class StepMeans:
    """Samples as an input hears them: their mean over each step if they are shorter than it, else held as they are."""

    kind: ClassVar[str] = Samples.kind
    recorded: Samples

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.recorded.channels

    @property
    def duration(self) -> float:
        """When the signal ends, ms."""
        return self.recorded.duration

    def averages(self, dt: float) -> bool:
        """Return whether samples follow each other faster than steps of ``dt`` ms, so that each step has a mean of them."""
        return dt / self.recorded.interval > 1 + 1e-9

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the means over steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        values, ratio = self.recorded.values, dt / self.recorded.interval
        ahead = self.recorded.start / self.recorded.interval
        if not self.averages(dt):
            return self.recorded.sample(start, stop, dt)
        step_times(self, start, stop, dt, self.recorded.start)  # which refuses steps that the recording does not have
        if abs(ratio - round(ratio)) < 1e-9 * ratio:
            ratio = float(round(ratio))
        if abs(ahead - round(ahead)) < 1e-9 * abs(ahead):
            ahead = float(round(ahead))
        # In units of a sample: where each step begins and ends, and the first sample in it.
        begin = np.arange(start, stop, dtype=np.float64) * ratio - ahead
        end = np.arange(start + 1, stop + 1, dtype=np.float64) * ratio - ahead
        first = np.maximum(np.floor(begin), 0.0)
        number = np.minimum(first.astype(np.int64), values.shape[1] - 1)
        # Differences from the first, so that the mean of a constant is the constant.
        base = np.take(values, number, axis=1)
        total = np.zeros_like(base)
        for k in range(1, math.ceil(ratio) + 1):
            overlap = np.clip(np.minimum(end, first + k + 1) - np.maximum(begin, first + k), 0.0, 1.0)
            later = np.take(values, np.minimum(number + k, values.shape[1] - 1), axis=1)
            total += overlap * (later - base)
        means: Array = base + total / ratio
        return means


def heard(signal: Signal) -> Signal:
    """Return a signal as an input hears it: samples that are shorter than a step are averaged over it, not picked."""
    return StepMeans(signal) if isinstance(signal, Samples) else signal


@stored("Spikes")
@dataclass(frozen=True, eq=False)
class Spikes:
    """A spike train rho(t) = sum of delta(t - times), or the numbers of its spikes in windows.

    Without a window a spike is an impulse of area 1, in the step that contains it. With a window of w ms the value at t is the
    number of spikes in the window [start + k w, start + (k + 1) w) that contains t. Times and ``end`` are counted from the
    beginning of the recording, which is at ``start`` ms of the simulation. What lies before 0 ms is never read. Of several
    trains, a channel each, ``times`` has one after the other, and ``sizes`` the number of spikes of each.
    """

    kind: ClassVar[str] = "spikes"
    times: Array
    window: Duration | None = None
    end: Duration | None = None
    start: Annotated[float, Milliseconds] = later(0.0)
    sizes: tuple[int, ...] | None = later(None)

    def __post_init__(self) -> None:
        """Check, sort and freeze the times."""
        times = array("spikes.times", self.times)
        if times.ndim != 1:
            raise JobError(
                f"spikes.times: must be a list of times, but has the shape {times.shape}. Give the times of one unit, a list "
                "of such lists for several, or name a column of the file."
            )
        object.__setattr__(self, "times", times)
        times = array("spikes.times", np.concatenate([np.sort(train) for train in self.trains]))
        if self.end is not None:  # users give it as ``duration``
            remedy = "Leave it out if the recording has no end."
            object.__setattr__(self, "end", number("spikes.duration", self.end, Duration, remedy))
        check_fields(self, self.kind)
        length = math.inf if self.end is None else self.end
        if times.size and (times.min() < 0 or times.max() > length):
            wrong = times.min() if times.min() < 0 else times.max()
            raise JobError(
                f"spikes.times: {wrong:g} ms is outside of 0 to {length:g} ms. "
                f"Shift or drop such spikes, or correct duration and time_unit."
            )
        object.__setattr__(self, "times", times)
        _refuse_past(self.kind, self.start, self.duration)

    @property
    def trains(self) -> list[Array]:
        """The times of each train, sorted, ms from the beginning of the recording."""
        return [self.times] if self.sizes is None else np.split(self.times, np.cumsum(self.sizes)[:-1])

    @property
    def channels(self) -> int:
        """Number of trains."""
        return 1 if self.sizes is None else len(self.sizes)

    @property
    def duration(self) -> float:
        """When the recording ends, ms; inf if its length was not given."""
        return math.inf if self.end is None else self.start + self.end

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times, far = step_times(self, start, stop, dt, self.start), abs(self.start)
        if self.window is not None:
            refuse_shorter(self.kind, "window", self.window, dt, "Leave it out for impulses.")
            return self._counted(interval_number(nudged(times - self.start, dt, far), self.window), dt)
        interval = interval_number(nudged(times, dt), dt)
        hit = [interval_number(nudged(train + self.start, dt, far), dt) for train in self.trains]
        return np.stack([_counts(of_spike, interval) for of_spike in hit]) / dt

    def _counted(self, interval: NDArray[np.int64], dt: float) -> Array:
        """Return the number of spikes in some windows, (channel, window)."""
        assert self.window is not None
        far, width = abs(self.start), self.window
        return np.stack([_counts(interval_number(nudged(train, dt, far), width), interval) for train in self.trains])

    @property
    def spacing(self) -> float:
        """Width of a window, ms; 0 for impulses."""
        return self.window or 0.0

    def measurements(self, stop: int, dt: float) -> Measurements | None:
        """Return the counts of whole windows before step ``stop``, or impulses in every step; see `Measured`."""
        if self.window is None:
            begin = max(0, math.ceil(self.start / dt - 1e-9))
            each = np.arange(begin, max(begin, whole_steps(self.duration, stop, dt)))
            return Measurements(each, each + 1, self.sample(begin, begin + len(each), dt)) if begin else None
        refuse_shorter(self.kind, "window", self.window, dt, "Leave it out for impulses.")
        length = min(self.duration, stop * dt) - self.start
        first, after, number = windows(self.start, self.window, whole_steps(length, None, self.window), dt)
        return Measurements(first, after, self._counted(number, dt))


def _counts(of_spike: NDArray[np.int64], interval: NDArray[np.int64]) -> Array:
    """Return how many of some spikes are in each interval; both are sorted numbers of intervals."""
    ends = np.searchsorted(of_spike, interval, side="right")
    return (ends - np.searchsorted(of_spike, interval, side="left")).astype(np.float64)


def _refuse_past(kind: str, start: float, end: float) -> None:
    """Raise JobError if a recording ends before the simulation begins."""
    if end <= 0:
        raise JobError(
            f"{kind}.start = {start:g} ms: so the recording ends at {end:g} ms, before the simulation begins at 0 ms. "
            "Give a later start."
        )
