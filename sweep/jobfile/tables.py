"""The tables of a job file, as pydantic models: how a file looks, and nothing more.

Keys have the names of the arguments that they become, and the docstrings below them are the descriptions that an
editor shows. What is left out of a file has the default of the Python function: the defaults here are documentation.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, Tag

from sweep.integration import PRECISIONS, SCHEMES
from sweep.job import NOISE_PAIRINGS
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
    Range,
    SweptValues,
    Table,
    Text,
    Values,
    Ways,
    Whole,
    ZippedValues,
    choice,
)
from sweep.model import ACTIVATIONS
from sweep.observables import OBSERVABLES, VARIABLES
from sweep.recordings import TIME_UNITS

# --------------------------------------------------------------------------------------------------------------- model


class Sourced(Table):
    """Numbers from a file."""

    ways: ClassVar[Ways] = (("file",), ("resource",))

    file: Text | None = None
    """Path of a .csv, .tsv, .txt or .npy file, relative to the job file."""
    resource: Text | None = None
    """A file inside an installed Python package, "package:folder/file.txt"; the package is not imported."""


class Perturbations(Table):
    """Perturbed copies of the network, an ensemble that the parameter `network` chooses from."""

    fractions: list[NotNegative]
    """Size of each perturbation relative to the weights, in the Frobenius norm; 0 is the network itself."""
    seed: Whole
    """Seed of the perturbations."""


class _Perturbable(Table):
    perturbations: Perturbations | None = None
    """Perturbed copies of the network, an ensemble that the parameter `network` chooses from."""


class _Ensemble(_Perturbable):
    seed: Whole
    """Seed of the ensemble."""
    std: NotNegative = 1.0
    """Spectral radius of the weights for many units, dimensionless."""
    networks: Count | None = None
    """How many networks there are for the parameter `network` to choose from; one if not given."""


class GaussianWeights(_Ensemble):
    """Fully connected networks with independent normal weights."""

    kind: Literal["gaussian"]
    """Independent normal weights."""


class SparseWeights(_Ensemble):
    """Networks in which only some of the normal weights are present."""

    kind: Literal["sparse"]
    """Independent normal weights, of which only some are present."""
    density: Annotated[Positive, Field(le=1)]
    """Probability of a connection, in (0, 1]."""


class ExcitatoryInhibitoryWeights(_Ensemble):
    """Networks that obey Dale's law."""

    kind: Literal["excitatory_inhibitory"]
    """Dale's law: all weights from one unit have one sign."""
    fraction_excitatory: Annotated[NotNegative, Field(le=1)] = 0.8
    """Fraction of units that excite, in [0, 1]."""
    density: Annotated[Positive, Field(le=1)] = 1.0
    """Probability of a connection, in (0, 1]."""
    balance: Flag = True
    """Whether excitation and inhibition of each unit cancel exactly."""


class FileWeights(Sourced, _Perturbable):
    """Weights from a file, weights[i, j] from unit j to unit i."""

    kind: Literal["file"]
    """From a file: (unit, unit), or (network, unit, unit) in .npy; row i holds the weights into unit i."""


class ListedWeights(_Perturbable):
    """Weights written into the job file."""

    kind: Literal["values"]
    """Written into the job file."""
    values: list[list[Number]]
    """A row per unit: row i holds the weights into unit i."""


class RandomInputWeights(Table):
    """Independent normal weights from input channels to units."""

    kind: Literal["random"]
    """Independent normal weights."""
    channels: Count
    """Number of channels of the input."""
    seed: Whole
    """Seed of the weights."""
    std: NotNegative = 1.0
    """Standard deviation of a weight, dimensionless."""


class FileInputWeights(Sourced):
    """Input weights from a file."""

    kind: Literal["file"]
    """From a file, (unit, channel): a row per unit."""


class ListedInputWeights(Table):
    """Input weights written into the job file."""

    kind: Literal["values"]
    """Written into the job file."""
    values: list[list[Number]]
    """A row per unit, a column per channel."""


Weights = Annotated[
    GaussianWeights | SparseWeights | ExcitatoryInhibitoryWeights | FileWeights | ListedWeights,
    Field(discriminator="kind"),
]
InputWeights = Annotated[RandomInputWeights | FileInputWeights | ListedInputWeights, Field(discriminator="kind")]


class ModelTable(Table):
    """The network, and the parameters that all sets share."""

    units: Count
    """Number of units."""
    activation: Annotated[str, OneOf(ACTIVATIONS)] = "tanh"
    """Activation f of the firing rate."""
    weights: Weights | None = None
    """Weights W between the units; without them the units are uncoupled."""
    input_weights: InputWeights | None = None
    """Weights U from the channels of the input to the units; without them one channel reaches all units."""
    parameters: Annotated[dict[ParameterKey, Numbers], ByParameter()] = Field(default_factory=dict)
    """Parameters that all sets share: a number, or one per unit."""


# ------------------------------------------------------------------------------------------------------------- signals


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


# -------------------------------------------------------------------------------------------------------------- design


class Sample(Table):
    """Points drawn from ranges, along the dimension `point`."""

    n: Count
    """How many points; for sobol best a power of two."""
    seed: Whole
    """Seed of the points."""
    ranges: Annotated[dict[ParameterKey, Range], ByParameter()]
    """For every parameter [low, high], or [low, high, "log"] for equal ratios."""


class SetsFile(Table):
    """Sets from a file, a row each."""

    file: Text
    """Path of a .csv file, relative to the job file; its first line names the parameters."""


class DesignTable(Table):
    """The parameter sets: all combinations of the parts, whose dimensions are in file order, replicates last."""

    grid: Annotated[dict[ParameterKey, SweptValues], ByParameter()] = Field(default_factory=dict)
    """Every combination of values: one dimension per parameter, named after it."""
    zipped: dict[str, Annotated[dict[ParameterKey, ZippedValues], ByParameter()]] = Field(default_factory=dict)
    """By the name of a dimension: parameters that vary together along it, numbers or lists of one per unit."""
    sobol: Sample | None = None
    """Points of a scrambled Sobol sequence, which fill the ranges more evenly than chance."""
    latin_hypercube: Sample | None = None
    """A Latin hypercube: each of n equal strata of every range is used exactly once."""
    random: Sample | None = None
    """Independent uniform or log-uniform points."""
    table: dict[str, SetsFile] = Field(default_factory=dict)
    """By the name of a dimension: sets from a file, a row each."""
    replicates: Count | None = None
    """How often every set is repeated, each time with noise of its own."""


# ----------------------------------------------------------------------------------------------------------------- job


class IntegrationTable(Table):
    """Step, duration, scheme and precision."""

    dt: Positive
    """Euler step, ms."""
    duration: Positive
    """Simulated time, ms, a whole number of steps; it contains the transient."""
    transient: NotNegative = 0.0
    """Time at the start that no observable sees, ms, a whole number of steps."""
    scheme: Annotated[str, OneOf(SCHEMES)] = "sequential"
    """Whether r sees the new x (sequential, the paper's) or the old one (simultaneous, explicit Euler)."""
    precision: Annotated[str, OneOf(PRECISIONS)] = "float32"
    """Of the state; statistics are always kept in float64."""
    allow_unstable: Flag = False
    """Simulate even where dt/tau is 2 or more and Euler's method is unstable."""


class RecordTable(Table):
    """A trajectory to keep."""

    record: Annotated[str, OneOf(VARIABLES)]
    """The variable: x, synaptic current, or r, firing rate."""
    every: Count = 1
    """Keep the state after every so many steps."""
    units: list[Whole] | None = None
    """The units to keep, counted from 0; all if not given."""


class ReportTable(Table):
    """Which result the run ends with: the best set, and a heat map."""

    variable: Annotated[str, OneOf(OBSERVABLES)]
    """The observable that says how good a set is."""
    best: Annotated[str, OneOf(("max", "min"))] = "max"
    """Which of its values is best."""
    x: Text | None = None
    """Coordinate along the heat map's width."""
    y: Text | None = None
    """Coordinate along the heat map's height."""
    panel: Text | None = None
    """Coordinate with a panel of its own for every value."""
    select: dict[str, Number] = Field(default_factory=dict)
    """Labels at which to look, such as { network = 0 }."""


_RECORDS = {name: f'Write {{ record = "{name}", every = 1 }} for its trajectory.' for name in VARIABLES}

Observed = Annotated[
    Annotated[str, OneOf(OBSERVABLES, _RECORDS), Tag("<name>")] | Annotated[RecordTable, Tag("<table>")],
    choice('must be the name of an observable, or a table such as { record = "r", every = 10 }', name=str, table=dict),
]


class JobTable(Table):
    """A job: model, input, design, integration and what to observe."""

    title: Text = ""
    """What the job is, in a line."""
    description: Text = ""
    """What it is for, what is known of its result."""
    seed: Annotated[Whole, Field(lt=2**64)] = 0
    """Key of the noise."""
    noise_pairing: Annotated[str, OneOf(NOISE_PAIRINGS)] = "independent"
    """Whether each set has noise of its own, or all sets of one replicate share theirs (common)."""
    sets_per_block: Count | None = None
    """Most sets in a block, the unit of compute and storage; chosen if not given, and never changes a result."""
    observe: list[Observed]
    """What to measure: names of observables, and records."""
    model: ModelTable
    """The network, and the parameters that all sets share."""
    input: (
        Annotated[
            Annotated[Signal, Tag("<one>")] | Annotated[list[Signal], Tag("<several>")],
            choice("must be a table [input], or several [[input]]", one=dict, several=list),
        ]
        | None
    ) = None
    """The input u(t); several [[input]] are an ensemble for the parameter `stimulus` to choose from."""
    target: (
        Annotated[
            Annotated[Target, Tag("<one>")] | Annotated[list[Target], Tag("<several>")],
            choice("must be a table [target], or several [[target]]", one=dict, several=list),
        ]
        | None
    ) = None
    """What the rates are compared with; several [[target]] give the results a dimension `target`."""
    integration: IntegrationTable
    """Step, duration, scheme and precision."""
    design: DesignTable = DesignTable()
    """The parameter sets; one set if not given."""
    report: ReportTable | None = None
    """Which result the run ends with."""
