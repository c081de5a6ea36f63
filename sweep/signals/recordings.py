"""Signals that were measured: samples and spikes, from arrays and files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.checks import Duration, OneOf, Whole, array, check_fields, number
from sweep.checks.calls import called
from sweep.checks.units import Milliseconds
from sweep.errors import JobError
from sweep.files import READERS, Column, FromFile, Source
from sweep.model.parameters import Array
from sweep.signals.loaded import Choice, loaded
from sweep.signals.measurements import Measurements, instants, whole_steps, windows
from sweep.signals.signal import Signal, interval_number, nudged, refuse_shorter, step_times
from sweep.signals.spacing import TIME_UNITS
from sweep.signals.trains import Chosen, trains
from sweep.signals.transforms import TRANSFORMS, Part, transformed
from sweep.spec import later, stored

Start = Annotated[float, Milliseconds]

READS = ("instant", "mean")
"""What a value of a target is: the state at its time, or the mean over its interval."""

# Intervals that differ by less are the same, but for the digits that somebody wrote.
_SAME = 1e-6


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
        times = nudged(step_times(self, start, stop, dt, self.start), dt)
        return np.take(self.values, interval_number(times - self.start, self.interval), axis=1)

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
        times = nudged(step_times(self, start, stop, dt, self.start), dt)
        if self.window is not None:
            refuse_shorter(self.kind, "window", self.window, dt, "Leave it out for impulses.")
            interval = interval_number(times - self.start, self.window)
            return np.stack(
                [_counts(interval_number(nudged(train, dt), self.window), interval) for train in self.trains]
            )
        interval = interval_number(times, dt)
        hit = [interval_number(nudged(train + self.start, dt), dt) for train in self.trains]
        return np.stack([_counts(of_spike, interval) for of_spike in hit]) / dt

    def measurements(self, stop: int, dt: float) -> Measurements | None:
        """Return the counts of whole windows before step ``stop``, or impulses in every step; see `Measured`."""
        if self.window is None:
            begin = max(0, math.ceil(self.start / dt - 1e-9))
            each = np.arange(begin, max(begin, whole_steps(self.duration, stop, dt)))
            return Measurements(each, each + 1, self.sample(begin, begin + len(each), dt)) if begin else None
        refuse_shorter(self.kind, "window", self.window, dt, "Leave it out for impulses.")
        length = min(self.duration, stop * dt) - self.start
        first, after, _ = windows(self.start, self.window, whole_steps(length, stop, self.window), dt)
        if not first.size:
            return Measurements(first, after, np.empty((self.channels, 0)))
        low = int(first[0])
        return Measurements(first, after, self.sample(low, int(first[-1]) + 1, dt)[:, first - low])


@called
def samples(
    array: Annotated[ArrayLike | Source, FromFile(("file", "resource", "values"))],
    interval: Duration | None = None,
    standardize: bool = False,
    column: Column | None = None,
    start: Start = 0.0,
    read: Annotated[str, OneOf(READS)] = "instant",
    transform: Annotated[str, OneOf(TRANSFORMS)] | None = None,
    part: Part | None = None,
    columns: Sequence[Column] | None = None,
    time_column: Column | None = None,
    time_unit: Annotated[str, OneOf(TIME_UNITS)] | None = None,
    dims: Sequence[str] | None = None,
    reader: Annotated[str, OneOf(READERS)] | None = None,
    segment: Whole | None = None,
) -> Samples:
    """Make a signal from measured values.

    As an input each value holds until the next; values that follow each other faster than the steps are averaged over each
    step, by how much of the step each of them lasts. As a target each value is compared once, at its own time: with the state
    after the step that begins then.

    Parameters
    ----------
    array : array or path
        The values, (time,) or (channel, time). A text file, or a DataFrame of pandas, has a row for each time and a column
        for each channel; an array in a file means what the array itself means. A DataArray of xarray has its dimensions in
        any order; a record of a result belongs to the steps after which it was kept. An AnalogSignal of neo has its times,
        and keeps its units. For files and package resources see
        `sweep.files.read`.
    interval : float, optional
        Time between samples, ms. It may be left out if the source has times, which then must be even: a coordinate or
        index of times, or a column of times.
    standardize : bool
        Whether to shift and scale each channel to mean 0 and standard deviation 1, after the transform, over all samples or
        over ``part``.
    column : int or str, optional
        The only column to use, by its number, counted from 0, or its name in the header; in a file of several arrays
        the name of one.
    start : float
        When the recording begins, on the clock of the simulation, ms: the time of the first sample. If the source has times,
        it is added to them. What lies before 0 ms is not used. So ``start = -5000`` begins 5 s into the recording.
    read : {"instant", "mean"}
        What a value of a target is: the state at its time, or the mean over the interval that begins at its time. A mean is
        compared with the mean of the rate over the steps of its interval.
    transform : str, optional
        ``dB`` makes amplitudes decibels, 20 log10(value), as a sound level counts them; ``log`` takes the natural logarithm;
        ``standardize`` is the same as ``standardize = True``. It is applied to the samples, before anything is averaged.
    part : tuple of float, optional
        The part over which mean and standard deviation are taken, (from, to) in ms on the clock of the simulation. With
        (transient, duration) of the run it is what is observed; without it all samples count.
    columns : sequence of int or str, optional
        The columns to use, a channel each, in this order; by default all except that of times.
    time_column : int or str, optional
        The column of times. If ``interval`` is left out, a column called time, perhaps with its unit as in ``time (s)``, is
        found without it.
    time_unit : str, optional
        Unit of times that carry none and have none in their header: ``us``, ``ms`` or ``s``; ms by default.
    dims : sequence of str, optional
        What the dimensions of an array or a table are, if they are not as above: ``("time", "channel")`` or
        ``("channel", "time")``. An array with more channels than times needs it.
    reader : str, optional
        ``neo`` reads the file with neo, which knows NWB and the formats of vendors (the extra ``data``); values keep their
        units. ``column`` names one of several signals, and ``columns`` its channels.
    segment : int, optional
        Which segment of such a file, counted from 0, if there are several.

    Returns
    -------
    Samples

    Raises
    ------
    JobError
        If the source cannot be read, if the values are not finite numbers in one or two dimensions, if its times are
        uneven, if it cannot be transformed, or if the recording ends before the simulation begins. A job whose steps need
        what is before the first sample, or after the last, is refused.
    """
    choice = Choice(
        column=column,
        columns=columns,
        time_column=time_column,
        time_unit=time_unit,
        dims=dims,
        reader=reader,
        segment=segment,
        timed=interval is not None,
    )
    found = loaded(array, choice)
    if interval is None:
        interval = found.interval
    if interval is None:
        raise JobError(
            "samples.interval must be given: the time between samples, ms. Add interval = ..., or say which column has the "
            "times: time_column = ..."
        )
    begin = found.begin + number("samples.start", start, Start)
    made = Samples(found.values, interval, begin, read, found.labels)
    if found.interval is not None and abs(found.interval - made.interval) > _SAME * made.interval:
        raise JobError(
            f"samples.interval = {made.interval:g} ms: the times of the recording are {found.interval:g} ms apart. Leave "
            "interval out, or correct time_unit."
        )
    changed = transformed(made.values, made.start, made.interval, transform, standardize, part)
    return made if changed is made.values else replace(made, values=changed)


@called
def spikes(
    times: Annotated[ArrayLike | Source, Milliseconds, FromFile(("file", "resource", "times"))],
    window: Duration | None = None,
    duration: Duration | None = None,
    time_unit: Annotated[str, OneOf(TIME_UNITS)] | None = None,
    column: Column | None = None,
    start: Start = 0.0,
    unit_column: Column | None = None,
    units: Sequence[Column] | None = None,
    reader: Annotated[str, OneOf(READERS)] | None = None,
    segment: Whole | None = None,
) -> Spikes:
    """Make a spike train, or a signal of spike counts; of several units, a channel each.

    Parameters
    ----------
    times : array or path
        The times of the spikes, (spike,), in any order, perhaps with units; or a list of such trains, of which some may be
        empty. Of neo a SpikeTrain, several, or a Segment, which say when the recording begins and ends. A file, a package
        resource or a DataFrame has a row for each spike; see `sweep.files.read`.
    window : float, optional
        Width of the windows in which spikes are counted, ms, at least one step; the first begins with the recording. The
        value is the number of spikes in the window. As a target each number is compared once, with the mean of the rate
        over the steps of its window. Without it spikes are impulses of area 1, as rho(t) in the paper.
    duration : float, optional
        Length of the recording, ms, counted from its beginning as the times are. Without it the signal has no end, and no
        spikes after the last one.
    time_unit : str, optional
        Unit of ``times`` that carry none and have none in their header: ``us``, ``ms`` or ``s``; ms by default.
    column : int or str, optional
        The column of a table that holds the times, by its number, counted from 0, or its name in the header; in a file of
        several arrays the name of one.
    start : float
        When the recording begins, on the clock of the simulation, ms. It is added to all times: a spike at time s of the
        recording occurs at ``start`` + s. What lies before 0 ms is not used. So signals of one recording keep together
        if all of them have the same ``start``.
    unit_column : int or str, optional
        The column of a table that says which unit each spike is of. If neither column is named, a column called unit (or
        neuron, cell, cluster) and one called time are found without it.
    units : sequence of int or str, optional
        The units to use, a channel each, in this order: as the column of units has them, where one without spikes is an
        empty train; of other sources the numbers of trains, counted from 0. By default all, and of a table all that have
        spikes, sorted.
    reader : str, optional
        ``neo`` reads the file with neo, which knows NWB and the formats of vendors (the extra ``data``).
    segment : int, optional
        Which segment of such a file, counted from 0, if there are several.

    Returns
    -------
    Spikes

    Raises
    ------
    JobError
        If the source cannot be read, if a time is not finite or is outside of the recording, if trains do not begin and end
        together, or if the recording ends before the simulation begins.
    """
    chosen = Chosen(
        column=column, time_unit=time_unit, unit_column=unit_column, units=units, reader=reader, segment=segment
    )
    found = trains(times, chosen)
    sizes = None if len(found.times) == 1 else tuple(train.size for train in found.times)
    begin = found.begin + number("spikes.start", start, Start)
    length = found.length if duration is None else duration
    return Spikes(np.concatenate([*found.times]), window, length, begin, sizes)


#: Functions that make recordings, by their kind in a job file.
RECORDINGS: Mapping[str, Callable[..., Signal]] = {"samples": samples, "spikes": spikes}


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
