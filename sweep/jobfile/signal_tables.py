"""The tables ``[input]`` and ``[target]`` of a job file: u(t), and what the rates are compared with; see ``tables.py``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sweep.jobfile.values import (
    ByParameter,
    Count,
    Flag,
    NotNegative,
    Number,
    Numbers,
    OneOf,
    ParameterKey,
    Positive,
    Sourced,
    Table,
    Values,
    Ways,
    Whole,
)
from sweep.signals.recordings import TIME_UNITS


class ConstantSignal(Table):
    """u(t) = value."""

    kind: Literal["constant"]
    """u(t) = value."""
    value: Numbers
    """The value, or one per channel."""


class StepSignal(Table):
    """An input that changes once."""

    kind: Literal["step"]
    """One value until a time, another from then on."""
    time: Numbers
    """When it changes, ms; or one per channel."""
    after: Numbers = 1.0
    """The value from then on, or one per channel."""
    before: Numbers = 0.0
    """The value until then, or one per channel."""


class PulseSignal(Table):
    """A rectangular pulse, or a train of them."""

    kind: Literal["pulse"]
    """A rectangular pulse, or a train of them; 0 elsewhere."""
    start: Numbers
    """Begin of the first pulse, ms; or one per channel."""
    width: Numbers
    """Length of a pulse, ms; or one per channel."""
    amplitude: Numbers = 1.0
    """Value during a pulse, or one per channel."""
    period: Numbers | None = None
    """Time from the begin of a pulse to that of the next, ms; without it there is one pulse."""


class SineSignal(Table):
    """offset + amplitude sin(2 pi frequency t + phase)."""

    kind: Literal["sine"]
    """u(t) = offset + amplitude sin(2 pi frequency t + phase)."""
    amplitude: Numbers = 1.0
    """Half of the peak-to-peak height, or one per channel."""
    frequency: Numbers = 1.0
    """Hz; or one per channel."""
    phase: Numbers = 0.0
    """Phase at t = 0, rad; or one per channel."""
    offset: Numbers = 0.0
    """Mean, or one per channel."""


class WhiteNoiseSignal(Table):
    """Independent normal numbers, the same for every set."""

    kind: Literal["white_noise"]
    """Independent normal numbers, the same for every set."""
    std: NotNegative
    """Standard deviation of the numbers."""
    seed: Whole
    """Seed of the numbers."""
    channels: Count = 1
    """Number of channels, all independent."""
    interval: Positive | None = None
    """How long a number is held, ms; without it for one step."""


class SamplesSignal(Sourced):
    """Measured values, each held until the next."""

    ways: ClassVar[Ways] = (*Sourced.ways, ("values",))

    kind: Literal["samples"]
    """Measured values, each held until the next; a file has a row per sample and a column per channel."""
    values: list[Numbers] | None = None
    """The values, (time,), or a list for every channel."""
    interval: Positive
    """Time between samples, ms; the first is at 0 ms."""
    standardize: Flag = False
    """Shift and scale every channel to mean 0 and standard deviation 1."""
    column: Whole | None = None
    """The only column of the file to use, counted from 0."""


class SpikesSignal(Sourced):
    """A spike train, or its rate code."""

    ways: ClassVar[Ways] = (*Sourced.ways, ("times",))

    kind: Literal["spikes"]
    """A spike train: impulses of area 1, or with a window the number of spikes in it."""
    times: list[Number] | None = None
    """Times of the spikes, in time_unit."""
    window: Positive | None = None
    """Width of the windows in which spikes are counted, ms; without it spikes are impulses of area 1."""
    duration: Positive | None = None
    """How long was recorded, ms; without it the train is silent after its last spike."""
    time_unit: Annotated[str, OneOf(TIME_UNITS)] = "ms"
    """Unit of the times."""
    column: Whole | None = None
    """The column of the file that holds the times, counted from 0."""


class _Lagged(Table):
    lags: Values = Field(default=[0.0])
    """Lags L, ms, at which the rate r(t) is compared with the target at t + L; all targets share them."""


class ConstantTarget(ConstantSignal, _Lagged):
    """A constant that the rates are compared with."""


class StepTarget(StepSignal, _Lagged):
    """A step that the rates are compared with."""


class PulseTarget(PulseSignal, _Lagged):
    """A pulse that the rates are compared with."""


class SineTarget(SineSignal, _Lagged):
    """A sine that the rates are compared with."""


class WhiteNoiseTarget(WhiteNoiseSignal, _Lagged):
    """Noise that the rates are compared with."""


class SamplesTarget(SamplesSignal, _Lagged):
    """Measured values that the rates are compared with."""


class SpikesTarget(SpikesSignal, _Lagged):
    """Spikes that the rates are compared with."""


class RateConstants(Table):
    """Time constants by their rate constants alpha = dt/tau."""

    tau_s: Positive | None = None
    """alpha_s = dt/tau_s, dimensionless."""
    tau_r: Positive | None = None
    """alpha_r = dt/tau_r, dimensionless."""


class ModelTarget(_Lagged):
    """The rates of the job's own network with other parameters, a teacher."""

    kind: Literal["model"]
    """The rates of the job's own network with other parameters: a teacher."""
    parameters: Annotated[dict[ParameterKey, Numbers], ByParameter()] = Field(default_factory=dict)
    """Parameters of the teacher; what is not named is as in the model."""
    rate_constants: RateConstants | None = None
    """Time constants of the teacher by their rate constants alpha = dt/tau."""


Signal = Annotated[
    ConstantSignal | StepSignal | PulseSignal | SineSignal | WhiteNoiseSignal | SamplesSignal | SpikesSignal,
    Field(discriminator="kind"),
]
Target = Annotated[
    ConstantTarget
    | StepTarget
    | PulseTarget
    | SineTarget
    | WhiteNoiseTarget
    | SamplesTarget
    | SpikesTarget
    | ModelTarget,
    Field(discriminator="kind"),
]
