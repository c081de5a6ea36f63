"""Target series as a back end reads them: one value for every step and lag, and their means and variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.job import Job
from sweep.model.parameters import Array


@dataclass(frozen=True, eq=False)
class TargetSeries:
    """What the rates are compared with, for every observed step and lag.

    Attributes
    ----------
    values : ndarray
        ``(target, unit or 1, step)`` float64; index 0 along the steps is step ``first``.
    first : int
        Absolute number of the first step held.
    lags : tuple of int
        In steps.
    mean, variance : ndarray
        Over the observed steps, ``(target, lag, unit or 1)`` float64.
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
            With targets.
        sampled : sequence of ndarray
            For each target ``(unit or 1, step)``, its values over the steps of :func:`steps_read`.
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
        """Return ``(target, lag, unit or 1, stop - start)``: the series for the steps, read a lag later."""
        return np.stack(self.each(start, stop)).reshape(*self.mean.shape, stop - start)

    def each(self, start: int, stop: int) -> list[Array]:
        """Return the same one by one, all lags of a target after the other: views ``(unit or 1, stop - start)``."""
        low = start - self.first
        return [values[:, low + lag : low + lag + stop - start] for values in self.values for lag in self.lags]

    def correlation(self, covariance: Array, variance: Array) -> Array:
        """Return Pearson's correlation ``(target, lag, unit, set)``; NaN where one side is constant.

        Parameters
        ----------
        covariance : ndarray
            Of rates and targets, ``(target, lag, unit, set)``.
        variance : ndarray
            Of the rates, ``(unit, set)``.
        """
        scale = np.sqrt(self.variance[..., None] * variance)
        return np.where(scale > 0, np.clip(covariance / scale, -1.0, 1.0), np.nan)


def lags_in_steps(job: Job) -> tuple[int, ...]:
    """Return the lags of the targets in steps."""
    return tuple(job.integration.count("target.lags", lag) for lag in job.lags)


def steps_read(job: Job) -> range:
    """Return the steps at which the targets are read: those observed, moved by the smallest and the largest lag."""
    lags, timing = lags_in_steps(job), job.integration
    return range(timing.transient_steps + min(lags), timing.steps + max(lags))


def _variance(window: Array) -> Array:
    # Rounding of the mean would give a constant a variance, and so a correlation.
    return np.where(np.ptp(window, axis=-1) > 0, window.var(axis=-1), 0.0)
