"""Units: what carries units of time or frequency becomes ms or Hz; what carries others is refused.

Numbers with units are known by what they offer, so no library of them is imported: quantities and neo (``rescale``), pint
(``to``), astropy (``to_value``), Brian (``dim``), NumPy, pandas and Python (timedelta), xarray (the attribute ``units``).
What an argument is counted in is said by the mark of its annotation, ``Annotated[float, Gt(0), Milliseconds]``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.errors import JobError, short


@dataclass(frozen=True, eq=False)
class Unit:
    """The mark of a number that is counted in a unit: what it measures, and how other units convert to it."""

    name: str
    measures: str
    in_si: float
    power_of_time: int
    factors: Mapping[str, float]


_TIME_NAMES = {
    1e-6: ("ns", "nanosecond", "nanoseconds"),
    1e-3: ("us", "µs", "μs", "microsecond", "microseconds"),
    1.0: ("ms", "msec", "millisecond", "milliseconds"),
    1e3: ("s", "sec", "second", "seconds"),
    6e4: ("min", "minute", "minutes"),
}
_FREQUENCY_NAMES = {
    1e-3: ("mHz", "millihertz"),
    1.0: ("Hz", "hertz", "1/s", "s-1", "s^-1"),
    1e3: ("kHz", "kilohertz"),
    1e6: ("MHz", "megahertz"),
}


def _by_name(names: Mapping[float, tuple[str, ...]]) -> Mapping[str, float]:
    return {name: factor for factor, all_names in names.items() for name in all_names}


Milliseconds = Unit("ms", "time", 1e-3, 1, _by_name(_TIME_NAMES))
Hertz = Unit("Hz", "frequency", 1.0, -1, _by_name(_FREQUENCY_NAMES))
_NONE = Unit("1", "number", 1.0, 0, {"1": 1.0, "": 1.0})

#: By the units of a parameter.
UNITS: Mapping[str, Unit] = {unit.name: unit for unit in (Milliseconds, Hertz, _NONE)}

# The base units of the SI, as Brian names them.
_BASE = ("length", "mass", "time", "electric current", "temperature", "quantity of substance", "luminosity")


def plain(key: str, value: Any, unit: Unit | None = None) -> Any:
    """Return a value without units: its number in the unit that it is counted in.

    Parameters
    ----------
    key : str
        What it is, for the message.
    value : object
        Anything. What carries no units is returned as it is.
    unit : Unit, optional
        What the number is counted in; None for a number without units.

    Raises
    ------
    JobError
        If it carries units of something else.
    """
    unit = unit or _NONE
    if isinstance(value, list | tuple):
        if not any(type(item) not in (float, int, str) and _may_carry(item) for item in value):
            return value
        bare = [plain(key, item, unit) for item in value]
        return bare if isinstance(value, list) else tuple(bare)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return plain(key, value.tolist(), unit)
    convert = _converter(value, unit)
    if convert is None:
        return value
    try:
        found = convert(unit)
    except (ValueError, TypeError, AttributeError, KeyError):
        found = None
    if found is None:
        needed = (
            "a plain number without units" if unit is _NONE else f"a {unit.measures}, which is counted in {unit.name}"
        )
        raise JobError(
            f"{key} = {short(value)}: its units do not fit, for it must be {needed}. Convert it, or give its number alone "
            "(of a quantity its magnitude or value)."
        )
    return found


def _may_carry(value: Any) -> bool:
    return isinstance(value, list | tuple) or _converter(value, _NONE) is not None or _units_of(value) is not None


def _converter(value: Any, unit: Unit) -> Callable[[Unit], Any] | None:
    """Return what converts a value to a unit, and returns None or raises where that makes no sense."""
    if isinstance(value, float | int | str):
        return None
    kind = type(value)
    if isinstance(value, datetime.timedelta) or getattr(getattr(value, "dtype", None), "kind", "") == "m":
        return lambda unit: _steps_of(value) / np.timedelta64(1, "ms") if unit is Milliseconds else None
    if hasattr(kind, "rescale"):
        return lambda unit: value.rescale("dimensionless" if unit is _NONE else unit.name).magnitude
    if hasattr(kind, "to_value"):
        return lambda unit: value.to_value("" if unit is _NONE else unit.name)
    if hasattr(kind, "to") and hasattr(kind, "magnitude"):
        return lambda unit: value.to("dimensionless" if unit is _NONE else unit.name).magnitude
    if isinstance(value, np.ndarray) and hasattr(value, "dim"):
        return lambda unit: _from_si(value, unit)
    # Of a plain number the units of xarray are a note; of a time they say how it is counted.
    if unit is not _NONE and _units_of(value) is not None:
        return lambda unit: np.asarray(value) * unit.factors[str(_units_of(value))]
    return None


def _steps_of(value: Any) -> Any:
    """Return spans of time as NumPy has them; those of pandas count nanoseconds, which Python's do not."""
    if hasattr(value, "to_timedelta64"):
        return value.to_timedelta64()
    return np.timedelta64(value) if isinstance(value, datetime.timedelta) else np.asarray(value)


def _units_of(value: Any) -> Any:
    """Return the attribute ``units`` of an array of xarray."""
    return value.attrs.get("units") if hasattr(type(value), "attrs") and hasattr(type(value), "dims") else None


def _from_si(value: Any, unit: Unit) -> Any:
    """Convert what holds numbers in units of the SI and their dimension, as Brian does."""
    powers = {base: value.dim.get_dimension(base) for base in _BASE}
    fits = all(power == (unit.power_of_time if base == "time" else 0) for base, power in powers.items())
    return np.asarray(value) / unit.in_si if fits else None
