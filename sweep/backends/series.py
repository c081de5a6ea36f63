"""Target series as a back end reads them: a value for every step and lag, and the means and variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.job import Job
from sweep.model.parameters import Array


@dataclass(frozen=True, eq=False)
class TargetSeries:
    """The targets that the rates are compared with, for every observed step and lag.

    Attributes
    ----------
    values : ndarray
        ``(target, unit or 1, step)`` float64. Index 0 along the steps is step ``first``.
    first : int
        Number of the first step, counted from the start of the simulation.
    lags : tuple of int
        The lags in steps.
    mean, variance : ndarray
        Mean and variance over the observed steps, ``(target, lag, unit or 1)`` float64.
    """

    values: Array
    first: int
    lags: tuple[int, ...]
    mean: Array
    variance: Array

    @classmethod
    def of(cls, job: Job, sampled: Sequence[Array]) -> TargetSeries:
        """Join the targets of a job.

        Parameters
        ----------
        job : Job
            A job with targets.
        sampled : sequence of ndarray
            The values of each target in the steps of :func:`steps_read`, ``(unit or 1, step)``.
        """
        lags = lags_in_steps(job)
        width = max(len(values) for values in sampled)
        values = np.stack([np.broadcast_to(each, (width, each.shape[1])) for each in sampled])
        count = job.integration.steps - job.integration.transient_steps
        windows = [values[..., lag - min(lags) : lag - min(lags) + count] for lag in lags]
        return cls(
            values=values,
            first=steps_read(job).start,
            lags=lags,
            mean=np.stack([window.mean(axis=-1) for window in windows], axis=1),
            variance=np.stack([_variance(window) for window in windows], axis=1),
        )

    @property
    def end(self) -> int:
        """The step after the last observed one."""
        return self.first + int(self.values.shape[-1]) - max(self.lags)

    def at(self, start: int, stop: int) -> Array:
        """Return the targets in steps ``start`` to ``stop - 1``, each read a lag later: ``(target, lag, unit or 1, step)``."""
        return np.stack(self.each(start, stop)).reshape(*self.mean.shape, stop - start)

    def each(self, start: int, stop: int) -> list[Array]:
        """Return the same as a list of views ``(unit or 1, step)``: all lags of the first target, then of the next."""
        low = start - self.first
        return [values[:, low + lag : low + lag + stop - start] for values in self.values for lag in self.lags]

    def correlation(self, covariance: Array, variance: Array) -> Array:
        """Return Pearson's correlation ``(target, lag, unit, set)``; NaN where the rates or the target are constant.

        Parameters
        ----------
        covariance : ndarray
            Covariance of rates and targets, ``(target, lag, unit, set)``.
        variance : ndarray
            Variance of the rates, ``(unit, set)``.
        """
        scale = np.sqrt(self.variance[..., None] * variance)
        return np.where(scale > 0, np.clip(covariance / scale, -1.0, 1.0), np.nan)


def lags_in_steps(job: Job) -> tuple[int, ...]:
    """Return the job's lags in steps."""
    return tuple(job.integration.count("target.lags", lag) for lag in job.lags)


def steps_read(job: Job) -> range:
    """Return the steps in which the targets are read: the observed steps, extended by the smallest and the largest lag."""
    lags, timing = lags_in_steps(job), job.integration
    return range(timing.transient_steps + min(lags), timing.steps + max(lags))


def _variance(window: Array) -> Array:
    # A constant gets exactly 0. Rounding errors of the mean would give it a variance, and so a correlation.
    return np.where(np.ptp(window, axis=-1) > 0, window.var(axis=-1), 0.0)
