"""The input U u(t) of some sets, which is computed in the same way for every back end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.model.parameters import Array
from sweep.signals.numbers import Varied

#: Numbers of the stimuli that are computed at a time: few enough that they stay in the cache. Loops over fewer steps are slow.
_ELEMENTS, _FEWEST_STEPS = 2**15, 8


@dataclass(frozen=True, eq=False)
class Stimuli:
    """The inputs that some sets hear, and which of them each set hears.

    Attributes
    ----------
    job : Job
        The job of the sets.
    count : int
        Number of different inputs; 0 if the job has none.
    of_set : ndarray
        The number of the input that each set hears, ``(set or 1,)`` int64.
    numbers : mapping of str to ndarray
        The numbers by which they differ, ``(stimulus,)``, if the design varies numbers of the input.
    """

    job: Job
    count: int
    of_set: npt.NDArray[np.int64]
    numbers: Mapping[str, Array]

    @classmethod
    def of(cls, job: Job, parameters: ParameterSets) -> Stimuli:
        """Return the stimuli of some sets of a job."""
        if not parameters.input_numbers:
            return cls(job, len(job.inputs), parameters.selectors["stimulus"], {})
        own = {name: np.broadcast_to(each, (parameters.size,)) for name, each in parameters.input_numbers.items()}
        # In the order in which the sets first have them, so that neighbours read neighbouring numbers.
        _, first, place = np.unique(np.stack(list(own.values())), axis=1, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return cls(job, len(order), rank[place.reshape(-1)], {name: each[first[order]] for name, each in own.items()})

    def drive(
        self, first: int, stop: int, dtype: npt.DTypeLike = np.float64, units: int | None = None
    ) -> npt.NDArray[np.floating]:
        """Return U u(t) in some steps.

        Parameters
        ----------
        first, stop : int
            Steps ``first`` to ``stop - 1``. A step's values do not depend on which other steps are computed with it.
        dtype : dtype
            What the values, which are computed in float64, are rounded to.
        units : int, optional
            The first so many units alone.

        Returns
        -------
        ndarray
            ``(step, unit, stimulus)``.
        """
        job = self.job
        matrix = job.model.input_matrix(job.inputs[0].channels)[:units]
        driven = np.empty((stop - first, len(matrix), self.count), dtype=dtype)
        few = max(_FEWEST_STEPS, _ELEMENTS // (matrix.size * self.count))
        for start in range(first, stop, few):
            signals = self._sampled(start, min(stop, start + few))
            some = np.zeros((signals.shape[2], *driven.shape[1:]))
            # Channel by channel, because the rounding of a matrix product would depend on the number of steps.
            for channel, column in enumerate(matrix.T):
                some += signals[:, channel].T[:, None, :] * column[None, :, None]
            driven[start - first : start - first + few] = some
        return driven

    def _sampled(self, first: int, stop: int) -> Array:
        """Return u(t), ``(stimulus, channel, step)``."""
        dt = self.job.integration.dt
        if self._varied is not None:
            return self._varied.sample(first, stop, dt)
        return np.stack([signal.sample(first, stop, dt) for signal in self.job.inputs])

    @cached_property
    def _varied(self) -> Varied | None:
        return Varied(self.job.given_inputs[0], self.numbers) if self.numbers else None


def units_that_hear(job: Job) -> int:
    """Return the number of units that hear something of their own: all, or 1 if all hear the same."""
    matrices = [job.model.input_matrix(signal.channels) for signal in job.inputs[:1]]
    return job.model.units if any((matrix != matrix[0]).any() for matrix in matrices) else 1


def most_stimuli(job: Job) -> int:
    """Return the largest number of different inputs that the sets of a job can hear."""
    if job.input_numbers:
        axes = (axis for axis in job.design.axes if set(axis.swept) & set(job.input_numbers))
        return math.prod(axis.n for axis in axes)
    return len(job.inputs) if "stimulus" in job.design.swept else min(1, len(job.inputs))
