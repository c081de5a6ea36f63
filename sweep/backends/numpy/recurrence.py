"""W r for a tile of sets, computed so that a set's result never depends on the other sets (NumPy).

The rounding of a matrix product depends on its shape. So for few units the product is written out in elementwise operations.
For more units all products have the same shape in every tile: N rows, and as many columns as are rounded in the same way
(:mod:`sweep.backends.numpy.blas`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sweep.backends.numpy.blas import grouped, uniform_columns
from sweep.backends.numpy.comparison import LANES, States
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.model.network import Model
from sweep.model.parameters import parse_name

#: Up to this many units elementwise operations are faster than matrix products: with weights common to all sets, and with
#: weights of each set's own.
_FEW_UNITS = 4
_FEW_UNITS_PER_SET = 16
#: Columns of a product if sets have different networks. They are few, because the sets of each network are padded to it.
_ENSEMBLE_COLUMNS = 16


@dataclass(frozen=True, kw_only=True)
class ProductForm:
    """How W r is computed. It depends on the job alone, not on the tile.

    Attributes
    ----------
    elementwise : bool
        Whether it is computed by elementwise operations instead of matrix products.
    per_set : bool
        Whether the weights differ between sets.
    columns : int
        Number of sets in one product.
    share : int
        How many neighbouring sets must have the same network; 1 if it does not matter.
    """

    elementwise: bool
    per_set: bool
    columns: int
    share: int

    @classmethod
    def of(cls, job: Job) -> ProductForm:
        """Choose the form for a job."""
        bases = {parse_name(name).base for name in job.design.swept}
        projections = list(job.projections.values())
        units, ensemble = job.model.units, "network" in bases
        per_set = bool(bases & {"network", "W"} or projections)
        elementwise = units <= (_FEW_UNITS_PER_SET if per_set else _FEW_UNITS)
        # With fewer rows a product gets more columns, so that the work of a call is about the same.
        most = _ENSEMBLE_COLUMNS if ensemble else 4 * LANES if units <= 32 else 2 * LANES if units <= 64 else LANES
        shapes = [(units, units), *((len(to), len(source)) for to, source in projections)]
        columns = 1 if elementwise else min(uniform_columns(*shape, job.integration.dtype, most) for shape in shapes)
        return cls(
            elementwise=elementwise,
            per_set=per_set,
            columns=columns,
            share=columns if ensemble and not elementwise else 1,
        )

    @property
    def multiple(self) -> int:
        """The width of a tile must be a multiple of this number."""
        return max(LANES, self.columns)

    def widest(self, units: int, elements: int) -> int:
        """Return how many sets a tile may have if none of its arrays may have more than ``elements`` elements."""
        return elements // (units**2 if self.elementwise and self.per_set else units)


class Recurrence(Protocol):
    """A function that computes W r into an array chosen before."""

    def __call__(self, row: int) -> None:
        """Compute W r from row ``row`` of the ring of rates."""
        ...


def recurrence(
    form: ProductForm, model: Model, parameters: ParameterSets, rates: States, out: States
) -> Recurrence | None:
    """Return the function that computes W r for a tile.

    Parameters
    ----------
    form : ProductForm
        The job's form.
    model : Model
        The model with the weights.
    parameters : ParameterSets
        All sets of the tile, including padding.
    rates : ndarray
        Ring of rates, ``(row, unit, set)``.
    out : ndarray
        Where W r is written, ``(unit, set)``.

    Returns
    -------
    Recurrence or None
        The function; None if no units are coupled.
    """
    if model.weights is None and not parameters.entries:
        return None
    weights = np.zeros((1, model.units, model.units)) if model.weights is None else model.weights
    weights = weights.reshape(-1, model.units, model.units)
    if form.elementwise:
        return _Elementwise(weights, parameters, rates, out)
    return _Products(weights, parameters, rates, out, form.columns)


class _Elementwise:
    """W r by elementwise operations, one column of W after the other: out = sum over j of W[:, j] r[j]."""

    def __init__(self, weights: np.ndarray, parameters: ParameterSets, rates: States, out: States) -> None:
        chosen = weights[parameters.selectors["network"]].transpose(2, 1, 0)
        if parameters.entries or parameters.factors:
            chosen = np.array(np.broadcast_to(chosen, (*chosen.shape[:2], parameters.size)))
            for (to, source), factor in parameters.factors.items():
                chosen[_slice(source), _slice(to)] *= factor
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
    """W r by matrix products, of N x N by N x columns.

    Projections that sets scale are 0 in W. They have products of their own, which are scaled and added for each set. Entries
    of W that sets replace are 0 in W too, and are added one by one.
    """

    def __init__(
        self, weights: np.ndarray, parameters: ParameterSets, rates: States, out: States, columns: int
    ) -> None:
        network = parameters.selectors["network"]
        leaders = network[::columns] if len(network) > 1 else network
        chosen = weights[leaders].astype(out.dtype)
        for i, j in parameters.entries:
            chosen[:, i, j] = 0.0
        self._projections = []
        for projection, factor in parameters.factors.items():
            to, source = map(_slice, projection)
            own = chosen[:, to, source].copy()
            chosen[:, to, source] = 0.0
            term = np.empty((len(projection.to), out.shape[1]), dtype=out.dtype)
            self._projections.append((own, source, term, grouped(term, columns), factor.astype(out.dtype), out[to]))
        self._weights = chosen
        self._entries = [(i, j, value.astype(out.dtype)) for (i, j), value in parameters.entries.items()]
        self._rates, self._grouped_rates = rates, [grouped(row, columns) for row in rates]
        self._out, self._grouped_out = out, grouped(out, columns)
        self._term = np.empty(out.shape[1], dtype=out.dtype)

    def __call__(self, row: int) -> None:
        np.matmul(self._weights, self._grouped_rates[row], out=self._grouped_out)
        for weights, source, term, grouped_term, factor, out in self._projections:
            np.matmul(weights, self._grouped_rates[row][:, source], out=grouped_term)
            np.multiply(term, factor, out=term)
            np.add(out, term, out=out)
        for i, j, value in self._entries:
            np.multiply(value, self._rates[row, j], out=self._term)
            np.add(self._out[i], self._term, out=self._out[i])


def _slice(units: range) -> slice:
    return slice(units.start, units.stop)
