"""Inputs u(t) that are formulas or noise. Recordings are in :mod:`sweep.signals.recordings`.

See :mod:`sweep.signals.signal` for how signals are sampled. Times are in ms, frequencies in Hz. Instead of a number a signal may
have a number for each channel.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from annotated_types import Ge, Lt

from sweep import philox
from sweep.checks import Duration, NotNegative, Seed, check_fields, numbers_of, units_of
from sweep.checks.calls import called
from sweep.errors import JobError
from sweep.signals.signal import (
    Array,
    Endless,
    Frequencies,
    Numbers,
    Signal,
    Times,
    interval_number,
    nudged,
    refuse_shorter,
    step_times,
)
from sweep.spec import stored

Channels = Annotated[int, Ge(1), Lt(2**31)]

# Philox stream of white-noise inputs ("input" in ASCII), different from the streams of the sets with the same seed.
_STREAM = np.array([0x696E707574], dtype=np.uint64)


@dataclass(frozen=True)
class Formula(Endless, ABC):
    """A signal whose fields are all numbers: one for all channels, or one for each channel."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the numbers, and that they agree on the number of channels."""
        lengths = {}
        own: Any = type(self)
        units = units_of(own)
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                numbers = numbers_of(f"{self.kind}.{field.name}", value, units[field.name])
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
        return max(map(len, self._columns.values()))

    @abstractmethod
    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""

    @cached_property
    def _columns(self) -> Mapping[str, Array]:
        """The numbers that are given, each ``(channel or 1, 1)``."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.array(value)[:, None] for name, value in given.items() if value is not None}

    def repeated(self, numbers: Mapping[str, Array]) -> Self:
        """Return one formula with the channels of several.

        Parameters
        ----------
        numbers : mapping of str to ndarray
            For some fields the number that each of these formulas has in all its channels, ``(formula,)``. In everything else
            they are like this one.

        Returns
        -------
        Formula
            The channels of the first, then those of the second, and so on.
        """
        count = len(next(iter(numbers.values())))
        # What is the same for all stays one number, so that it is computed once.
        lists: dict[str, Any] = {
            name: tuple(column[:, 0]) * count for name, column in self._columns.items() if len(column) > 1
        }
        return replace(self, **(lists | {name: np.repeat(values, self.channels) for name, values in numbers.items()}))


@stored("Constant")
@dataclass(frozen=True)
class Constant(Formula):
    """u(t) = value."""

    kind: ClassVar[str] = "constant"
    value: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        return self._columns["value"] + np.zeros_like(step_times(self, start, stop, dt))


@stored("Step")
@dataclass(frozen=True)
class Step(Formula):
    """u(t) = before for t < time, and after from then on; time in ms."""

    kind: ClassVar[str] = "step"
    time: Times
    after: Numbers
    before: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = nudged(step_times(self, start, stop, dt), dt)
        own = self._columns
        return np.where(times >= own["time"], own["after"], own["before"])


@stored("Pulse")
@dataclass(frozen=True)
class Pulse(Formula):
    """u(t) = amplitude for ``width`` ms from ``start`` ms, and again every ``period`` ms; else 0."""

    kind: ClassVar[str] = "pulse"
    start: Times
    width: Times
    amplitude: Numbers
    period: Times | None

    def __post_init__(self) -> None:
        """Check that pulses have a width and do not overlap."""
        super().__post_init__()
        if np.min(self.width) <= 0:
            raise JobError(f"pulse.width = {np.min(self.width):g} ms: must be above 0. Use constant(0.0) for no pulse.")
        if self.period is not None and np.any(np.less(self.period, self.width)):
            raise JobError(
                f"pulse.period = {self.period} ms: must be at least the width, {self.width} ms, so that pulses do not overlap. "
                f"Lengthen the period or shorten the width."
            )

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = nudged(step_times(self, start, stop, dt), dt)
        narrowest = float(np.min(self.width))
        refuse_shorter(self.kind, "width", narrowest, dt, "Use a smaller dt, or a wider and weaker pulse.")
        own = self._columns
        since = times - own["start"]
        phase = since if self.period is None else np.mod(since, own["period"])
        return np.where((since >= 0) & (phase < own["width"]), own["amplitude"], 0.0)


@stored("Sine")
@dataclass(frozen=True)
class Sine(Formula):
    """u(t) = offset + amplitude sin(2 pi frequency t + phase); frequency in Hz, phase in rad."""

    kind: ClassVar[str] = "sine"
    amplitude: Numbers
    frequency: Frequencies
    phase: Numbers
    offset: Numbers

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        fastest = np.abs(self.frequency).max()
        if fastest > 500.0 / dt:
            raise JobError(
                f"sine.frequency = {fastest:g} Hz: steps of dt = {dt:g} ms show at most {500.0 / dt:g} Hz. Use a smaller "
                "dt, or a slower sine."
            )
        seconds = step_times(self, start, stop, dt) / 1000.0
        own = self._columns
        wave = 2.0 * math.pi * own["frequency"] * seconds + own["phase"]
        return own["offset"] + own["amplitude"] * np.sin(wave, out=wave)


@stored("WhiteNoise")
@dataclass(frozen=True)
class WhiteNoise(Endless):
    """Independent normal numbers, each of which holds for ``interval`` ms, or for one step.

    Number k of the noise is normal k of the Philox generator, so it can be sampled in any steps. ``std`` is the standard
    deviation of these numbers, so the power of the noise is proportional to the interval.
    """

    kind: ClassVar[str] = "white_noise"
    std: NotNegative
    seed: Seed
    channels: Channels = 1
    interval: Duration | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_fields(self, self.kind)

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, (channel, step); see `Signal`."""
        times = nudged(step_times(self, start, stop, dt), dt)
        if self.interval is not None:
            refuse_shorter(self.kind, "interval", self.interval, dt, "Leave it out for a new number every step.")
        if times.size == 0:
            return np.empty((self.channels, 0))
        index = interval_number(times, dt if self.interval is None else self.interval)
        first = int(index[0])
        drawn = philox.normals(self.seed, _STREAM, self.channels, first, int(index[-1]) + 1)[:, :, 0]
        return self.std * np.take(drawn.T, index - first, axis=1).astype(np.float64)


@called
def constant(value: Numbers) -> Constant:
    """Make the input u(t) = value.

    Parameters
    ----------
    value : float or sequence of float
        The value; a number, or one for each channel.

    Returns
    -------
    Constant
    """
    return Constant(value)


@called
def step(time: Times, after: Numbers = 1.0, before: Numbers = 0.0) -> Step:
    """Make an input that changes once.

    Parameters
    ----------
    time : float or sequence of float
        Time of the change, ms. The first step that begins at or after this time has the new value.
    after : float or sequence of float
        Value after the change.
    before : float or sequence of float
        Value before the change.

    Returns
    -------
    Step
    """
    return Step(time, after, before)


@called
def pulse(start: Times, width: Times, amplitude: Numbers = 1.0, period: Times | None = None) -> Pulse:
    """Make a rectangular pulse, or a train of them.

    Parameters
    ----------
    start : float or sequence of float
        Start of the (first) pulse, ms.
    width : float or sequence of float
        Length of a pulse, ms; at least one step.
    amplitude : float or sequence of float
        Value during a pulse; it is 0 at other times.
    period : float or sequence of float, optional
        Time from the start of a pulse to the start of the next, ms. Without it there is one pulse.

    Returns
    -------
    Pulse
    """
    return Pulse(start, width, amplitude, period)


@called
def sine(amplitude: Numbers = 1.0, frequency: Frequencies = 1.0, phase: Numbers = 0.0, offset: Numbers = 0.0) -> Sine:
    """Make the input offset + amplitude sin(2 pi frequency t + phase).

    Parameters
    ----------
    amplitude : float or sequence of float
        Half of the difference between the largest and the smallest value.
    frequency : float or sequence of float
        Frequency, Hz.
    phase : float or sequence of float
        Phase at t = 0, rad.
    offset : float or sequence of float
        The mean.

    Returns
    -------
    Sine
    """
    return Sine(amplitude, frequency, phase, offset)


@called
def white_noise(std: NotNegative, seed: Seed, channels: Channels = 1, interval: Duration | None = None) -> WhiteNoise:
    """Make an input of independent normal numbers, the same for every set.

    For noise that differs between sets use the parameter ``noise`` of the model. Below about 1 / interval its power is the same
    at all frequencies, std**2 * interval; for a power that does not depend on the interval give std = s / sqrt(interval).

    Parameters
    ----------
    std : float
        Standard deviation of the numbers.
    seed : int
        Seed, below 2**64.
    channels : int
        Number of channels, all independent.
    interval : float, optional
        How long each number holds, ms, at least one step. Without it a number holds for one step, so the noise depends on
        dt, of which a job warns. With it the noise is the same at every dt that divides it.

    Returns
    -------
    WhiteNoise
    """
    return WhiteNoise(std, seed, channels, interval)


#: Functions that make formulas and noise, by their kind in a job file.
WAVEFORMS: Mapping[str, Callable[..., Signal]] = {
    "constant": constant,
    "step": step,
    "pulse": pulse,
    "sine": sine,
    "white_noise": white_noise,
}
