"""tausweep through its public interface, as a user calls it. Making the labelled Dataset is part of the time."""

from __future__ import annotations

from functools import partial

import numpy as np

import sweep
from contenders.problem import Outcome, Problem, Run

_NAMES = {"mean": "r_mean", "var": "r_var", "final": "r_final", "record": "r", "correlation": "target_correlation"}


def make(problem: Problem, backend: str) -> Run:
    """Return a function that simulates a job with a back end."""
    return partial(_simulate, problem, backend)


def _simulate(problem: Problem, backend: str) -> Outcome:
    found = sweep.simulate(problem.job, backend=backend)
    dims = len(problem.job.design.shape)
    outcome = {}
    for name, variable in _NAMES.items():
        if variable in found:
            values = np.asarray(found[variable])
            values = values.reshape(problem.sets, *values.shape[dims:])
            outcome[name] = values[:, :, 0] if name == "correlation" else values
    return outcome
