"""The parameters of some sets as arrays. A back end gets these besides the job."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep import philox
from sweep.model.integration import Integration, rate_constant
from sweep.model.network import Model
from sweep.model.parameters import INPUT_NUMBERS, PARAMETERS, SELECTORS, Array, parse_name
from sweep.model.populations import Projection

#: With a smaller rate constant than this, increments of a float32 state are lost to rounding, so its sum is compensated.
COMPENSATE_BELOW = 1e-3


@dataclass(frozen=True, eq=False)
class ParameterSets:
    """The parameters of ``size`` sets.

    Attributes
    ----------
    size : int
        Number of sets.
    values : mapping of str to ndarray
        Every parameter of :data:`sweep.model.PARAMETERS`, ``(size or 1, unit or 1)`` float64. A length of 1 means
        that it is the same for all sets, or for all units.
    selectors : mapping of str to ndarray
        ``network``, ``stimulus`` and ``replicate``, ``(size or 1,)`` int64.
    factors : mapping of Projection to ndarray
        Factors of all weights to some units from some, ``(size or 1,)`` float64.
    entries : mapping of (int, int) to ndarray
        Single weights that replace those of the matrix, by (to, from), ``(size,)`` float64. A factor is in them already.
    replaced : mapping of (int, int) to ndarray
        The weights of the matrix that they replace, ``(size or 1,)`` float64, with their factor.
    common_noise : bool
        Whether the noise depends on the replicate alone.
    input_numbers : mapping of str to ndarray
        Swept numbers of the input, such as ``input_frequency``, ``(size,)`` float64.
    own_numbers : mapping of str to float
        The numbers of the job's input that they replace.
    """

    size: int
    values: Mapping[str, Array]
    selectors: Mapping[str, npt.NDArray[np.int64]]
    factors: Mapping[Projection, Array]
    entries: Mapping[tuple[int, int], Array]
    replaced: Mapping[tuple[int, int], Array]
    common_noise: bool
    input_numbers: Mapping[str, Array] = field(default_factory=dict)
    own_numbers: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def stream(self) -> npt.NDArray[np.uint64]:
        """Noise stream of each set, ``(size,)``: a hash of its own parameter values, or of its replicate alone.

        It depends on the values, not on which of them are swept. So a weight that is the same as in the matrix changes
        nothing, and neither does a factor of 1 or a number that the input has anyway.
        """
        own = {name: chosen.astype(np.float64) for name, chosen in self.selectors.items()}
        if self.common_noise:
            own = {"replicate": own["replicate"]}
        else:
            own |= {name: _unless_later(name, value) for name, value in self.values.items()}
            for (to, source), value in self.factors.items():
                own[f"gain[{to.start}:{to.stop},{source.start}:{source.stop}]"] = np.where(value == 1, np.nan, value)
            for (i, j), value in self.entries.items():
                own[f"W[{i},{j}]"] = np.where(value == self.replaced[i, j], np.nan, value)
            for name, value in self.input_numbers.items():
                own[name] = np.where(value == self.own_numbers.get(name, np.nan), np.nan, value)
        return np.broadcast_to(philox.stream_hash(own), (self.size,))

    def teachers(self) -> ParameterSets:
        """Return the same sets with noise that no set of a design has: their replicates are numbered -1, -2, ..."""
        own = {**self.selectors, "replicate": -1 - self.selectors["replicate"]}
        return dataclasses.replace(self, selectors=own)

    @property
    def noisy(self) -> bool:
        """Whether any of the sets has noise."""
        return bool(self.values["noise"].any())

    def rate_constants(self, dt: float) -> tuple[Array, Array]:
        """Return alpha_s and alpha_r, each ``(size or 1, unit or 1)``."""
        return rate_constant(dt, self.values["tau_s"]), rate_constant(dt, self.values["tau_r"])

    def compensated(self, timing: Integration) -> npt.NDArray[np.bool_]:
        """Return which sets need compensated sums, ``(size or 1,)``. This depends on each set alone."""
        if timing.dtype != np.float32:
            return np.zeros(1, dtype=bool)
        alpha_s, alpha_r = self.rate_constants(timing.dt)
        return np.asarray((alpha_s.min(axis=1) < COMPENSATE_BELOW) | (alpha_r.min(axis=1) < COMPENSATE_BELOW))

    def take(self, index: npt.NDArray[np.intp] | slice) -> ParameterSets:
        """Return the parameters of some of the sets, in the order of ``index``.

        Arrays that are common to all sets keep their length of 1. With a slice the arrays are views, and nothing is copied.
        """

        def pick(array: np.ndarray) -> np.ndarray:
            if len(array) == 1:
                return array
            # take() is twice as fast as array[index].
            return array[index] if isinstance(index, slice) else array.take(index, axis=0)

        taken = ParameterSets(
            size=len(range(self.size)[index]) if isinstance(index, slice) else len(index),
            values={name: pick(value) for name, value in self.values.items()},
            selectors={name: pick(value) for name, value in self.selectors.items()},
            factors={key: pick(value) for key, value in self.factors.items()},
            entries={key: pick(value) for key, value in self.entries.items()},
            replaced={key: pick(value) for key, value in self.replaced.items()},
            common_noise=self.common_noise,
            input_numbers={name: pick(value) for name, value in self.input_numbers.items()},
            own_numbers=self.own_numbers,
        )
        if "stream" in self.__dict__:
            taken.__dict__["stream"] = self.stream[index]
        return taken


def _unless_later(name: str, value: Array) -> Array:
    """Return values as the hash of the noise takes them: NaN, which adds nothing, for a later parameter at its default."""
    row = PARAMETERS[name]
    return np.where((value == row.default).all(axis=1, keepdims=True), np.nan, value) if row.later else value


def gather(
    model: Model,
    swept: Mapping[str, Array],
    size: int,
    common_noise: bool,
    own_numbers: Mapping[str, float] | None = None,
) -> ParameterSets:
    """Join the parameters that the design sweeps with those of the model.

    Parameters
    ----------
    model : Model
        The model, for the parameters that are not swept.
    swept : mapping of str to ndarray
        The swept parameters by name, ``(size,)`` or ``(size, unit)`` float64; see :meth:`sweep.Model.gathered`.
    size : int
        Number of sets.
    common_noise : bool
        Whether the noise depends on the replicate alone.
    own_numbers : mapping of str to float, optional
        What the job's input has of the numbers that are swept, by their names as parameters.

    Returns
    -------
    ParameterSets
    """
    values = {name: model.gathered(name, swept, size) for name in PARAMETERS}
    selectors = {name: (swept[name] if name in swept else model.parameter(name)).astype(np.int64) for name in SELECTORS}
    entries = {parse_name(name).entry: array for name, array in swept.items() if parse_name(name).base == "W"}
    weights = np.zeros((1, model.units, model.units)) if model.weights is None else model.weights
    weights = weights.reshape(-1, model.units, model.units)
    replaced = {(i, j): weights[selectors["network"], i, j] for i, j in entries}
    factors = {
        projection: np.reshape(swept[name] if name in swept else model.parameters[name], -1).astype(np.float64)
        for name, projection in model.named.projections([*model.parameters, *swept]).items()
    }
    for (i, j), (projection, factor) in itertools.product(entries, factors.items()):
        if i in projection.to and j in projection.source:
            entries[i, j], replaced[i, j] = entries[i, j] * factor, replaced[i, j] * factor
    numbers = {name: array for name, array in swept.items() if name in INPUT_NUMBERS}
    return ParameterSets(size, values, selectors, factors, entries, replaced, common_noise, numbers, own_numbers or {})
