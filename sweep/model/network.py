"""The two equations, and the network that they describe.

Quax, D'Asaro & van Gerven, "Adaptive time scales in recurrent neural networks", Sci. Rep. 10:11360 (2020)::

    tau_s dx/dt = -x + gain * W r + input_gain * U u(t) + bias      x: synaptic current
    tau_r dr/dt = -r + f(slope * (x - threshold))                   r: firing rate

The first equation follows from spikes that pass the exponential kernel K(t) = exp(-t/tau_s)/tau_s, the second from the delay
of the membrane. :mod:`sweep.model.integration` describes the steps in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np

from sweep.checks import Count, OneOf
from sweep.checks import values as checks
from sweep.errors import JobError, short
from sweep.model.activations import ACTIVATIONS
from sweep.model.labelled import INPUT, RECURRENT, Labels, ordered
from sweep.model.parameters import INPUT_NUMBERS, PARAMETERS, SELECTORS, Array, check_value, parse_name
from sweep.model.populations import Units, check_populations
from sweep.spec import later, stored


@stored("Model")
@dataclass(frozen=True, eq=False)
class Model:
    """A recurrent firing-rate network: its size, weights, activation, and the parameters that all sets share.

    Parameters
    ----------
    units : int
        Number of units N.
    weights : array_like, optional
        ``(unit, unit)``, or ``(network, unit, unit)`` for an ensemble, of which the parameter ``network`` chooses.
        ``weights[i, j]`` is the weight from unit j to unit i. Without weights the units are uncoupled. A DataArray of
        xarray has the dimensions ``to`` and ``from`` (or ``target`` and ``source``), and perhaps ``network``, in any
        order; its labels of units become ``unit_labels``. A DataFrame of pandas has a row for each unit that weights
        lead to, and a column for each that they come from.
    input_weights : array_like, optional
        ``(unit, channel)``. Without them an input of one channel goes to every unit with weight 1, and of an input with
        N channels each unit gets its own channel. A DataArray has the dimensions ``to`` (or ``unit``) and ``channel``.
    activation : str
        ``linear``, ``relu``, ``tanh``, ``sigmoid`` or ``softplus``.
    parameters : mapping
        Values that all sets share: a number, or a sequence ``(unit,)`` for a parameter that may differ between units. Other
        parameters have the default of :data:`PARAMETERS`. A parameter that the design sweeps has the values of the design.
        ``tau_s[3]``, ``tau_s[0:80]`` and ``tau_s[E]`` are the values of some units, in place of that of ``tau_s``; where
        one names a part of the other's units, the narrower one holds. ``gain[E,I]`` is the factor of all weights to E
        from I, besides ``gain``.
    populations : mapping of str to int, optional
        Populations, which are consecutive units, and their sizes: ``{"E": 80, "I": 20}``. Results have the coordinate
        ``population``.
    unit_labels : sequence of str, optional
        A name for each unit. Results have them as the coordinate ``unit_label``.

    Raises
    ------
    JobError
        If shapes, names or values do not fit.
    """

    units: Count
    weights: Array | None = None
    input_weights: Array | None = None
    activation: Annotated[str, OneOf(ACTIVATIONS)] = "tanh"
    parameters: Mapping[str, float | Array] = field(default_factory=dict)
    populations: Mapping[str, int] | None = later(None)
    unit_labels: Sequence[str] | None = later(None)

    def __post_init__(self) -> None:
        """Check everything and make the arrays read-only."""
        checks.check_fields(self, "model")
        n = self.units
        labels = _labels(self.unit_labels, n)
        weights, labels = ordered("model.weights", self.weights, RECURRENT, labels)
        weights = None if weights is None else checks.array("model.weights", weights)
        if weights is not None and (weights.ndim not in (2, 3) or weights.shape[-2:] != (n, n) or not weights.size):
            raise JobError(
                f"model.weights has shape {weights.shape}: it must be ({n}, {n}) or (networks, {n}, {n}) for "
                f"units = {n}, with weights[i, j] from unit j to unit i."
            )
        input_weights, labels = ordered("model.input_weights", self.input_weights, INPUT, labels)
        if input_weights is not None:
            input_weights = checks.array("model.input_weights", input_weights)
        if input_weights is not None and (input_weights.ndim != 2 or input_weights.shape[0] != n):
            raise JobError(
                f"model.input_weights has shape {input_weights.shape}: it must be ({n}, channels), a row per unit. "
                "Transpose it, or correct units."
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "input_weights", input_weights)
        object.__setattr__(self, "populations", check_populations(n, self.populations))
        object.__setattr__(self, "unit_labels", labels)
        parameters = {str(parse_name(name)): self._check(name, value) for name, value in self.parameters.items()}
        if len(parameters) < len(self.parameters):
            raise JobError(
                f"model.parameters names a parameter twice: {', '.join(self.parameters)}. Remove one of the two."
            )
        object.__setattr__(self, "parameters", parameters)
        self.named.projections(parameters)
        for base in PARAMETERS:
            self.named.layers(base, parameters)

    def _check(self, name: str, value: float | Array) -> float | Array:
        key = parse_name(name)
        if key.base in INPUT_NUMBERS:
            raise JobError(
                f"model.parameters.{name}: it is a number of the input, and not of the model. Give it to the input itself, or "
                "sweep it in the design."
            )
        if key.base == "W":
            raise JobError(
                f"model.parameters.{name}: a weight that all sets share is a part of the weights. Put the value into the "
                f"weights, or sweep {name} in the design."
            )
        array = check_value(name, value)
        if array.ndim == 0:
            self.named.at(key)
            return float(array)
        if not key.parameter.per_unit:
            raise JobError(f"model.parameters.{name} has shape {array.shape}: it takes one number per set.")
        (units,) = self.named.at(key)
        if array.shape != (len(units),):
            raise JobError(
                f"model.parameters.{name} has shape {array.shape}: give one number, or one per unit, ({len(units)},)."
            )
        return array

    @cached_property
    def named(self) -> Units:
        """The units by the names that they have: populations, slices, single units."""
        return Units(self.units, self.populations)

    @property
    def networks(self) -> int:
        """Number of weight matrices in the ensemble."""
        return self.weights.shape[0] if self.weights is not None and self.weights.ndim == 3 else 1

    def parameter(self, name: str) -> Array:
        """Return the value that all sets share, ``(1,)`` or ``(unit,)``."""
        if name in SELECTORS:
            return np.atleast_1d(np.asarray(self.parameters.get(name, SELECTORS[name].default), dtype=np.float64))
        (values,) = self.gathered(name, {}, 1)
        return np.asarray(values)

    def gathered(self, name: str, swept: Mapping[str, Array], size: int) -> Array:
        """Return the values of a parameter in some sets: those that are swept, and the common ones of other units.

        Parameters
        ----------
        name : str
            One of :data:`PARAMETERS`.
        swept : mapping of str to ndarray
            What is swept, ``(size,)`` or ``(size, unit)``: ``tau_s``, ``tau_s[3]``, ``tau_s[E]``.
        size : int
            Number of sets.

        Returns
        -------
        ndarray
            ``(size or 1, unit or 1)`` float64. A length of 1 means that it is the same for all sets, or for all units.
        """
        layers = self.named.layers(name, [*self.parameters, *swept])
        given = {
            key: swept[key] if key in swept else self.parameters.get(key, PARAMETERS[name].default) for key in layers
        }
        values = [np.asarray(value, dtype=np.float64) for value in given.values()]
        # (set, 1), (set, unit), (1, unit) or (1, 1): what is swept has a value for each set, what is common has none.
        shaped = [
            value.reshape(size, -1) if key in swept else value.reshape(1, -1)
            for key, value in zip(layers, values, strict=True)
        ]
        if len(shaped) == 1:
            return shaped[0]
        whole = np.empty((max(len(value) for value in shaped), self.units))
        for units, value in zip(layers.values(), shaped, strict=True):
            whole[:, units.start : units.stop] = value
        return whole

    def input_matrix(self, channels: int) -> Array:
        """Return U ``(unit, channel)`` for an input with ``channels`` channels.

        Raises
        ------
        JobError
            If the input weights have another number of channels, or if there are none and the input needs them.
        """
        if self.input_weights is not None:
            if self.input_weights.shape[1] != channels:
                raise JobError(
                    f"model.input_weights has {self.input_weights.shape[1]} channels but the input has {channels}: "
                    "they must agree. Give (unit, channel) weights for this input."
                )
            return self.input_weights
        if channels == 1:
            return np.ones((self.units, 1))
        if channels == self.units:
            return np.eye(self.units)
        raise JobError(
            f"the input has {channels} channels and the model {self.units} units: without model.input_weights an "
            f"input needs 1 or {self.units} channels. Give input_weights of shape ({self.units}, {channels})."
        )


def _labels(given: Sequence[str] | None, units: int) -> Labels | None:
    """Return the labels of units, checked."""
    if given is None:
        return None
    listed = list(given) if hasattr(given, "__len__") and not isinstance(given, str) else []
    if len(listed) != units or not all(isinstance(label, str) for label in listed):
        raise JobError(
            f"model.unit_labels = {short(given)}: must be a list of texts, one for each of {units} units. Correct it."
        )
    return tuple(map(str, listed))
