"""Target series ready for a back end: sampled, with the lags unfolded and the moments known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.job import Job
from sweep.model import Array
from sweep.signals import ModelOutput


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

    def at(self, start: int, stop: int) -> Array:
        """Return ``(target, lag, unit or 1, stop - start)``: the series for the steps, read a lag later."""
        low = start - self.first
        return np.stack([self.values[..., low + lag : low + lag + stop - start] for lag in self.lags], axis=1)


def sample_targets(job: Job, simulate: Callable[[Job], npt.NDArray[np.floating]]) -> TargetSeries | None:
    """Sample the targets of a job over the observed steps and lags.

    Parameters
    ----------
    job : Job
        With or without targets.
    simulate : callable
        Returns the rates of a job of one set, ``(time, unit)``; called for targets that are made by a model.

    Returns
    -------
    TargetSeries or None
        None without a target.
    """
    if not job.targets:
        return None
    timing = job.integration
    lags = tuple(timing.count("target.lags", lag) for lag in job.lags)
    first = timing.transient_steps + min(lags)
    last = timing.steps + max(lags)
    series = []
    for target in job.targets:
        if isinstance(target.signal, ModelOutput):
            series.append(np.asarray(simulate(job.teacher(target.signal)), dtype=np.float64).T[:, first:last])
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
        variance=np.stack([window.var(axis=-1) for window in windows], axis=1),
    )
