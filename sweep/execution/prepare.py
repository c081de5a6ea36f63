"""Prepare a job, once for all back ends and blocks; and simulate a block with a back end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from sweep.backends.protocol import Backend, PreparedJob, Results
from sweep.backends.registry import get_backend
from sweep.backends.series import TargetSeries, steps_read
from sweep.checks.caution import silence
from sweep.checks.decimals import shortest
from sweep.design.design import Block
from sweep.errors import JobError
from sweep.job import Job
from sweep.model.parameters import Array
from sweep.signals.measurements import values_in, values_of
from sweep.signals.targets import ModelOutput, Target

_MOST_KEPT = 4
_lock = threading.Lock()
_series: dict[str, TargetSeries] = {}


def prepare(job: Job) -> PreparedJob:
    """Prepare a job: sample its targets, once per process for all blocks and threads.

    A target that is made by a model is simulated here, always with the NumPy back end, so that all back ends compare with the
    same bits.

    Parameters
    ----------
    job : Job
        The job, with or without targets.

    Returns
    -------
    PreparedJob
        The job and its targets, for a back end.

    Raises
    ------
    JobError
        If the model that makes a target diverges.
    """
    if not job.targets:
        return PreparedJob(job, None)
    with _lock:
        if job.hash not in _series:
            sampled = TargetSeries.of(job, [_sampled(job, target) for target in job.targets])
            if len(_series) == _MOST_KEPT:
                del _series[next(iter(_series))]
            _series[job.hash] = sampled
        return PreparedJob(job, _series[job.hash])


def _sampled(job: Job, target: Target) -> Array:
    """Return the values of a target as `TargetSeries.of` takes them, ``(unit or 1, step or measurement)``."""
    steps, dt = steps_read(job), job.integration.dt
    every = job.comparisons.every_step
    if not isinstance(target.signal, ModelOutput):
        return values_in(target.signal, steps, dt) if every else values_of(target.signal, steps.stop, dt)
    with silence():  # the job has been checked with its teacher
        teacher = job.teacher(target.signal)
    alone = teacher.parameter_sets(teacher.blocks[0])
    if target.signal.own_noise:
        alone = alone.teachers()
    recorded = get_backend("numpy").simulate(PreparedJob(teacher, None), alone)["r"][0]
    rates = np.asarray(recorded, dtype=np.float64).T[:, steps.start if every else 0 : steps.stop]
    if not np.isfinite(rates).all():
        raise JobError("target (model): the model diverges, so it cannot be a target. Lower its gain.")
    return rates


def simulate_block(
    backend: Backend,
    prepared: PreparedJob,
    block: Block,
    batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Results:
    """Simulate the sets of a block. If the memory is not enough, try smaller and smaller batches.

    Parameters
    ----------
    backend : Backend
        The back end.
    prepared : PreparedJob
        What all sets share.
    block : Block
        The sets.
    batch : int, optional
        The largest number of sets to simulate at once.
    progress : callable, optional
        See :meth:`sweep.backends.protocol.Backend.simulate`.

    Returns
    -------
    dict of str to ndarray
        Every variable, ``(set, ...)``.

    Raises
    ------
    MemoryError
        If not even a single set fits.
    """
    parameters = prepared.job.parameter_sets(block)
    while True:
        try:
            results = backend.simulate(prepared, parameters, batch=batch, progress=progress)
            times = results["diverged_at"]
            lost = np.isfinite(times)
            if lost.any():  # mostly there are none, and this takes its time
                times[lost] = shortest(times[lost])
            return results
        except MemoryError:
            if (batch or block.size) <= 1:
                raise
        # Outside the except clause, because its traceback would keep the arrays alive.
        batch = max(1, (batch or block.size) // 2)
