"""Times of samples that lie at equal distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.checks import array
from sweep.checks.decimals import shortest
from sweep.checks.units import Milliseconds, plain
from sweep.errors import JobError
from sweep.files import TIME

Array = NDArray[np.float64]

TIME_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
"""Units of time, in ms."""

# Written times are rounded, and clocks jitter: so much of an interval may a sample lie beside its place.
_JITTER = 0.05


def milliseconds(key: str, times: Any, header: str | None, time_unit: str | None) -> Array:
    """Return times in ms.

    Parameters
    ----------
    key : str
        What they are, for messages.
    times : array_like
        ``(time,)``.
    header : str or None
        What heads them, perhaps with a unit: ``time (s)``.
    time_unit : str or None
        Unit of times that carry none: a name of :data:`TIME_UNITS`; by default that of the header, or ms.

    Raises
    ------
    JobError
        If they are not times, or if the header has another unit.
    """
    bare = plain(key, times, Milliseconds)
    if bare is not times:
        return array(key, bare)
    named = TIME.fullmatch(header or "")
    unit = named and named["unit"]
    unit = "s" if unit in ("sec", "seconds") else unit and unit.lower()
    if time_unit is not None and unit not in (None, time_unit):
        raise JobError(
            f"{key}: time_unit = {time_unit!r}, but the header {header!r} says {unit!r}. Correct one, or leave time_unit out."
        )
    return array(key, bare) * TIME_UNITS[time_unit or unit or "ms"]


def evenly_spaced(key: str, times: Array) -> tuple[float, float]:
    """Return the first of some times, and their distance, ms; both the shortest decimals that are right.

    Raises
    ------
    JobError
        If there are fewer than two, or if they are not at equal distances.
    """
    if times.ndim != 1 or times.size < 2:
        raise JobError(
            f"{key}: has the shape {times.shape}, but an interval needs two times at least, in one dimension. "
            "Give interval = ..."
        )
    begin, interval = float(times[0]), float(times[-1] - times[0]) / (times.size - 1)
    beside = np.abs(times - (begin + interval * np.arange(times.size)))
    if interval <= 0 or beside.max() > _JITTER * interval:
        # Where it goes wrong is best seen at the distances.
        steps = np.diff(times)
        worst = int(np.argmax(np.abs(steps - np.median(steps))))
        raise JobError(
            f"{key}: samples must follow each other evenly, but {times[worst]:g} ms and {times[worst + 1]:g} ms are "
            f"{steps[worst]:g} ms apart, and others {np.median(steps):g} ms. Interpolate them to even times, or cut a part "
            "without gaps."
        )
    return float(shortest(begin)), _decimal(interval, times)


def _decimal(interval: float, times: Array) -> float:
    """Return the shortest decimal that puts the last sample where it is, but for rounding."""
    within = max(1e-9 * interval, 8 * np.spacing(np.abs(times).max()))
    options = (float(f"{interval:.{digits}g}") for digits in range(1, 16))
    return next((one for one in options if abs(one - interval) * (times.size - 1) <= within), interval)
