"""The two equations, and the network that they describe.

Quax, D'Asaro & van Gerven, "Adaptive time scales in recurrent neural networks", Sci. Rep. 10:11360 (2020)::

    tau_s dx/dt = -x + gain * W r + input_gain * U u(t) + bias      x: synaptic current
    tau_r dr/dt = -r + f(slope * (x - threshold))                   r: firing rate

The first equation follows from spikes that pass the exponential kernel K(t) = exp(-t/tau_s)/tau_s, the second from the delay
of the membrane. :mod:`sweep.model.integration` describes the steps in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from sweep.checks import Count, OneOf
from sweep.checks import values as checks
from sweep.errors import JobError
from sweep.model.activations import ACTIVATIONS
from sweep.model.parameters import PARAMETERS, SELECTORS, Array, check_value, parse_name
from sweep.spec import stored


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
        ``weights[i, j]`` is the weight from unit j to unit i. Without weights the units are uncoupled.
    input_weights : array_like, optional
        ``(unit, channel)``. Without them an input of one channel goes to every unit with weight 1, and of an input with
        N channels each unit gets its own channel.
    activation : str
        ``linear``, ``relu``, ``tanh``, ``sigmoid`` or ``softplus``.
    parameters : mapping
        Values that all sets share: a number, or a sequence ``(unit,)`` for a parameter that may differ between units. Other
        parameters have the default of :data:`PARAMETERS`. A parameter that the design sweeps has the values of the design.

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

    def __post_init__(self) -> None:
        """Check everything and make the arrays read-only."""
        checks.check_fields(self, "model")
        n = self.units
        weights = None if self.weights is None else checks.array("model.weights", self.weights)
        if weights is not None and (weights.ndim not in (2, 3) or weights.shape[-2:] != (n, n) or not weights.size):
            raise JobError(
                f"model.weights has shape {weights.shape}: it must be ({n}, {n}) or (networks, {n}, {n}) for "
                f"units = {n}, with weights[i, j] from unit j to unit i."
            )
        input_weights = self.input_weights
        if input_weights is not None:
            input_weights = checks.array("model.input_weights", input_weights)
        if input_weights is not None and (input_weights.ndim != 2 or input_weights.shape[0] != n):
            raise JobError(
                f"model.input_weights has shape {input_weights.shape}: it must be ({n}, channels), a row per unit. "
                "Transpose it, or correct units."
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "input_weights", input_weights)
        parameters = {str(parse_name(name)): self._check(name, value) for name, value in self.parameters.items()}
        if len(parameters) < len(self.parameters):
            raise JobError(
                f"model.parameters names a parameter twice: {', '.join(self.parameters)}. Remove one of the two."
            )
        object.__setattr__(self, "parameters", parameters)

    def _check(self, name: str, value: float | Array) -> float | Array:
        key = parse_name(name)
        if key.index:
            raise JobError(
                f"model.parameters.{name}: a common parameter is a number or one number per unit. Put the value into "
                f"{'the weights' if key.base == 'W' else f'a list for {key.base}'}, or sweep {name} in the design."
            )
        array = check_value(name, value)
        if array.ndim == 0:
            return float(array)
        if not key.parameter.per_unit:
            raise JobError(f"model.parameters.{name} has shape {array.shape}: it takes one number per set.")
        if array.shape != (self.units,):
            raise JobError(
                f"model.parameters.{name} has shape {array.shape}: give one number, or one per unit, ({self.units},)."
            )
        return array

    @property
    def networks(self) -> int:
        """Number of weight matrices in the ensemble."""
        return self.weights.shape[0] if self.weights is not None and self.weights.ndim == 3 else 1

    def parameter(self, name: str) -> Array:
        """Return the value that all sets share, ``(1,)`` or ``(unit,)``."""
        row = PARAMETERS.get(name) or SELECTORS[name]
        return np.atleast_1d(np.asarray(self.parameters.get(name, row.default), dtype=np.float64))

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
