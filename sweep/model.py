"""The two equations, their parameters and the activations.

Quax, D'Asaro & van Gerven, "Adaptive time scales in recurrent neural networks", Sci. Rep. 10:11360 (2020)::

    tau_s dx/dt = -x + gain * W r + input_gain * U u(t) + bias      x: synaptic current
    tau_r dr/dt = -r + f(slope * (x - threshold))                   r: firing rate

The first follows from spikes that pass the exponential kernel K(t) = exp(-t/tau_s)/tau_s, the second from the
delay of the membrane. :mod:`sweep.integration` says how they are stepped in time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.errors import JobError, suggest

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a set: what it is called, what it means, and which values it may take."""

    name: str
    symbol: str
    units: str
    default: float
    long_name: str
    lower: float = -np.inf
    upper: float = np.inf
    per_unit: bool = True
    integer: bool = False


def _table(*parameters: Parameter) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


#: The continuous parameters of a set. A time constant of exactly 0 means "instantaneous".
PARAMETERS: Mapping[str, Parameter] = _table(
    Parameter(
        name="tau_s",
        symbol="τ_s",
        units="ms",
        default=10.0,
        lower=0.0,
        long_name="time constant of the synaptic current",
    ),
    Parameter(
        name="tau_r", symbol="τ_r", units="ms", default=10.0, lower=0.0, long_name="time constant of the firing rate"
    ),
    Parameter(
        name="gain", symbol="g", units="1", default=1.0, per_unit=False, long_name="gain of the recurrent weights"
    ),
    Parameter(
        name="input_gain", symbol="g_u", units="1", default=1.0, per_unit=False, long_name="gain of the input weights"
    ),
    Parameter(name="bias", symbol="b", units="1", default=0.0, long_name="constant drive of a unit"),
    Parameter(name="slope", symbol="β", units="1", default=1.0, long_name="slope of the activation"),
    Parameter(name="threshold", symbol="θ", units="1", default=0.0, long_name="threshold of the activation"),
    Parameter(
        name="noise", symbol="σ", units="1", default=0.0, lower=0.0, long_name="standard deviation of the noise current"
    ),
    Parameter(name="x0", symbol="x_0", units="1", default=0.0, long_name="synaptic current at the start"),
    Parameter(name="r0", symbol="r_0", units="1", default=0.0, long_name="firing rate at the start"),
)

#: Parameters that choose instead of measure: which matrix, which input, which stream of noise.
SELECTORS: Mapping[str, Parameter] = _table(
    *(
        Parameter(
            name=name,
            symbol=name,
            units="1",
            default=0,
            lower=0,
            # They travel as float64, which holds every whole number up to here.
            upper=2**53,
            per_unit=False,
            integer=True,
            long_name=meaning,
        )
        for name, meaning in (
            ("network", "number of the weight matrix in the ensemble"),
            ("stimulus", "number of the input in the ensemble"),
            ("replicate", "number of the noise stream"),
        )
    )
)

_ENTRY = Parameter(name="W", symbol="W", units="1", default=0.0, per_unit=False, long_name="weight")
_NAME = re.compile(r"(\w+)\s*(?:\[\s*(\d+)\s*(?:,\s*(\d+)\s*)?\])?")


@dataclass(frozen=True)
class ParameterName:
    """A parameter as it is swept: ``tau_s``, one unit of it ``tau_s[3]``, or one weight ``W[0,1]`` (to 0, from 1)."""

    base: str
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the canonical spelling."""
        return f"{self.base}[{','.join(map(str, self.index))}]" if self.index else self.base

    @property
    def parameter(self) -> Parameter:
        """The row of the parameter table, its long name completed by the index."""
        row = _ENTRY if self.base == "W" else PARAMETERS.get(self.base) or SELECTORS[self.base]
        if not self.index:
            return row
        where = f"from unit {self.index[1]} to unit {self.index[0]}" if row is _ENTRY else f"of unit {self.index[0]}"
        return dataclasses.replace(row, name=str(self), long_name=f"{row.long_name} {where}")


@lru_cache(maxsize=4096)
def parse_name(name: str) -> ParameterName:
    """Read the name of a parameter.

    Parameters
    ----------
    name : str
        ``"tau_s"``, ``"tau_s[3]"`` (unit 3 alone) or ``"W[0,1]"`` (the weight to unit 0 from unit 1).

    Returns
    -------
    ParameterName

    Raises
    ------
    JobError
        If there is no such parameter, or it takes no index.
    """
    match = _NAME.fullmatch(name.strip())
    base = match[1] if match else name
    index = tuple(int(i) for i in match.groups()[1:] if i is not None) if match else ()
    if match and base == "W":
        if len(index) == 2:
            return ParameterName("W", index)
        raise JobError(
            f"parameter {name!r}: a weight is named by two units, to and from. Write for example 'W[0,1]'; "
            "to sweep whole matrices, give the model several and sweep 'network'."
        )
    if match and base in PARAMETERS and (not index or (len(index) == 1 and PARAMETERS[base].per_unit)):
        return ParameterName(base, index)
    if match and base in SELECTORS and not index:
        return ParameterName(base)
    if match and (base in PARAMETERS or base in SELECTORS):
        kind = "one index, the unit" if base in PARAMETERS and PARAMETERS[base].per_unit else "no index"
        raise JobError(f"parameter {name!r}: {base} takes {kind}. Write {base!r} to set it for the whole set.")
    raise JobError(f"parameter {name!r} does not exist. {suggest(base, [*PARAMETERS, *SELECTORS, 'W[0,1]'])}")


def check_value(name: str, values: npt.ArrayLike) -> None:
    """Refuse values that the parameter cannot take.

    Parameters
    ----------
    name : str
        As :func:`parse_name` reads it.
    values : array_like
        Any shape.

    Raises
    ------
    JobError
        For NaN, infinities, values out of bounds and fractions where whole numbers are needed.
    """
    parameter = parse_name(name).parameter
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise JobError(f"{name} = {values!r}: every value must be a number. Remove what is not.")
    array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        raise JobError(f"{name} = {array[~finite][0]}: every value must be finite. Remove it or replace it.")
    if array.size and (array.min() < parameter.lower or array.max() > parameter.upper):
        low = array.min() < parameter.lower
        worst, rule = (
            (array.min(), f"at least {parameter.lower:g}") if low else (array.max(), f"at most {parameter.upper:g}")
        )
        zero = " A time constant of 0 means instantaneous." if parameter.units == "ms" else ""
        raise JobError(f"{name} = {worst:g}: the {parameter.long_name} must be {rule}.{zero} Correct the value.")
    if parameter.integer and not np.array_equal(array, np.floor(array)):
        bad = array[array != np.floor(array)][0]
        raise JobError(f"{name} = {bad:g}: the {parameter.long_name} must be a whole number. Correct the value.")


# ---------------------------------------------------------------------------------------------------------------------
# Activations. Each reads z and writes out, which may be z itself, with one scratch array of the same shape: a back end
# calls it millions of times on arrays that stay in cache, so nothing is allocated.

_Floating = npt.NDArray[np.floating]


def _linear(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.copyto(out, z)


def _relu(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.maximum(z, 0, out=out)


def _tanh(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.tanh(z, out=out)


def _sigmoid(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    # 1/(1 + exp(-z)): exp may overflow to inf, and 1/inf = 0 is the right limit.
    np.negative(z, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.reciprocal(out, out=out)


def _softplus(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    # max(z, 0) + log1p(exp(-|z|)) neither overflows nor loses the tail.
    np.abs(z, out=scratch)
    np.negative(scratch, out=scratch)
    np.exp(scratch, out=scratch)
    np.log1p(scratch, out=scratch)
    np.maximum(z, 0, out=out)
    np.add(out, scratch, out=out)


@dataclass(frozen=True)
class Activation:
    """An activation f, for arrays: ``apply(z, out, scratch)``."""

    name: str
    apply: Callable[[_Floating, _Floating, _Floating], None]


ACTIVATIONS: Mapping[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("linear", _linear),
        Activation("relu", _relu),
        Activation("tanh", _tanh),
        Activation("sigmoid", _sigmoid),
        Activation("softplus", _softplus),
    )
}


@dataclass(frozen=True, eq=False)
class Model:
    """A recurrent firing-rate network: its size, weights, activation, and the parameters that all sets share.

    Parameters
    ----------
    units : int
        Number of units N.
    weights : array_like, optional
        ``(unit, unit)``, or ``(network, unit, unit)`` for an ensemble chosen by the parameter ``network``.
        ``weights[i, j]`` is the weight from unit j to unit i. Without weights the units are uncoupled.
    input_weights : array_like, optional
        ``(unit, channel)``. Without them an input of one channel reaches every unit with weight 1, and an input of
        N channels reaches each unit with its own.
    activation : str
        ``linear``, ``relu``, ``tanh``, ``sigmoid`` or ``softplus``.
    parameters : mapping
        Values common to all sets: a number, or for a parameter that may differ from unit to unit a sequence
        ``(unit,)``. What is not given has the default of :data:`PARAMETERS`; what the design sweeps overrides it.

    Raises
    ------
    JobError
        If shapes, names or values do not fit.
    """

    units: int
    weights: Array | None = None
    input_weights: Array | None = None
    activation: str = "tanh"
    parameters: Mapping[str, float | Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything and make the arrays read-only."""
        if isinstance(self.units, bool) or not isinstance(self.units, int | np.integer) or self.units < 1:
            raise JobError(f"model.units = {self.units!r}: the number of units must be a whole number of at least 1.")
        if self.activation not in ACTIVATIONS:
            raise JobError(
                f"model.activation = {self.activation!r} does not exist. {suggest(str(self.activation), ACTIVATIONS)}"
            )
        n = int(self.units)
        weights = _frozen("model.weights", self.weights)
        if weights is not None and (weights.ndim not in (2, 3) or weights.shape[-2:] != (n, n) or not weights.size):
            raise JobError(
                f"model.weights has shape {weights.shape}: it must be ({n}, {n}) or (networks, {n}, {n}) for "
                f"units = {n}, with weights[i, j] from unit j to unit i."
            )
        input_weights = _frozen("model.input_weights", self.input_weights)
        if input_weights is not None and (input_weights.ndim != 2 or input_weights.shape[0] != n):
            raise JobError(
                f"model.input_weights has shape {input_weights.shape}: it must be ({n}, channels), a row per unit. "
                "Transpose it, or correct units."
            )
        if not isinstance(self.parameters, Mapping):
            raise JobError(
                f"model.parameters is a {type(self.parameters).__name__}: give a mapping of names to values."
            )
        object.__setattr__(self, "units", n)
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
        check_value(name, value)
        array = np.array(value, dtype=np.float64)
        if array.ndim == 0:
            return float(array)
        if not key.parameter.per_unit:
            raise JobError(f"model.parameters.{name} has shape {array.shape}: it takes one number per set.")
        if array.shape != (self.units,):
            raise JobError(
                f"model.parameters.{name} has shape {array.shape}: give one number, or one per unit, ({self.units},)."
            )
        array.setflags(write=False)
        return array

    @property
    def networks(self) -> int:
        """How many weight matrices there are to choose from."""
        return self.weights.shape[0] if self.weights is not None and self.weights.ndim == 3 else 1

    def parameter(self, name: str) -> Array:
        """Return the value that all sets share, ``(1,)`` or ``(unit,)``."""
        row = PARAMETERS.get(name) or SELECTORS[name]
        return np.atleast_1d(np.asarray(self.parameters.get(name, row.default), dtype=np.float64))

    def input_matrix(self, channels: int) -> Array:
        """Return U ``(unit, channel)`` for an input of so many channels.

        Raises
        ------
        JobError
            If the input weights have another number of channels, or there are none and none can be assumed.
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


def _frozen(key: str, value: npt.ArrayLike | None) -> Array | None:
    """Return a read-only float64 copy, or None."""
    if value is None:
        return None
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise JobError(f"{key}: it must be an array of numbers, got {type(value).__name__}.") from None
    if not np.isfinite(array).all():
        raise JobError(f"{key} contains {array[~np.isfinite(array)].flat[0]}: every weight must be finite.")
    array.setflags(write=False)
    return array
