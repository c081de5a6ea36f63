"""The tables of a job file, as pydantic models. They describe only the form of a file.

Most tables are derived from a function or a dataclass; see :mod:`sweep.jobfile.derive`. Only what a file writes differently from
Python is written out here. A key that a file leaves out has the default of the function; the defaults here are documentation.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, Tag, create_model

from sweep.design.makers import DESIGNS
from sweep.job import Job, Report
from sweep.jobfile.derive import by_kind, part_of_design, table
from sweep.jobfile.values import (
    Count,
    Numbers,
    OneOf,
    Positive,
    Table,
    Values,
    Whole,
    by_parameter,
    choice,
    of_one_kind,
    one_or_several,
)
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.weights import INPUT_WEIGHTS, WEIGHTS, perturb
from sweep.observables import OBSERVABLES, VARIABLES
from sweep.signals.recordings import RECORDINGS
from sweep.signals.targets import model_output
from sweep.signals.waveforms import WAVEFORMS

# --------------------------------------------------------------------------------------------------- model and weights

_PERTURBED: dict[str, Any] = {
    "perturbations": (
        table(perturb, "Perturbations", without=["weights"]) | None,
        Field(default=None, description="Perturbed copies: an ensemble, of which the parameter `network` chooses."),
    )
}

ModelTable = table(
    Model,
    "ModelTable",
    forms={
        "weights": of_one_kind(by_kind(WEIGHTS, "Weights", without=["units"], more=_PERTURBED)),
        "input_weights": of_one_kind(by_kind(INPUT_WEIGHTS, "InputWeights", without=["units"])),
        "parameters": by_parameter(Numbers, swept=False),
    },
)

# -------------------------------------------------------------------------------------------------- inputs and targets

_LAGGED: dict[str, Any] = {
    "lags": (
        Values,
        Field(
            default=[0.0],
            description="Lags L, ms, at which the rate r(t) is compared with the target at t + L; all targets share them.",
        ),
    )
}


class RateConstants(Table, use_attribute_docstrings=True):
    """Time constants by their rate constants alpha = dt/tau."""

    tau_s: Positive | None = None
    """alpha_s = dt/tau_s, dimensionless."""
    tau_r: Positive | None = None
    """alpha_r = dt/tau_r, dimensionless."""


_TEACHER: dict[str, Any] = {
    "parameters": (
        by_parameter(Numbers, swept=False) | None,
        Field(default=None, description="Parameters of the teacher; all others are those of the model."),
    ),
    "rate_constants": (
        RateConstants | None,
        Field(default=None, description="Time constants of the teacher by their rate constants alpha = dt/tau."),
    ),
}

SIGNALS = {**WAVEFORMS, **RECORDINGS}
"""Functions that make signals for inputs and targets, by kind."""

ModelTarget = table(
    model_output,
    "ModelTarget",
    kind="model",
    without=["parameters", "weights"],
    more=_TEACHER | _LAGGED,
)

# -------------------------------------------------------------------------------------------------------------- design

_PARTS: dict[str, Any] = {name: part_of_design(name, maker) for name, maker in DESIGNS.items()}
DesignTable = create_model(
    "DesignTable",
    __base__=Table,
    __doc__="The parameter sets: all combinations of the parts. Dimensions are in the order of the file, replicates last.",
    **_PARTS,
)

# ----------------------------------------------------------------------------------------------------------------- job


class RecordTable(Table, use_attribute_docstrings=True):
    """A trajectory to keep."""

    record: Annotated[str, OneOf(VARIABLES)]
    """The variable: x, the synaptic current, or r, the firing rate."""
    every: Count = 1
    """Number of steps from one kept state to the next."""
    units: list[Whole] | None = None
    """The units to keep, counted from 0; all by default."""


_RECORDS = {name: f'Write {{ record = "{name}", every = 1 }} for its trajectory.' for name in VARIABLES}

Observed = Annotated[
    Annotated[str, OneOf(OBSERVABLES, _RECORDS), Tag("<name>")] | Annotated[RecordTable, Tag("<table>")],
    choice('must be the name of an observable, or a table such as { record = "r", every = 10 }', name=str, table=dict),
]

JobTable = table(
    Job,
    "JobTable",
    forms={
        "observe": list[Observed],
        "model": ModelTable,
        "input": one_or_several("input", by_kind(SIGNALS, "Signal")),
        "target": one_or_several("target", [*by_kind(SIGNALS, "Target", more=_LAGGED), ModelTarget]),
        "integration": table(Integration, "IntegrationTable"),
        "design": DesignTable,
        "report": table(Report, "ReportTable", forms={"variable": Annotated[str, OneOf(OBSERVABLES)]}),
    },
)
