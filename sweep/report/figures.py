"""Dataset to figure: how the result looks around the best set."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from sweep.errors import JobError, suggest
from sweep.job import Report
from sweep.model.parameters import PARAMETERS, parse_name
from sweep.observables import STATUS
from sweep.report.best import (
    Position,
    axes_of,
    best_positions,
    check,
    is_parameter,
    is_trajectory,
    labels_at,
    over_units,
    phrase,
    report_of,
    telling,
)

_Array = npt.NDArray[Any]

_MOST_PANELS = 12
_FORMATS = (".png", ".pdf", ".svg")
#: Values that span more than this factor are coloured by their logarithm.
_WIDE = 1e3
#: Values that span less than this factor are drawn over a linear axis, however they are spaced.
_NARROW = 4
#: Sets without a value, by status: name in the legend, grey and hatch of a cell, marker of a point.
_NO_VALUE = {
    STATUS["not_run"]: ("not run", "0.92", "", "."),
    STATUS["ok"]: ("not defined", "1.0", "...", "+"),
    STATUS["diverged"]: ("diverged", "0.82", "////", "x"),
    STATUS["failed"]: ("failed", "0.65", "xxxx", "X"),
}
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "best set": {"marker": "*", "ms": 15, "mfc": "white", "mec": "black", "mew": 1.0},
    "true parameters": {"marker": "o", "ms": 11, "mfc": "none", "mec": "red", "mew": 2.0},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Panel:
    """What one panel shows.

    `values` and `lacks` are ``(y, x)``; without y ``(x,)``, of a trajectory ``(unit, time)``; where x and y belong to
    the same samples ``(sample,)``. `lacks` is the status of a set that has no value, and -1 elsewhere. The marks are
    points by their name in the legend, or of one number a line across.
    """

    title: str
    values: _Array
    lacks: _Array
    marks: Mapping[str, tuple[float, ...]]


def heat_map(ds: xr.Dataset, report: Report | None = None) -> Figure:
    """Draw a variable over two coordinates around the best set, or over one if no more are swept.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job, in memory or lazy, of a finished run or not. No more is computed than the search for the
        best set and the values shown take.
    report : Report, optional
        What to show; by default what the job says. What it leaves open is held at the best set, or at the best of
        each panel. Grids are drawn as cells, samples as points, a single coordinate as a line, trajectories over time.

    Returns
    -------
    matplotlib.figure.Figure
        Not bound to any display: save it, or let a notebook show it.

    Raises
    ------
    JobError
        If the report names what the result does not have, or there is nothing to draw over.
    """
    report = report_of(ds) if report is None else report
    ds = over_units(ds, report)
    check(ds, report)
    x, y = axes_of(ds, report)
    if x is None:
        raise JobError(f"report.variable = {report.variable!r} is a single number: sweep something to draw it over.")
    report = dataclasses.replace(report, x=x, y=y)
    check(ds, report)
    if is_trajectory(ds, report) and "time" not in (x, y):
        raise JobError(f"report.x = {x!r}: {report.variable} is a trajectory. Draw it over 'time', or select a time.")
    panels = _panels(ds, report)
    columns = len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    size = (6.0, 4.6) if len(panels) == 1 else (2.4 * columns + 1.4, 2.2 * rows + 1.5)
    figure = Figure(figsize=size, layout="constrained")
    grid: list[Axes] = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    shown, empty = grid[: len(panels)], grid[len(panels) :]
    for axes in empty:
        axes.set_frame_on(False)
        axes.tick_params(which="both", length=0, labelbottom=False)
    for axes in shown[-columns:]:
        axes.tick_params(labelbottom=True)
    # One label for all panels, of which it may be wider than one. The labels of a figure would cover its legend.
    below, beside = grid[(rows - 1) * columns + (columns - 1) // 2], grid[(rows - 1) // 2 * columns]
    below.set_xlabel(_axis_label(ds[x]), x=0.5 if columns % 2 else 1.0)
    beside.set_ylabel(_axis_label(ds[report.variable if y is None else y]), y=0.5 if rows % 2 else 0.0)
    title = str(ds.attrs.get("title", ""))
    if report.panel is not None and len(panels) < ds[report.panel].size:
        title += f" ({len(panels)} of {ds[report.panel].size} values of {report.panel})"
    figure.suptitle(_wrapped(title, size[0] * 11), fontsize=11)
    legend: dict[str, Artist] = {}
    draw = _draw_lines if y is None else _draw_map
    draw(figure, shown, panels, ds, report, legend)
    for axes, panel in zip(shown, panels, strict=True):
        axes.set_title(_wrapped(panel.title, size[0] * 11 / columns), fontsize=9)
        for name, mark in panel.marks.items():
            if len(mark) == 2:
                (legend[name],) = axes.plot(*mark, label=name, ls="none", clip_on=False, zorder=5, **_MARKS[name])
            else:
                legend[name] = axes.axvline(mark[0], label=name, color="red", ls=":")
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _wrapped(text: str, width: float) -> str:
    return "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, int(width)))


def _panels(ds: xr.Dataset, report: Report) -> list[_Panel]:
    """Compute what is shown, each panel at its own best set."""
    variable = ds[report.variable]
    drawn = [str(ds[name].dims[0]) for name in (report.y, report.x) if name is not None]
    if report.y is None and is_trajectory(ds, report):
        held = (*report.select, report.panel)
        drawn = [dim for dim in map(str, variable.dims) if dim.endswith("unit") and dim not in held] + drawn
    drawn = list(dict.fromkeys(drawn))
    positions = best_positions(ds, report)
    shown = np.linspace(0, len(positions) - 1, min(len(positions), _MOST_PANELS)).round().astype(int)
    return [_panel(ds, report, drawn, positions[number]) for number in shown]


def _panel(ds: xr.Dataset, report: Report, drawn: Sequence[str], position: Position) -> _Panel:
    variable = ds[report.variable]
    # The first position stands in where no set is best.
    held = {str(dim): position.get(str(dim), 0) for dim in variable.dims if dim not in drawn}
    cut = ds.isel(held)
    cut = xr.Dataset({"value": cut[report.variable], "status": cut["status"]}).compute()
    value = cut["value"].transpose(*drawn)
    status = cut["status"].broadcast_like(value).transpose(*drawn).to_numpy()
    values = value.to_numpy().astype(np.float64)
    lacking = ~np.isfinite(values)
    if "time" not in drawn:
        # What a trajectory was before it diverged is worth seeing, what a statistic would be is not.
        lacking |= status != STATUS["ok"]
    labels = labels_at(ds, held)
    names = sorted(telling(ds, labels, report), key=lambda name: name != report.panel)
    said = [phrase(name, labels[name], str(ds[name].attrs.get("units", "1"))) for name in names]
    # A line breaks between labels, not within.
    title = ", ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in said)
    marks: dict[str, tuple[float, ...]] = {}
    names = [name for name in (report.x, report.y) if name is not None]
    if "time" not in drawn and set(variable.dims) <= set(position):
        best = labels_at(ds, position)
        last = () if report.y is not None else (float(variable.isel(position)),)
        marks["best set"] = (*(float(best[name]) for name in names), *last)
    truth = [ds.coords.get(f"target_{name}") for name in names]
    if "target" in held and all(coordinate is not None for coordinate in truth):
        marks["true parameters"] = tuple(float(c.isel(target=held["target"])) for c in truth if c is not None)
    return _Panel(
        title=title, values=np.where(lacking, np.nan, values), lacks=np.where(lacking, status, -1), marks=marks
    )


def _draw_lines(
    figure: Figure,
    grid: Sequence[Axes],
    panels: Sequence[_Panel],
    ds: xr.Dataset,
    report: Report,
    legend: dict[str, Artist],
) -> None:
    """Draw lines over x."""
    assert report.x is not None
    coordinate = ds[report.x]
    order = coordinate.to_numpy().argsort(kind="stable")
    x = coordinate.to_numpy()[order]
    style = "-" if report.x == "time" else "o-" if _is_axis(coordinate) else "o"
    units = [ds[d].to_numpy() for d in ds[report.variable].dims if str(d).endswith("unit")]
    norm, cut = _norm(panels)
    edges = x[[0, -1]] if report.x == "time" else _edges(x)
    for axes, panel in zip(grid, panels, strict=True):
        lines = np.atleast_2d(panel.values)[:, order]
        for i, line in enumerate(lines):
            name = f"unit {units[0][i]}" if len(lines) > 1 else ""
            (drawn,) = axes.plot(x, line, style, color=f"C{i}" if name else "0.2", lw=1.2, ms=3)
            if name:
                legend[name] = drawn
        _scale(axes, "x", coordinate, len(panels))
        axes.set_xlim(edges[0], edges[-1])
        if isinstance(norm, LogNorm) and cut == "neither":
            axes.set_yscale("log")
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    if report.x == "time":
        return
    bottom, top = grid[0].get_ylim()
    corners = [((a, bottom), (b, bottom), (b, top), (a, top)) for a, b in itertools.pairwise(edges)]
    for axes, panel in zip(grid, panels, strict=True):
        _shade(axes, corners, panel.lacks[order], legend)
    grid[0].set_ylim(bottom, top)


def _draw_map(
    figure: Figure,
    grid: Sequence[Axes],
    panels: Sequence[_Panel],
    ds: xr.Dataset,
    report: Report,
    legend: dict[str, Artist],
) -> None:
    """Draw cells, or points where x and y are not the axes of a grid, with one colour bar for all panels."""
    assert report.x is not None
    assert report.y is not None
    along_x, along_y = ds[report.x], ds[report.y]
    x, y = along_x.to_numpy(), along_y.to_numpy()
    cells = along_x.dims != along_y.dims and _is_axis(along_x) and _is_axis(along_y)
    colours = colormaps["viridis_r" if report.best == "min" else "viridis"]
    norm, cut = _norm(panels)
    for axes, panel in zip(grid, panels, strict=True):
        _scale(axes, "x", along_x, len(panels))
        _scale(axes, "y", along_y, len(panels))
        values = np.clip(panel.values, norm.vmin, norm.vmax)
        if cells:
            row, column = y.argsort(), x.argsort()
            across, up = _edges(x[column]), _edges(y[row])
            axes.pcolormesh(across, up, values[np.ix_(row, column)], cmap=colours, norm=norm, rasterized=True)
            _shade(axes, *_runs(across, up, panel.lacks[np.ix_(row, column)]), legend)
        else:
            xs, ys = (x, y) if along_x.dims == along_y.dims else (a.ravel() for a in np.meshgrid(x, y))
            _scatter(axes, xs, ys, values.ravel(), panel.lacks.ravel(), {"cmap": colours, "norm": norm}, legend)
    if not any(np.isfinite(panel.values).any() for panel in panels):
        return
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=list(grid), extend=cut, pad=0.02, aspect=30)
    bar.ax.tick_params(labelsize=9)
    bar.set_label(_wrapped(_axis_label(ds[report.variable]), figure.get_figheight() * 11))


def _scatter(
    axes: Axes, x: _Array, y: _Array, values: _Array, lacks: _Array, style: Mapping[str, Any], legend: dict[str, Artist]
) -> None:
    size = float(np.clip(12_000 / len(x), 4, 45))
    for status, (name, _, _, marker) in _NO_VALUE.items():
        these = lacks == status
        if these.any():
            legend[name] = axes.scatter(x[these], y[these], s=size, marker=marker, lw=1, color="0.6")
    fine = lacks < 0
    style = {**style, "edgecolors": "0.3", "lw": 0.3, "rasterized": len(x) > 10_000}
    axes.scatter(x[fine], y[fine], s=size, c=values[fine], **style)


def _norm(panels: Sequence[_Panel]) -> tuple[Normalize, str]:
    """Return the scale of all values and at which end it is cut: logarithmic where they span many decades."""
    finite = np.concatenate([panel.values[np.isfinite(panel.values)] for panel in panels])
    if not finite.size:
        return Normalize(0, 1), "neither"
    low, high = float(finite.min()), float(finite.max())
    positive = finite[finite > 0]
    if low >= 0 and positive.size and high / positive.min() > _WIDE:
        # An exact zero, as of a student that is the teacher, has the colour of the smallest value.
        return LogNorm(float(positive.min()), high), "min" if low == 0 else "neither"
    return Normalize(low, high), "neither"


def _is_axis(coordinate: xr.DataArray) -> bool:
    """Tell whether values follow each other, up or down, as those of samples do not."""
    steps = np.diff(coordinate.to_numpy())
    return bool((steps > 0).all() or (steps < 0).all())


def _is_geometric(values: _Array) -> bool:
    """Tell whether values are spread evenly over the logarithm rather than the number itself."""
    ordered = np.sort(values.astype(np.float64))
    if ordered.size < 3 or ordered[0] <= 0 or ordered[-1] < _NARROW * ordered[0]:
        return False
    rank = np.arange(ordered.size)
    return bool(np.corrcoef(rank, np.log(ordered))[0, 1] > np.corrcoef(rank, ordered)[0, 1])


def _edges(values: _Array) -> _Array:
    """Return the edges of cells around ascending values, ``(n + 1,)``, halfway on the scale that suits them."""
    if _is_geometric(values):
        return np.asarray(np.exp(_halfway(np.log(values))))
    return _halfway(values.astype(np.float64))


def _halfway(values: _Array) -> _Array:
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[:-1] + values[1:]) / 2
    return np.concatenate(([2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]))


def _runs(across: _Array, up: _Array, lacks: _Array) -> tuple[list[Any], _Array]:
    """Return the corners of runs of neighbouring cells with the same lack, and that lack: few even in large maps."""
    corners, codes = [], []
    for j, row in enumerate(lacks):
        starts = np.flatnonzero(np.diff(row, prepend=-2))
        for a, b in zip(starts, (*starts[1:], len(row)), strict=True):
            if row[a] >= 0:
                left, right, low, high = across[a], across[b], up[j], up[j + 1]
                corners.append(((left, low), (right, low), (right, high), (left, high)))
                codes.append(row[a])
    return corners, np.array(codes)


def _shade(axes: Axes, corners: Sequence[Any], lacks: _Array, legend: dict[str, Artist]) -> None:
    """Shade the cells that have no value, by what became of their sets."""
    for status, (name, grey, hatch, _) in _NO_VALUE.items():
        chosen = [c for c, lack in zip(corners, lacks, strict=True) if lack == status]
        if chosen:
            style: dict[str, Any] = {"facecolor": grey, "edgecolor": "0.45", "hatch": hatch, "linewidth": 0}
            axes.add_collection(PolyCollection(chosen, **style), autolim=False)
            legend[name] = Patch(**{**style, "linewidth": 0.5})


def _scale(axes: Axes, which: str, coordinate: xr.DataArray, panels: int) -> None:
    """Give an axis the scale and ticks that suit the values; there is room for fewer in small panels."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    values = coordinate.to_numpy()
    axis.set_tick_params(labelsize=9)
    room = 8 if panels == 1 else 4
    if _is_geometric(values):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = math.log10(values.max() / values.min())
        subs = next((s for s in ((1, 2, 5), (1, 3)) if len(s) * decades <= room), (1,))
        axis.set_major_locator(LogLocator(subs=subs, numticks=room))
        axis.set_minor_formatter(NullFormatter())
        if 1e-4 <= values.min() and values.max() < 1e5:
            axis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axis.set_major_locator(MaxNLocator(room, steps=[1, 2, 2.5, 5, 10], integer=values.dtype.kind == "i"))


def _axis_label(array: xr.DataArray) -> str:
    """Write ``time constant of the synaptic current τ_s (ms)``."""
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


def save(ds: xr.Dataset, path: str | os.PathLike[str], report: Report | None = None) -> Path:
    """Draw :func:`heat_map` into a file.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job.
    path : path
        Ends in ``.png``, ``.pdf`` or ``.svg``. Its folder is made if need be.
    report : Report, optional
        What to show; by default what the job says.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    JobError
        If the file cannot be of that kind, or for what :func:`heat_map` refuses.
    """
    file = Path(path)
    if file.suffix.lower() not in _FORMATS:
        raise JobError(f"{file}: a figure cannot be written as {file.suffix!r}. {suggest(file.suffix, _FORMATS)}")
    figure = heat_map(ds, report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=200)
    except OSError as error:
        raise JobError(f"{file} cannot be written: {error.strerror or error}. Choose another path.") from None
    return file
