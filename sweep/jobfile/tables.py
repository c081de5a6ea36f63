"""The tables of a job file, as pydantic models: how a file looks, and nothing more.

Keys have the names of the arguments that they become, and the docstrings below them are the descriptions that an
editor shows. What is left out of a file has the default of the Python function: the defaults here are documentation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from sweep.job import NOISE_PAIRINGS
from sweep.jobfile.signal_tables import Signal, Target
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
    Sourced,
    SweptValues,
    Table,
    Text,
    Whole,
    ZippedValues,
    choice,
)
from sweep.model.activations import ACTIVATIONS
from sweep.model.integration import PRECISIONS, SCHEMES
from sweep.observables import OBSERVABLES, VARIABLES

# --------------------------------------------------------------------------------------------------------------- model


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
