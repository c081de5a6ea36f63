"""W r for a tile of sets, such that a set's result never depends on its neighbours (NumPy).

The rounding of a matrix product depends on its shape. So either the product is spelled out in elementwise operations
(few units), or every product that the library makes has one shape, whatever the tile: N rows by a number of columns
that are rounded alike (:mod:`sweep.backends.numpy.blas`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sweep.backends.numpy.blas import grouped, uniform_columns
from sweep.backends.numpy.observation import LANES, States
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.model.network import Model
from sweep.model.parameters import parse_name

#: Up to so many units, elementwise operations beat matrix products: with common weights, and with weights of each set.
_FEW_UNITS = 4
_FEW_UNITS_PER_SET = 16
#: Columns of a product where neighbours may have different networks: few, for they are padded.
_ENSEMBLE_COLUMNS = 16


@dataclass(frozen=True, kw_only=True)
class WeightsPlan:
    """How W r is computed: a property of the job, never of a tile.

    Attributes
    ----------
    elementwise : bool
        By elementwise operations instead of matrix products.
    per_set : bool
        Whether the sets have weights of their own.
    columns : int
        Sets in one product.
    share : int
        Neighbouring sets that must have the same network; 1 where it does not matter.
    """

    elementwise: bool
    per_set: bool
    columns: int
    share: int

    @classmethod
    def of(cls, job: Job) -> WeightsPlan:
        """Choose for a job."""
        bases = {parse_name(name).base for name in job.design.swept}
        units, ensemble, per_set = job.model.units, "network" in bases, bool(bases & {"network", "W"})
        elementwise = units <= (_FEW_UNITS_PER_SET if per_set else _FEW_UNITS)
        # Fewer rows want more columns for the same work per call.
        most = _ENSEMBLE_COLUMNS if ensemble else 4 * LANES if units <= 32 else 2 * LANES if units <= 64 else LANES
        columns = 1 if elementwise else uniform_columns(units, units, job.integration.dtype, most)
        return cls(
            elementwise=elementwise,
            per_set=per_set,
            columns=columns,
            share=columns if ensemble and not elementwise else 1,
        )

    @property
    def multiple(self) -> int:
        """Number that the width of a tile must be a multiple of."""
        return max(LANES, self.columns)

    def widest(self, units: int, elements: int) -> int:
        """Return how many sets a tile may have so that no array of it has more elements than given."""
        return elements // (units**2 if self.elementwise and self.per_set else units)


class Recurrence(Protocol):
    """Puts W r into its output."""

    def __call__(self, row: int) -> None:
        """Compute from row ``row`` of the ring of rates."""
        ...


def recurrence(
    plan: WeightsPlan, model: Model, parameters: ParameterSets, rates: States, out: States
) -> Recurrence | None:
    """Return what computes W r for a tile.

    Parameters
    ----------
    plan : WeightsPlan
        Of the job.
    model : Model
        Gives the weights.
    parameters : ParameterSets
        All sets of the tile, padding too.
    rates : ndarray
        Ring of rates, ``(row, unit, set)``.
    out : ndarray
        ``(unit, set)``.

    Returns
    -------
    Recurrence or None
        None where no unit is coupled.
    """
    if model.weights is None and not parameters.entries:
        return None
    weights = np.zeros((1, model.units, model.units)) if model.weights is None else model.weights
    weights = weights.reshape(-1, model.units, model.units)
    if plan.elementwise:
        return _Elementwise(weights, parameters, rates, out)
    return _Products(weights, parameters, rates, out, plan.columns)


class _Elementwise:
    """Column by column: out = sum over j of W[:, j] r[j]."""

    def __init__(self, weights: np.ndarray, parameters: ParameterSets, rates: States, out: States) -> None:
        chosen = weights[parameters.selectors["network"]].transpose(2, 1, 0)
        if parameters.entries:
            chosen = np.array(np.broadcast_to(chosen, (*chosen.shape[:2], parameters.size)))
            for (i, j), value in parameters.entries.items():
                chosen[j, i] = value
        self._columns = np.ascontiguousarray(chosen, dtype=out.dtype)
        self._rates, self._out, self._term = rates, out, np.empty_like(out)

    def __call__(self, row: int) -> None:
        rates, out = self._rates[row], self._out
        np.multiply(self._columns[0], rates[0], out=out)
        for column, rate in zip(self._columns[1:], rates[1:], strict=True):
            np.multiply(column, rate, out=self._term)
            np.add(out, self._term, out=out)


class _Products:
    """Matrix products, all of N x N by N x columns; single entries of W are taken out and added for each set."""

    def __init__(
        self, weights: np.ndarray, parameters: ParameterSets, rates: States, out: States, columns: int
    ) -> None:
        network = parameters.selectors["network"]
        leaders = network[::columns] if len(network) > 1 else network
        chosen = weights[leaders].astype(out.dtype)
        for i, j in parameters.entries:
            chosen[:, i, j] = 0.0
        self._weights = chosen
        self._entries = [(i, j, value.astype(out.dtype)) for (i, j), value in parameters.entries.items()]
        self._rates, self._grouped_rates = rates, [grouped(row, columns) for row in rates]
        self._out, self._grouped_out = out, grouped(out, columns)
        self._term = np.empty(out.shape[1], dtype=out.dtype)

    def __call__(self, row: int) -> None:
        np.matmul(self._weights, self._grouped_rates[row], out=self._grouped_out)
        for i, j, value in self._entries:
            np.multiply(value, self._rates[row, j], out=self._term)
            np.add(self._out[i], self._term, out=self._out[i])
