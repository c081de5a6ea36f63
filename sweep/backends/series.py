"""Target series ready for a back end: sampled, with the lags unfolded and the moments known."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from sweep.errors import JobError
from sweep.job import Job
from sweep.model.parameters import Array
from sweep.signals.targets import ModelOutput


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


_MOST_KEPT = 4
_lock = threading.Lock()
_sampled: dict[str, TargetSeries] = {}


def target_series(job: Job) -> TargetSeries | None:
    """Sample the targets of a job over the observed steps and lags, once however many blocks and threads ask.

    A target made by a model is simulated by the NumPy back end, whichever runs the job: all compare with the same bits.

    Parameters
    ----------
    job : Job
        With or without targets.

    Returns
    -------
    TargetSeries or None
        None without a target.

    Raises
    ------
    JobError
        If a model that makes a target diverges.
    """
    if not job.targets:
        return None
    with _lock:
        if job.hash not in _sampled:
            series = _sample(job)
            if len(_sampled) == _MOST_KEPT:
                del _sampled[next(iter(_sampled))]
            _sampled[job.hash] = series
        return _sampled[job.hash]


def _sample(job: Job) -> TargetSeries:
    timing = job.integration
    lags = tuple(timing.count("target.lags", lag) for lag in job.lags)
    first = timing.transient_steps + min(lags)
    last = timing.steps + max(lags)
    series = []
    for target in job.targets:
        if isinstance(target.signal, ModelOutput):
            rates = _rates(job.teacher(target.signal)).T[:, first:last]
            if not np.isfinite(rates).all():
                raise JobError("target (model): the model diverges, so it is no target. Lower its gain.")
            series.append(rates)
        else:
            series.append(target.signal.sample(first, last, timing.dt))
    width = max(len(values) for values in series)
    values = np.stack([np.broadcast_to(each, (width, last - first)) for each in series])
    count = timing.steps - timing.transient_steps
    windows = [values[..., lag - min(lags) : lag - min(lags) + count] for lag in lags]
    return TargetSeries(
        values=values,
        first=first,
        lags=lags,
        mean=np.stack([window.mean(axis=-1) for window in windows], axis=1),
        variance=np.stack([_variance(window) for window in windows], axis=1),
    )


def _rates(job: Job) -> Array:
    """Return the rates of a job of one set, ``(time, unit)``."""
    from sweep.backends.numpy import NumpyBackend

    rates = NumpyBackend().simulate(job, job.parameter_sets(job.blocks[0]))["r"][0]
    return np.asarray(rates, dtype=np.float64)


def _variance(window: Array) -> Array:
    # Rounding of the mean would give a constant a variance, and so a correlation.
    return np.where(np.ptp(window, axis=-1) > 0, window.var(axis=-1), 0.0)
