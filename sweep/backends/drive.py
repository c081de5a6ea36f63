"""The input U u(t), which is computed in the same way for every back end."""

from __future__ import annotations

import numpy as np

from sweep.job import Job
from sweep.model.parameters import Array


def input_drive(job: Job, first: int, stop: int) -> Array:
    """Return U u(t) in some steps.

    Parameters
    ----------
    job : Job
        A job with an input.
    first, stop : int
        Steps ``first`` to ``stop - 1``. A step's values do not depend on which other steps are computed with it.

    Returns
    -------
    ndarray
        ``(step, unit, stimulus)`` float64.
    """
    signals = np.stack([signal.sample(first, stop, job.integration.dt) for signal in job.inputs])
    matrix = job.model.input_matrix(job.inputs[0].channels)
    driven = np.zeros((stop - first, len(matrix), len(signals)))
    # Channel by channel, because the rounding of a matrix product would depend on the number of steps.
    for channel, column in enumerate(matrix.T):
        driven += signals[:, channel].T[:, None, :] * column[None, :, None]
    return driven
