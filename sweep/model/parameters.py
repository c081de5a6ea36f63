"""The parameters of a set: their names, meanings, units and bounds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.checks import values as checks
from sweep.checks.units import UNITS
from sweep.errors import JobError, short, suggest

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a set: its name, its meaning, and the values that it may take.

    ``neutral`` is the value with which it changes nothing, if there is one. ``at_start`` says that it is read once, before
    the first step, and is no part of the equations. ``later`` says that it was added after stores had been written: while
    it has its default it is no part of the hash that names a set's noise, so that the noise of older jobs stays.
    """

    name: str
    symbol: str
    units: str
    default: float
    long_name: str
    lower: float = -np.inf
    upper: float = np.inf
    per_unit: bool = True
    integer: bool = False
    neutral: float | None = None
    at_start: bool = False
    later: bool = False


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
        name="gain",
        symbol="g",
        units="1",
        default=1.0,
        neutral=1.0,
        per_unit=False,
        long_name="gain of the recurrent weights",
    ),
    Parameter(
        name="input_gain",
        symbol="g_u",
        units="1",
        default=1.0,
        neutral=1.0,
        per_unit=False,
        long_name="gain of the input weights",
    ),
    Parameter(name="bias", symbol="b", units="1", default=0.0, neutral=0.0, long_name="constant drive of a unit"),
    Parameter(name="slope", symbol="β", units="1", default=1.0, neutral=1.0, long_name="slope of the activation"),
    Parameter(
        name="threshold", symbol="θ", units="1", default=0.0, neutral=0.0, long_name="threshold of the activation"
    ),
    Parameter(
        name="noise",
        symbol="σ",
        units="1",
        default=0.0,
        neutral=0.0,
        lower=0.0,
        long_name="standard deviation of the noise current",
    ),
    Parameter(
        name="x0", symbol="x_0", units="1", default=0.0, at_start=True, long_name="synaptic current at the start"
    ),
    Parameter(name="r0", symbol="r_0", units="1", default=0.0, at_start=True, long_name="firing rate at the start"),
)

#: Parameters that choose something: a weight matrix, an input, or a stream of noise.
SELECTORS: Mapping[str, Parameter] = _table(
    *(
        Parameter(
            name=name,
            symbol=name,
            units="1",
            default=0,
            lower=0,
            # They are stored as float64, which can hold every whole number up to here.
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

#: Numbers of an input, such as its frequency. The signals are above this module, and :mod:`sweep.signals.numbers` fills it in.
INPUT_NUMBERS: dict[str, Parameter] = {}

_ENTRY = Parameter(name="W", symbol="W", units="1", default=0.0, per_unit=False, long_name="weight")
#: Some units: one of them, a slice, or a population.
_PLACE = r"\d+|\d*\s*:\s*\d*|[^\W\d]\w*"
_NAME = re.compile(rf"(\w+)\s*(?:\[\s*({_PLACE})\s*(?:,\s*({_PLACE})\s*)?\])?")

Place = int | str
"""Some units in a parameter's name: a unit's number, a slice ``"0:80"``, or the name of a population."""


@dataclass(frozen=True)
class ParameterName:
    """The name of a parameter: of all units, of some, or of the weights between some.

    ``tau_s``; its value in some units alone, ``tau_s[3]``, ``tau_s[0:80]`` or ``tau_s[E]``; a weight ``W[0,1]`` (to 0, from
    1); or ``gain[E,I]``, the factor of all weights to E from I. Which units a slice or a population has, the model says. A
    number of the input has the name of its argument with ``input_`` before it: ``input_frequency``.
    """

    base: str
    index: tuple[Place, ...] = ()

    def __str__(self) -> str:
        """Return the name in its standard spelling."""
        return f"{self.base}[{','.join(map(str, self.index))}]" if self.index else self.base

    @property
    def is_factor(self) -> bool:
        """Whether it scales the weights to some units from some: ``gain[E,I]``."""
        return self.base == "gain" and bool(self.index)

    @property
    def entry(self) -> tuple[int, int]:
        """The units of a single weight ``W[0,1]``, to and from."""
        to, source = self.index
        return int(to), int(source)

    @property
    def parameter(self) -> Parameter:
        """The row of the parameter table, with the index added to its long name."""
        row = _ENTRY if self.base == "W" else {**PARAMETERS, **SELECTORS, **INPUT_NUMBERS}[self.base]
        if not self.index:
            return row
        if len(self.index) == 2:
            to, source = map(_words, self.index)
            return dataclasses.replace(row, name=str(self), long_name=f"{row.long_name} from {source} to {to}")
        return dataclasses.replace(row, name=str(self), long_name=f"{row.long_name} of {_words(self.index[0])}")


def _words(place: Place) -> str:
    """Return some units in words."""
    if isinstance(place, int):
        return f"unit {place}"
    start, colon, stop = place.partition(":")
    if not colon:
        return f"population {place}"
    return f"units {start} to {int(stop) - 1}" if stop else f"units from {start} on"


def parse_name(name: str) -> ParameterName:
    """Read the name of a parameter.

    Parameters
    ----------
    name : str
        ``"tau_s"``; ``"tau_s[3]"``, ``"tau_s[0:80]"`` or ``"tau_s[E]"`` (in some units alone); ``"W[0,1]"`` (the weight to
        unit 0 from unit 1); or ``"gain[E,I]"`` (the factor of all weights to E from I).

    Returns
    -------
    ParameterName
        The parameter and its index.

    Raises
    ------
    JobError
        If there is no such parameter, or if it does not take this index.
    """
    if not isinstance(name, str):
        raise JobError(f"parameter {short(name)}: a parameter is named by a text. Write for example 'tau_s'.")
    return _parsed(name)


@lru_cache(maxsize=4096)
def _parsed(name: str) -> ParameterName:
    match = _NAME.fullmatch(name.strip())
    base = match[1] if match else name
    index = tuple(_place(name, text) for text in match.groups()[1:] if text is not None) if match else ()
    if match and base == "W":
        if len(index) == 2 and all(isinstance(place, int) for place in index):
            return ParameterName("W", index)
        raise JobError(
            f"parameter {name!r}: a weight is named by two units, to and from. Write for example 'W[0,1]'; "
            "to sweep whole matrices, give the model several and sweep 'network'; to scale all weights to some units from "
            "some, sweep 'gain[E,I]'."
        )
    if match and (base in PARAMETERS or base in SELECTORS or base in INPUT_NUMBERS):
        if not index or len(index) == _places(base):
            return ParameterName(base, index)
        kind = ("no index", "one index, the units", "two indices, the units to and from, as in gain[E,I]")[
            _places(base)
        ]
        raise JobError(f"parameter {name!r}: {base} takes {kind}. Write {base!r} to set it for the whole set.")
    raise JobError(
        f"parameter {name!r} does not exist. {suggest(base, [*PARAMETERS, *SELECTORS, 'W[0,1]', *INPUT_NUMBERS])}"
    )


def _places(base: str) -> int:
    """Return how many places the index of a parameter has, if it has one."""
    return 2 if base == "gain" else int(base in PARAMETERS and PARAMETERS[base].per_unit)


def _place(name: str, text: str) -> Place:
    """Return some units in their standard spelling."""
    start, colon, stop = (part.strip() for part in text.partition(":"))
    if not colon:
        return int(text) if text.isdigit() else text
    if stop and int(stop) <= int(start or 0):
        raise JobError(f"parameter {name!r}: the slice {text} has no units. Write start:stop, with stop above start.")
    return f"{int(start or 0)}:{int(stop) if stop else ''}"


def check_value(name: str, values: npt.ArrayLike) -> Array:
    """Return values of a parameter as an array; raise JobError for values that it cannot have.

    Parameters
    ----------
    name : str
        Name of the parameter; see :func:`parse_name`.
    values : array_like
        Any shape.

    Returns
    -------
    array of float64
        The shape of ``values``; read-only.

    Raises
    ------
    JobError
        If a value is not a finite number, is out of bounds, has units that do not fit, or is not whole although the
        parameter needs whole numbers.
    """
    parameter = parse_name(name).parameter
    array = checks.array(name, values, written=True, unit=UNITS[parameter.units])
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
    return array
