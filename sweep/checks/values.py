"""Checks of what a user gives: whole numbers, numbers, arrays of numbers, and names from a list.

The rule for a number is written once, as the annotation of the argument or field::

    def sparse(units: Count, seed: Whole, density: Density, networks: Count | None = None) -> Weights: ...

What it is counted in is said by the mark of a unit, of :mod:`sweep.checks.units`. :func:`checked` and
:func:`check_fields` compare the values with the annotations. Job files and their schema read the same annotations.
Booleans, texts, complex numbers and masked entries are never numbers. Shapes are checked by the caller.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from types import UnionType
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from sweep.checks import decimals
from sweep.checks.calls import bound
from sweep.checks.units import Milliseconds, Unit, plain
from sweep.errors import JobError, short, suggest

_Bound = tuple[str, Callable[[Any, Any], bool], Any]

P = ParamSpec("P")
T = TypeVar("T")

Whole = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Lt(2**64)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Duration = Annotated[float, Gt(0), Milliseconds]
"""A length of time above 0, ms."""

# For each attribute that holds the limit of a bound: the words for the bound, and the test of a value.
_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", operator.ge),
    "gt": ("above", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("below", operator.lt),
}


# By the annotation: the class that a value must have, and what it is called.
_INSTANCES: Mapping[Any, tuple[Any, str]] = {
    str: (str, "text"),
    bool: (bool | np.bool_, "truth, True or False"),
    str | os.PathLike[str]: (str | os.PathLike, "path"),
}


@dataclass(frozen=True, eq=False)
class OneOf:
    """Marks a text that must be one of these names: ``Annotated[str, OneOf(SCHEMES)]``."""

    names: Collection[str]


def whole(key: str, value: Any, rule: Any = Whole, remedy: str = "Correct the value.") -> int:
    """Check a whole number and return it.

    Parameters
    ----------
    key : str
        Name of the number in the message.
    value : object
        An int, or an integer of NumPy.
    rule : type
        ``int`` with its bounds, such as :data:`Count`.
    remedy : str
        The remedy in the message.

    Raises
    ------
    JobError
        If it is not a whole number, or out of its bounds.
    """
    try:
        found = None if isinstance(value, bool | np.ma.MaskedArray) else operator.index(value)
    except TypeError:
        found = None
    bounds = _bounds(rule)
    if found is None or not _keeps(found, bounds):
        bounded = f" of {_words(bounds)}" if bounds else ""
        raise JobError(f"{key} = {short(value)}: must be a whole number{bounded}. {remedy}")
    return found


def number(key: str, value: Any, rule: Any = float, remedy: str = "Correct the value.") -> float:
    """Check a finite number and return it.

    Parameters
    ----------
    key : str
        Name of the number in the message.
    value : object
        A real number, of Python or NumPy.
    rule : type
        ``float``, with or without bounds, such as :data:`Positive`.
    remedy : str
        The remedy in the message.

    Raises
    ------
    JobError
        If it is not a single finite number, or out of its bounds.
    """
    value = plain(key, value, unit_of(rule))
    given = None if isinstance(value, list | tuple) else _real(value)
    if given is None or given.ndim:
        hint = "Write it without quotes." if isinstance(value, str) else "Give one number."
        raise JobError(f"{key} = {short(value)}: must be a number. {hint}")
    found = float(decimals.widened(given))
    if not math.isfinite(found):
        raise JobError(f"{key} = {found}: must be finite. {remedy}")
    bounds = _bounds(rule)
    if not _keeps(found, bounds):
        raise JobError(f"{key} = {found:g}: must be {_words(bounds)}. {remedy}")
    return found


def array(key: str, value: npt.ArrayLike, written: bool = False, unit: Unit | None = None) -> npt.NDArray[np.float64]:
    """Check numbers and copy them into a read-only array.

    Parameters
    ----------
    key : str
        Name of the numbers in the message.
    value : array_like
        Any shape.
    written : bool
        Whether float32 numbers are those that people write, so that 0.1 becomes 0.1 and not 0.10000000149011612.
    unit : Unit, optional
        What the numbers are counted in; what carries other units of that kind is converted.

    Returns
    -------
    array of float64
        The shape of ``value``; read-only and contiguous.

    Raises
    ------
    JobError
        If an entry is not a number, not finite or masked, or has units that do not fit, or if rows differ in length.
    """
    value = plain(key, value, unit)
    try:
        real = _real(value)
    except ValueError:
        raise JobError(f"{key} = {short(value)}: its rows differ in length. Give every row as many numbers.") from None
    if real is None:
        raise JobError(
            f"{key} = {short(value)}: must be a number or an array of numbers, none masked. Remove what is not."
        )
    copy = np.array(decimals.widened(real) if written else real, dtype=np.float64, order="C")
    finite = np.isfinite(copy)
    if not finite.all():
        where = tuple(np.argwhere(~finite)[0].tolist())
        place = f" at {list(where)}" if where else ""
        raise JobError(f"{key} = {copy[where]}{place}: every number must be finite. Remove or replace it.")
    copy.setflags(write=False)
    return copy


def numbers_of(key: str, value: npt.ArrayLike, unit: Unit | None = None) -> tuple[float, ...]:
    """Check a number, or a list of numbers, and return it as a tuple; see :func:`array`.

    Raises
    ------
    JobError
        If it is neither, or if a number is not finite.
    """
    given = array(key, value, written=True, unit=unit)
    if given.ndim > 1 or given.size == 0:
        raise JobError(f"{key} = {short(value)}: must be a number or a list of numbers. Write it as such.")
    return tuple(np.atleast_1d(given).tolist())


def one_of(key: str, value: object, names: Collection[str]) -> str:
    """Check that a text is one of these names, and return it.

    Raises
    ------
    JobError
        If it is not one of them.
    """
    if not isinstance(value, str) or value not in names:
        raise JobError(f"{key} = {short(value)} does not exist. {suggest(str(value), names)}")
    return value


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function: its arguments are checked by its signature and annotations, and replaced by what the checks return."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        given = bound(function, args, kwargs)
        for name, check in _checks(function).items():
            if name in given.arguments:
                given.arguments[name] = check(name, given.arguments[name])
        return function(*given.args, **given.kwargs)

    return call


def check_fields(instance: object, prefix: str = "") -> None:
    """Check the fields of a frozen dataclass by their annotations, and set them to what the checks return.

    Parameters
    ----------
    instance : dataclass
        The instance, from its own ``__post_init__``.
    prefix : str
        A prefix for the names in the message: ``integration`` makes ``integration.dt = -1: must be ...``.

    Raises
    ------
    JobError
        If a value does not keep the rule of its annotation.
    """
    owner: Any = type(instance)
    for name, check in _checks(owner).items():
        key = f"{prefix}.{name}" if prefix else name
        object.__setattr__(instance, name, check(key, getattr(instance, name)))


def unit_of(annotation: Any) -> Unit | None:
    """Return the unit that an annotation marks a number with, if it does."""
    marks = getattr(without_none(annotation), "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Unit)), None)


@functools.cache
def units_of(owner: Any) -> Mapping[str, Unit | None]:
    """Return the units of the arguments of a function, or of the fields of a class."""
    return {name: unit_of(hint) for name, hint in get_type_hints(owner, include_extras=True).items()}


def without_none(annotation: Any) -> Any:
    """Return an annotation without ``None``: ``float | None`` becomes ``float``."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return functools.reduce(operator.or_, (part for part in get_args(annotation) if part is not type(None)))


@functools.cache
def _checks(owner: Any) -> Mapping[str, Callable[[str, Any], Any]]:
    """Return a check for every argument or field whose annotation is a number or one of some names."""
    hints = get_type_hints(owner, include_extras=True)
    names = [field.name for field in dataclasses.fields(owner)] if isinstance(owner, type) else list(hints)
    found = {name: _check(hints[name]) for name in names}
    return {name: check for name, check in found.items() if check is not None}


def _check(annotation: Any) -> Callable[[str, Any], Any] | None:
    """Return the check for an annotation; None if it needs none."""
    rule = without_none(annotation)
    kind, *marks = get_args(rule) if get_origin(rule) is Annotated else (rule,)
    remedy = "Correct the value." if rule is annotation else "Correct the value, or leave it out."
    check: Callable[[str, Any], Any]
    if kind is int:
        check = functools.partial(whole, rule=rule, remedy=remedy)
    elif kind is float:
        check = functools.partial(number, rule=rule, remedy=remedy)
    elif kind is str and marks:
        check = functools.partial(one_of, names=marks[0].names)
    elif not marks and kind in _INSTANCES:
        check = functools.partial(_instance, *_INSTANCES[kind])
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        check = functools.partial(_instance, kind, f"sweep.{kind.__name__}")
    elif get_origin(kind) is Mapping:
        check = functools.partial(_instance, Mapping, "mapping of names to values")
    else:
        return None
    return check if rule is annotation else lambda key, value: None if value is None else check(key, value)


def _instance(kind: Any, words: str, key: str, value: Any) -> Any:
    """Return a value that is an instance of a class."""
    if not isinstance(value, kind):
        raise JobError(f"{key} is a {type(value).__name__}: give a {words}, not {short(value)}.")
    return value


def _real(value: Any) -> np.ndarray | None:
    """Return real numbers as an array of any type; None if something is not a real number.

    NumPy raises ValueError if rows differ in length.
    """
    if _disguised(value):
        return None
    given = np.asarray(value)
    if given.dtype.kind == "O":  # such as integers of more than 64 bits
        real = all(isinstance(item, Real | Decimal) and not isinstance(item, bool) for item in given.flat)
        return given.astype(np.float64) if real else None
    return given if given.dtype.kind in "iuf" else None


def _disguised(value: Any) -> bool:
    """Return whether NumPy would accept something as a number although it is none: a boolean, or a masked entry."""
    if isinstance(value, list | tuple):
        return any(type(item) not in (float, int) and _disguised(item) for item in value)
    if isinstance(value, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(value).any())
    return isinstance(value, bool | np.bool_) or (isinstance(value, np.ndarray) and value.dtype.kind == "b")


def _bounds(rule: Any) -> list[_Bound]:
    return [
        (words, keeps, getattr(mark, attribute))
        for mark in getattr(rule, "__metadata__", ())
        for attribute, (words, keeps) in _BOUNDS.items()
        if hasattr(mark, attribute)
    ]


def _keeps(value: float, bounds: list[_Bound]) -> bool:
    return all(keeps(value, limit) for _, keeps, limit in bounds)


def _words(bounds: list[_Bound]) -> str:
    return " and ".join(f"{words} {limit}" for words, _, limit in bounds)
