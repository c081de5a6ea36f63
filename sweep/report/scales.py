"""Scales and labels that suit the values: linear or logarithmic, for axes, cells and colours."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from sweep.model.parameters import PARAMETERS, parse_name
from sweep.report.labels import is_parameter

_Array = npt.NDArray[Any]
#: If the largest value is more than this many times the smallest, colours are logarithmic.
_WIDE = 1e3
#: If the largest value is less than this many times the smallest, the axis is linear for any spacing of the values.
_NARROW = 4
#: Number of letters of a title or a label in an inch.
_PER_INCH = 11


def colour_scale(panels: Sequence[_Array]) -> tuple[Normalize, str]:
    """Return the scale of all values, and at which end it is cut. It is logarithmic if they span many decades."""
    finite = np.concatenate([values[np.isfinite(values)] for values in panels])
    if not finite.size:
        return Normalize(0, 1), "neither"
    low, high = float(finite.min()), float(finite.max())
    positive = finite[finite > 0]
    if low >= 0 and positive.size and high / positive.min() > _WIDE:
        # A student that is the teacher has exactly 0. It gets the colour of the smallest other value.
        return LogNorm(float(positive.min()), high), "min" if low == 0 else "neither"
    return Normalize(low, high), "neither"


def is_axis(coordinate: xr.DataArray) -> bool:
    """Tell whether the values rise or fall all along, unlike those of samples."""
    steps = np.diff(coordinate.to_numpy())
    return bool((steps > 0).all() or (steps < 0).all())


def is_geometric(values: _Array) -> bool:
    """Return whether the logarithms of values are spaced more evenly than the values themselves."""
    ordered = np.sort(values.astype(np.float64))
    if ordered.size < 3 or ordered[0] <= 0 or ordered[-1] < _NARROW * ordered[0]:
        return False
    rank = np.arange(ordered.size)
    return bool(np.corrcoef(rank, np.log(ordered))[0, 1] > np.corrcoef(rank, ordered)[0, 1])


def edges(values: _Array) -> _Array:
    """Return the edges of cells around rising values, ``(n + 1,)``, halfway between them on the scale that suits them."""
    if is_geometric(values):
        return np.asarray(np.exp(_halfway(np.log(values))))
    return _halfway(values.astype(np.float64))


def _halfway(values: _Array) -> _Array:
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[:-1] + values[1:]) / 2
    return np.concatenate(([2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]))


def scale(axes: Axes, which: str, coordinate: xr.DataArray, panels: int) -> None:
    """Give an axis the scale and the ticks that suit the values. Small panels get fewer ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    values = coordinate.to_numpy()
    axis.set_tick_params(labelsize=9)
    room = 8 if panels == 1 else 4
    if is_geometric(values):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = math.log10(values.max() / values.min())
        subs = next((s for s in ((1, 2, 5), (1, 3)) if len(s) * decades <= room), (1,))
        axis.set_major_locator(LogLocator(subs=subs, numticks=room))
        axis.set_minor_formatter(NullFormatter())
        if 1e-4 <= values.min() and values.max() < 1e5:
            axis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axis.set_major_locator(MaxNLocator(room, steps=[1, 2, 2.5, 5, 10], integer=values.dtype.kind == "i"))


def axis_label(array: xr.DataArray) -> str:
    """Return the label of an axis, such as ``time constant of the synaptic current τ_s (ms)``."""
    name, units = str(array.name), str(array.attrs.get("units", "1"))
    text = name
    if name.startswith("alpha_"):
        text = f"rate constant $α_{name[-1]} = Δt / τ_{name[-1]}$"
    elif is_parameter(name):
        row = parse_name(name).parameter
        text = f"{row.long_name} ${row.symbol}$" if name in PARAMETERS else row.long_name
    elif name not in array.dims:
        text = str(array.attrs.get("long_name", name))
    return text if units == "1" else f"{text} ({units})"


def wrapped(text: str, inches: float) -> str:
    """Break a text into lines of at most this width."""
    return "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, int(inches * _PER_INCH)))
