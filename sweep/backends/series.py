"""Targets as a back end compares with them: a value for every measurement and lag, and the means and variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.job import Job
from sweep.model.parameters import Array
from sweep.signals.measurements import Comparisons


@dataclass(frozen=True, eq=False)
class TargetSeries:
    """The targets that the rates are compared with, for every comparison: every target at every lag.

    Attributes
    ----------
    comparisons : Comparisons
        Which steps each comparison reads.
    values : tuple of ndarray
        The values of each comparison, ``(unit or 1, measurement)`` float64, views of the targets. If every step is compared,
        a measurement is an observed step.
    origin : int
        The first observed step.
    count : ndarray
        Number of measurements, ``(target, lag)``.
    mean, variance : ndarray
        Mean and variance over the measurements, ``(target, lag, unit or 1)`` float64.
    """

    comparisons: Comparisons
    values: tuple[Array, ...]
    origin: int
    count: np.ndarray
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
            The values of each target, ``(unit or 1, measurement)``, as `Comparisons.values` returns them.
        """
        lags, timing = job.lags_in_steps, job.integration
        comparisons, width = job.comparisons, max(len(values) for values in sampled)
        kept = comparisons.kept or tuple(
            slice(lag - min(lags), lag - min(lags) + timing.steps - timing.transient_steps)
            for _ in sampled
            for lag in lags
        )
        each = [np.broadcast_to(one, (width, one.shape[1])) for one in sampled for _ in lags]
        values = tuple(one[:, part] for one, part in zip(each, kept, strict=True))
        shape = (len(sampled), len(lags))
        return cls(
            comparisons=comparisons,
            values=values,
            origin=timing.transient_steps,
            count=np.array([one.shape[1] for one in values]).reshape(shape),
            mean=np.stack([one.mean(axis=1) for one in values]).reshape(*shape, width),
            variance=np.stack([_variance(one) for one in values]).reshape(*shape, width),
        )

    def each(self, start: int, stop: int) -> list[Array]:
        """Return the values of every comparison in steps ``start`` to ``stop - 1``, ``(unit or 1, step)``.

        A value stands in the last step of its measurement. In other steps there is 0.
        """
        return [self._in_steps(number, values, start, stop) for number, values in enumerate(self.values)]

    def deviations(self, start: int, stop: int) -> list[Array]:
        """Return the same of the values' deviations from their means."""
        means = self.mean.reshape(len(self.values), -1, 1)
        return [
            self._in_steps(number, values, start, stop, mean)
            for number, (values, mean) in enumerate(zip(self.values, means, strict=True))
        ]

    def _in_steps(self, number: int, values: Array, start: int, stop: int, mean: Array | float = 0.0) -> Array:
        if self.comparisons.every_step:
            return values[:, start - self.origin : stop - self.origin] - mean
        reading = self.comparisons.readings[self.comparisons.of[number]]
        part = slice(reading.closed(start), reading.closed(stop))
        dense = np.zeros((len(values), stop - start))
        dense[:, reading.stop[part] - 1 - start] = values[:, part] - mean
        return dense

    def correlation(self, covariance: Array, variance: Array) -> Array:
        """Return Pearson's correlation ``(target, lag, unit, set)``; NaN where the rates or the target are constant.

        Parameters
        ----------
        covariance : ndarray
            Covariance of rates and targets, ``(target, lag, unit, set)``.
        variance : ndarray
            Variance of the rates, ``(unit, set)``, or of what is compared of them, ``(target, lag, unit, set)``.
        """
        scale = np.sqrt(self.variance[..., None] * variance)
        return np.where(scale > 0, np.clip(covariance / scale, -1.0, 1.0), np.nan)


def _variance(values: Array) -> Array:
    # A constant gets exactly 0. Rounding errors of the mean would give it a variance, and so a correlation.
    return np.where(np.ptp(values, axis=-1) > 0, values.var(axis=-1), 0.0)
