"""Factors of the weights between some units, as the kernels take them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep.model.parameters import Array
from sweep.model.populations import Projection


@dataclass(frozen=True)
class Factors:
    """Which factor each weight has.

    Attributes
    ----------
    units : int
        Number of units.
    projections : tuple of Projection
        What each factor scales; a factor is named by its place here.
    """

    units: int
    projections: tuple[Projection, ...]

    @cached_property
    def runs(self) -> list[range]:
        """Runs of source units: all weights to a unit from such a run have the same factor. None without factors."""
        if not self.projections:
            return []
        cuts = {0, self.units}
        for _, source in self.projections:
            cuts |= {source.start, source.stop}
        return [range(*ends) for ends in itertools.pairwise(sorted(cuts))]

    @cached_property
    def rows(self) -> npt.NDArray[np.int32]:
        """The factor of the weights to each unit from each run, ``(run, unit)``; -1 for none."""
        rows = np.full((len(self.runs), self.units), -1, dtype=np.int32)
        for run, row in zip(self.runs, rows, strict=True):
            for number, (to, source) in enumerate(self.projections):
                if run.start in source:
                    row[to.start : to.stop] = number
        return rows

    @cached_property
    def copies(self) -> list[tuple[range, int]]:
        """Runs and a factor that some of their weights have: a kernel may multiply their rates instead of the weights."""
        return [
            (run, int(number))
            for run, row in zip(self.runs, self.rows, strict=True)
            for number in np.unique(row[row >= 0])
        ]

    def widened(self, matrices: Array) -> Array:
        """Move weights with a factor from their columns, in ``(network, to, from)``, to columns of the copies after these."""
        copied = sum(len(run) for run, _ in self.copies)
        wide = np.concatenate([matrices, np.zeros((*matrices.shape[:2], copied), matrices.dtype)], axis=2)
        place = self.units
        for run, number in self.copies:
            to = self.rows[self.runs.index(run)] == number
            wide[:, to, place : place + len(run)] = matrices[:, to, run.start : run.stop]
            wide[:, to, run.start : run.stop] = 0
            place += len(run)
        return wide
