"""The part of the drive that is the same for every back end: U u(t)."""

from __future__ import annotations

import numpy as np

from sweep.job import Job
from sweep.model.parameters import Array


def input_drive(job: Job, first: int, stop: int) -> Array:
    """Return U u(t) of some steps.

    Parameters
    ----------
    job : Job
        With an input.
    first, stop : int
        The steps; a step's values are the same whichever others are asked for with it.

    Returns
    -------
    ndarray
        ``(step, unit, stimulus)`` float64.
    """
    signals = np.stack([signal.sample(first, stop, job.integration.dt) for signal in job.inputs])
    matrix = job.model.input_matrix(job.inputs[0].channels)
    driven = np.zeros((stop - first, len(matrix), len(signals)))
    # Channel by channel, not as a matrix product, whose rounding would depend on the number of steps.
    for channel, column in enumerate(matrix.T):
        driven += signals[:, channel].T[:, None, :] * column[None, :, None]
    return driven
