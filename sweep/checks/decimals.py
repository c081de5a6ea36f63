"""Numbers as people write them: of all floats that are right, the one with the shortest decimal.

``3 * 0.1`` is 0.30000000000000004, and a reader selects 0.3. The labels that we compute come from here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: A label is a decimal of at most so many digits, if one is so near that rounding errors may be the difference.
_DIGITS, _ROUNDING = 12, 2
#: Powers of ten that float64 holds exactly.
_POWERS = np.array([float(f"1e{k}") for k in range(23)])


def shortest(values: npt.ArrayLike) -> Array:
    """Return what numbers with rounding errors are meant to be.

    Parameters
    ----------
    values : array_like of float64
        Results of one or two operations, such as ``steps * dt``.

    Returns
    -------
    array of float64
        The decimal of at most 12 digits where there is one within two units in the last place; else the value.
    """
    given = np.asarray(values, dtype=np.float64)
    near = _rounded(given, _DIGITS)
    with np.errstate(invalid="ignore"):
        meant: Array = np.where(np.abs(near - given) <= _ROUNDING * np.spacing(np.abs(given)), near, given)
    return meant


def meant(values: npt.ArrayLike) -> Array:
    """Return what the values along an axis are meant to be: 0.3 for the 0.30000000000000004 of ``np.linspace(0, 1, 11)``.

    Evenly spaced values have larger rounding errors than single ones: those of ``np.linspace(-1, 1, 21)`` are as large next to
    0 as next to 1, and those of ``np.arange`` add up. Where all of them are decimals but for such errors, they become these.

    Parameters
    ----------
    values : array_like of float64
        ``(n,)``, or ``(n, unit)``.

    Returns
    -------
    array of float64
        Values that differ still do.
    """
    given = np.asarray(values, dtype=np.float64)
    found = shortest(given)
    if given.ndim == 1 and len(given) > 2:
        error = (_ROUNDING + len(given)) * np.spacing(np.abs(given).max())
        # A decimal place is wide against the errors, so that it is no chance if all values are so near to it.
        place = max(-_DIGITS, min(_DIGITS, -math.ceil(math.log10(1000 * error))))
        near = np.rint(given * _POWERS[max(place, 0)] / _POWERS[max(-place, 0)])
        near = near / _POWERS[max(place, 0)] * _POWERS[max(-place, 0)]
        evenly = np.ptp(np.diff(given)) <= 2 * error and near[0] == found[0]  # the first has no errors of steps
        if evenly and (np.abs(near - given) <= error).all():
            found = near + 0.0  # which makes 0 of -0
    same = np.array_equal(found, given) or len(np.unique(found)) < len(np.unique(given))
    return given if same else found


def widened(values: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """Return float32 and float16 numbers as float64 with the same shortest decimal: 0.1 is 0.1; anything else as it is."""
    given = np.asarray(values)
    if given.dtype.kind != "f" or given.dtype.itemsize >= 8:
        return given
    exact = given.astype(np.float64)
    found, open_ = exact.copy(), np.ones(given.shape, dtype=bool)
    most = np.finfo(given.dtype).precision
    for digits in range(most, most + 4):
        near = _rounded(exact, digits)
        with np.errstate(over="ignore"):
            fits = open_ & (near.astype(given.dtype) == given)
        found = np.where(fits, near, found)
        open_ &= ~fits
    return found


def _rounded(values: Array, digits: int) -> Array:
    """Return values rounded to so many decimal digits; as they are where the powers of ten are not exact."""
    size = np.abs(values)
    usable = np.isfinite(values) & (size > 0)
    shift = digits - 1 - np.floor(np.log10(np.where(usable, size, 1.0))).astype(np.int64)
    usable &= np.abs(shift) < len(_POWERS)
    safe, shift = np.where(usable, values, 1.0), np.where(usable, shift, 0)
    up, down = _POWERS[np.maximum(shift, 0)], _POWERS[np.maximum(-shift, 0)]
    # An integer, divided by or multiplied with an exact power of ten, is the float nearest to the decimal.
    near: Array = np.where(usable, np.rint(safe * up / down) / up * down, values)
    return near
