"""u(t) and targets: what drives a network, and what it is compared with.

A signal is a small frozen object that can be sampled anywhere: step n, which goes from n dt to (n + 1) dt, uses the
value at n dt, whichever piece of the run is asked for. Times are in ms, frequencies in Hz. Where a signal takes a
number, it takes one per channel too.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep import philox
from sweep.errors import JobError, suggest
from sweep.files import Source, finite_array, read_numbers
from sweep.model import check_value

Array = NDArray[np.float64]
Numbers = float | Sequence[float] | Array

TIME_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
"""Length of a unit of time, ms."""

# Philox stream of white-noise inputs ("input" in ASCII): apart from the streams of the sets under the same seed.
_STREAM = np.array([0x696E707574], dtype=np.uint64)


@runtime_checkable
class Signal(Protocol):
    """What every u(t) and every target offers."""

    kind: ClassVar[str]

    @property
    def channels(self) -> int:
        """Number of channels; 0 is one per unit of the model."""
        ...

    @property
    def duration(self) -> float:
        """How long the signal lasts, ms; inf where it has no end."""
        ...

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``.

        Parameters
        ----------
        start, stop : int
            Absolute step numbers, >= 0; pieces have the same bits as the whole.
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


class _Endless:
    """A signal without an end."""

    @property
    def duration(self) -> float:
        """How long the signal lasts: inf."""
        return math.inf


@dataclass(frozen=True)
class _Formula(_Endless):
    """A signal whose fields are all numbers, one for all channels or one per channel."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the numbers, and that they agree on the number of channels."""
        lengths = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                numbers = _numbers(f"{self.kind}.{field.name}", value)
                lengths[field.name] = len(numbers)
                object.__setattr__(self, field.name, numbers)
        if len(set(lengths.values()) - {1}) > 1:
            raise JobError(
                f"{self.kind}: there must be one number for all channels or one per channel, but there are "
                f"{', '.join(f'{count} of {name}' for name, count in lengths.items())}. Give lists of one length."
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        values = [getattr(self, field.name) for field in fields(self)]
        return max(len(value) for value in values if value is not None)


@dataclass(frozen=True)
class Constant(_Formula):
    """u(t) = value."""

    kind: ClassVar[str] = "constant"
    value: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        return _column(self.value) + np.zeros_like(_times(self, start, stop, dt))


@dataclass(frozen=True)
class Step(_Formula):
    """u(t) = before for t < time, after from then on; time in ms."""

    kind: ClassVar[str] = "step"
    time: Numbers
    after: Numbers
    before: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = _nudged(_times(self, start, stop, dt), dt)
        return np.where(times >= _column(self.time), _column(self.after), _column(self.before))


@dataclass(frozen=True)
class Pulse(_Formula):
    """u(t) = amplitude for ``width`` ms from ``start`` ms, and again every ``period`` ms; else 0."""

    kind: ClassVar[str] = "pulse"
    start: Numbers
    width: Numbers
    amplitude: Numbers
    period: Numbers | None

    def __post_init__(self) -> None:
        """Check that pulses have a width and do not overlap."""
        super().__post_init__()
        if np.min(self.width) <= 0:
            raise JobError(f"pulse.width = {np.min(self.width):g} ms: must be above 0. Use constant(0.0) for no pulse.")
        if self.period is not None and np.any(np.less(self.period, self.width)):
            raise JobError(
                f"pulse.period = {self.period} ms: must be at least the width, {self.width} ms, or pulses overlap. "
                f"Lengthen the period or shorten the width."
            )

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = _nudged(_times(self, start, stop, dt), dt)
        narrowest = float(np.min(self.width))
        _refuse_shorter(self.kind, "width", narrowest, dt, "Use a smaller dt, or a wider and weaker pulse.")
        since = times - _column(self.start)
        phase = since if self.period is None else np.mod(since, _column(self.period))
        return np.where((since >= 0) & (phase < _column(self.width)), _column(self.amplitude), 0.0)


@dataclass(frozen=True)
class Sine(_Formula):
    """u(t) = offset + amplitude sin(2 pi frequency t + phase); frequency in Hz, phase in rad."""

    kind: ClassVar[str] = "sine"
    amplitude: Numbers
    frequency: Numbers
    phase: Numbers
    offset: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        seconds = _times(self, start, stop, dt) / 1000.0
        angle = 2.0 * math.pi * _column(self.frequency) * seconds + _column(self.phase)
        return _column(self.offset) + _column(self.amplitude) * np.sin(angle)


@dataclass(frozen=True)
class WhiteNoise(_Endless):
    """Independent normal numbers, each held for ``interval`` ms, or for one step.

    Number k of the noise is normal k of the Philox generator, so it can be asked for anywhere. The standard deviation
    is that of the held values: the power of the noise is proportional to the interval.
    """

    kind: ClassVar[str] = "white_noise"
    std: float
    seed: int
    channels: int = 1
    interval: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        object.__setattr__(self, "std", _number("white_noise.std", self.std))
        if self.std < 0:
            raise JobError(f"white_noise.std = {self.std:g}: must be >= 0. Remove the sign.")
        for key, least, most in (("seed", 0, 2**64 - 1), ("channels", 1, 2**31 - 1)):
            object.__setattr__(self, key, _integer(f"white_noise.{key}", getattr(self, key), least, most))
        if self.interval is not None:
            remedy = "Leave it out for a new number every step."
            object.__setattr__(self, "interval", _positive("white_noise.interval", self.interval, remedy))

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = _nudged(_times(self, start, stop, dt), dt)
        if self.interval is not None:
            _refuse_shorter(self.kind, "interval", self.interval, dt, "Leave it out for a new number every step.")
        if times.size == 0:
            return np.empty((self.channels, 0))
        index = _interval_number(times, dt if self.interval is None else self.interval)
        first = int(index[0])
        drawn = philox.normals(self.seed, _STREAM, self.channels, first, int(index[-1]) + 1)[:, :, 0]
        return self.std * np.take(drawn.T, index - first, axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Samples:
    """Measured values (channel, time), each held for ``interval`` ms; the first from 0 ms on."""

    kind: ClassVar[str] = "samples"
    values: Array
    interval: float

    def __post_init__(self) -> None:
        """Check and freeze the values."""
        values = finite_array("samples.array", self.values)
        if values.ndim not in (1, 2) or values.size == 0:
            raise JobError(
                f"samples.array: must be (time,) or (channel, time) and not empty, but has the shape {values.shape}. "
                f"Reshape it."
            )
        interval = _positive("samples.interval", self.interval, "It is the time between samples.")
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "values", np.atleast_2d(values))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.values)

    @property
    def duration(self) -> float:
        """How long the signal lasts, ms."""
        return len(self.values[0]) * self.interval

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = _nudged(_times(self, start, stop, dt), dt)
        return np.take(self.values, _interval_number(times, self.interval), axis=1)


@dataclass(frozen=True, eq=False)
class Spikes:
    """A spike train rho(t) = sum of delta(t - times), or the rate code that counts it in windows.

    Without a window a spike is an impulse of area 1 in the step in which it falls. With a window of w ms the value is
    the number of spikes in the window [k w, (k + 1) w) that contains t.
    """

    kind: ClassVar[str] = "spikes"
    channels: ClassVar[int] = 1
    times: Array
    window: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        """Check, sort and freeze the times."""
        times = finite_array("spikes.times", self.times)
        if times.ndim != 1:
            raise JobError(
                f"spikes.times: must be a list of times, but has the shape {times.shape}. "
                f"Give the times of one unit, or name a column of the file."
            )
        times = finite_array("spikes.times", np.sort(times))
        if self.window is not None:
            object.__setattr__(self, "window", _positive("spikes.window", self.window, "Leave it out for impulses."))
        if self.end is not None:
            remedy = "Leave it out if the recording has no end."
            object.__setattr__(self, "end", _positive("spikes.duration", self.end, remedy))
        if times.size and (times[0] < 0 or times[-1] > self.duration):
            wrong = times[0] if times[0] < 0 else times[-1]
            raise JobError(
                f"spikes.times: {wrong:g} ms is outside of 0 to {self.duration:g} ms. "
                f"Shift or drop such spikes, or correct duration and time_unit."
            )
        object.__setattr__(self, "times", times)

    @property
    def duration(self) -> float:
        """How long was recorded, ms; inf if that was not said."""
        return math.inf if self.end is None else self.end

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (1, step); see `Signal`."""
        times = _nudged(_times(self, start, stop, dt), dt)
        if self.window is not None:
            _refuse_shorter(self.kind, "window", self.window, dt, "Leave it out for impulses.")
        width = dt if self.window is None else self.window
        interval = _interval_number(times, width)
        of_spike = _interval_number(_nudged(self.times, dt), width)
        count = np.searchsorted(of_spike, interval, side="right") - np.searchsorted(of_spike, interval, side="left")
        return count[None, :] / (dt if self.window is None else 1.0)


@dataclass(frozen=True, eq=False)
class ModelOutput(_Endless):
    """The rates r of the job's own network with other parameters: a teacher, which the back end simulates first."""

    kind: ClassVar[str] = "model"
    channels: ClassVar[int] = 0
    parameters: Mapping[str, float | Array]
    weights: Array | None = None

    def __post_init__(self) -> None:
        """Check and freeze names, values and weights."""
        parameters: dict[str, float | Array] = {}
        for name, value in self.parameters.items():
            check_value(name, value)
            array = finite_array(name, value)
            parameters[name] = float(array) if array.ndim == 0 else array
        object.__setattr__(self, "parameters", parameters)
        if self.weights is not None:
            weights = finite_array("model_output.weights", self.weights)
            if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
                raise JobError(
                    f"model_output.weights: must be (unit, unit), but has the shape {weights.shape}. "
                    f"Give one network of the ensemble."
                )
            object.__setattr__(self, "weights", weights)

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Refuse: the values are not known before the model has been simulated."""
        raise JobError(
            "model_output: has no values of its own before it is simulated, so it can be a target and not an input. "
            "Write target=Target(model_output(...))."
        )


@dataclass(frozen=True)
class Target:
    """A signal that the rates are compared with, at one or several lags.

    Parameters
    ----------
    signal : Signal
        What was measured; one channel for all units, or one per unit.
    lags : sequence of float
        (lag,), ms, no two the same. At a lag L the rate r(t) is compared with the target y(t + L): for positive L the
        response that was measured comes later than the model's.

    Raises
    ------
    JobError
        If the signal is none, or the lags are not distinct finite numbers.
    """

    signal: Signal
    lags: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        """Check the signal and the lags."""
        if not isinstance(self.signal, Signal):
            raise JobError(
                f"target.signal is a {type(self.signal).__name__}: must be a signal. "
                f"Wrap an array as samples(array, interval), times of spikes as spikes(times)."
            )
        lags = _numbers("target.lags", self.lags)
        if len(set(lags)) < len(lags):
            twice = next(lag for lag in lags if lags.count(lag) > 1)
            raise JobError(f"target.lags: {twice:g} ms is there twice, and every lag must differ. Drop one.")
        object.__setattr__(self, "lags", lags)


def constant(value: Numbers) -> Constant:
    """Make the input u(t) = value.

    Parameters
    ----------
    value : float or sequence of float
        A number, or one per channel.

    Returns
    -------
    Constant
    """
    return Constant(value)


def step(time: Numbers, after: Numbers = 1.0, before: Numbers = 0.0) -> Step:
    """Make an input that changes once.

    Parameters
    ----------
    time : float or sequence of float
        When it changes, ms: the first step that begins at or after this time has the new value.
    after, before : float or sequence of float
        The values from then on, and until then.

    Returns
    -------
    Step
    """
    return Step(time, after, before)


def pulse(start: Numbers, width: Numbers, amplitude: Numbers = 1.0, period: Numbers | None = None) -> Pulse:
    """Make a rectangular pulse, or a train of them.

    Parameters
    ----------
    start : float or sequence of float
        Begin of the (first) pulse, ms.
    width : float or sequence of float
        Length of a pulse, ms; at least one step.
    amplitude : float or sequence of float
        Value during a pulse; 0 elsewhere.
    period : float or sequence of float, optional
        Time from the begin of a pulse to that of the next, ms; without it there is one pulse.

    Returns
    -------
    Pulse
    """
    return Pulse(start, width, amplitude, period)


def sine(amplitude: Numbers = 1.0, frequency: Numbers = 1.0, phase: Numbers = 0.0, offset: Numbers = 0.0) -> Sine:
    """Make the input offset + amplitude sin(2 pi frequency t + phase).

    Parameters
    ----------
    amplitude : float or sequence of float
        Half of the peak-to-peak height.
    frequency : float or sequence of float
        Hz.
    phase : float or sequence of float
        Phase at t = 0, rad.
    offset : float or sequence of float
        Mean.

    Returns
    -------
    Sine
    """
    return Sine(amplitude, frequency, phase, offset)


def white_noise(std: float, seed: int, channels: int = 1, interval: float | None = None) -> WhiteNoise:
    """Make an input of independent normal numbers, the same for every set.

    Noise that differs from set to set is the parameter ``noise`` of the model.

    Parameters
    ----------
    std : float
        Standard deviation of the numbers.
    seed : int
        Seed, below 2**64.
    channels : int
        Number of channels, all independent.
    interval : float, optional
        How long a number is held, ms, at least one step; without it for one step, so that the noise depends on dt.

    Returns
    -------
    WhiteNoise
    """
    return WhiteNoise(std, seed, channels, interval)


def samples(
    array: ArrayLike | Source, interval: float, standardize: bool = False, column: int | None = None
) -> Samples:
    """Make a signal of measured values, each held until the next.

    Parameters
    ----------
    array : array or path
        (time,) or (channel, time); or a file or package resource `sweep.files.read_numbers` can read, which has a row
        per sample and a column per channel.
    interval : float
        Time between samples, ms. The first is at 0 ms.
    standardize : bool
        Shift and scale each channel to mean 0 and standard deviation 1 over all of its samples.
    column : int, optional
        The only column of the file to use, counted from 0.

    Returns
    -------
    Samples

    Raises
    ------
    JobError
        If the file cannot be read or the values are not finite numbers in one or two dimensions.
    """
    values = _load("samples.array", array, column)
    made = Samples(values.T if isinstance(array, str | os.PathLike) else values, interval)
    if not standardize:
        return made
    std = made.values.std(axis=1, keepdims=True)
    if not std.all():
        raise JobError(
            f"samples.standardize = True: channel {int(np.argmin(std))} never changes, so it has no scale. "
            f"Leave it out, or leave standardize out."
        )
    return Samples((made.values - made.values.mean(axis=1, keepdims=True)) / std, interval)


def spikes(
    times: ArrayLike | Source,
    window: float | None = None,
    duration: float | None = None,
    time_unit: str = "ms",
    column: int | None = None,
) -> Spikes:
    """Make a spike train, or its rate code.

    Parameters
    ----------
    times : array or path
        (spike,), in any order; or a file or package resource `sweep.files.read_numbers` can read.
    window : float, optional
        Width of the windows in which spikes are counted, ms, at least one step: the value is the number of spikes in
        the window. Without it spikes are impulses of area 1, the rho(t) of the paper.
    duration : float, optional
        How long was recorded, ms; without it the train goes on, silent, for ever.
    time_unit : str
        Unit of ``times``: ``us``, ``ms`` or ``s``.
    column : int, optional
        The column of the file that holds the times, counted from 0.

    Returns
    -------
    Spikes

    Raises
    ------
    JobError
        If the file cannot be read, or a time is not finite or outside of the recording.
    """
    if time_unit not in TIME_UNITS:
        raise JobError(f"spikes.time_unit = {time_unit!r}: no unit of time. {suggest(str(time_unit), TIME_UNITS)}")
    values = _load("spikes.times", times, column)
    if isinstance(times, str | os.PathLike) and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return Spikes(values * TIME_UNITS[time_unit], window, duration)


def model_output(parameters: Mapping[str, float | Array], weights: ArrayLike | None = None) -> ModelOutput:
    """Make the target that is the rates of the same network with parameters of its own: a teacher.

    Parameters
    ----------
    parameters : mapping
        Name to number, or to one per unit (unit,); what is not named is as in the job's model.
    weights : array, optional
        (unit, unit), the weights of the teacher; without it those of the job's model.

    Returns
    -------
    ModelOutput

    Raises
    ------
    JobError
        If a parameter does not exist or cannot have its value, or the weights are not square.
    """
    return ModelOutput(parameters, None if weights is None else finite_array("model_output.weights", weights))


def _times(signal: Signal, start: int, stop: int, dt: float) -> Array:
    """Return the times of steps in ms, (step,), or refuse those that the signal does not have."""
    times = np.arange(start, stop, dtype=np.float64) * dt
    if start < 0:
        raise JobError(
            f"{signal.kind}: begins at 0 ms, but is needed from {start * dt:g} ms. "
            f"Let the transient be at least as long as the most negative lag."
        )
    if times.size and _nudged(times[-1:], dt)[0] >= signal.duration:
        raise JobError(
            f"{signal.kind}: lasts {signal.duration:g} ms, but is needed until {stop * dt:g} ms. "
            f"Shorten the duration of the run or the longest lag, or give a longer signal."
        )
    return times


def _nudged(times: Array, dt: float) -> Array:
    """Move times up by a billionth of a step, so that n dt never rounds to before the interval that it begins."""
    return times + (1e-9 * dt + 8 * np.finfo(np.float64).eps * times)


def _interval_number(times: Array, width: float) -> NDArray[np.int64]:
    return np.floor(times / width).astype(np.int64)


def _refuse_shorter(kind: str, key: str, length: float, dt: float, remedy: str) -> None:
    if length < dt * (1 - 1e-9):
        raise JobError(f"{kind}.{key} = {length:g} ms: must be at least a step, dt = {dt:g} ms. {remedy}")


def _column(numbers: Numbers) -> Array:
    return np.array(numbers, ndmin=1)[:, None]


def _load(key: str, source: ArrayLike | Source, column: int | None) -> Array:
    if isinstance(source, str | os.PathLike):
        return read_numbers(source, column)
    if column is not None:
        raise JobError(f"{key}: column = {column!r} was given, but only a file has columns. Index the array instead.")
    return finite_array(key, source)


def _numbers(key: str, value: Numbers) -> tuple[float, ...]:
    array = finite_array(key, value)
    if array.ndim > 1 or array.size == 0:
        raise JobError(f"{key} = {value!r}: must be a number or a list of numbers. Write it as such.")
    return tuple(np.atleast_1d(array).tolist())


def _number(key: str, value: float) -> float:
    array = finite_array(key, value)
    if array.ndim:
        raise JobError(f"{key} = {value!r}: must be one number. Write it without brackets.")
    return float(array)


def _positive(key: str, value: float, remedy: str) -> float:
    number = _number(key, value)
    if number <= 0:
        raise JobError(f"{key} = {number:g} ms: must be above 0. {remedy}")
    return number


def _integer(key: str, value: int, least: int, most: int) -> int:
    try:
        whole = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = -1
    if not least <= whole <= most:
        raise JobError(f"{key} = {value!r}: must be a whole number from {least} to {most}. Write for example 1.")
    return whole
