"""Draw values on axes: as lines, cells or points, with shades where sets have no value."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweep.job import Report
from sweep.observables import STATUS
from sweep.report.panels import Panel
from sweep.report.scales import axis_label, colour_scale, edges, is_axis, scale, wrapped

_Array = npt.NDArray[Any]
#: How sets without a value are drawn, by status: name in the legend, grey and hatch of a cell, marker of a point.
_NO_VALUE = {
    STATUS["not_run"]: ("not run", "0.92", "", "."),
    STATUS["ok"]: ("not defined", "1.0", "...", "+"),
    STATUS["diverged"]: ("diverged", "0.82", "////", "x"),
    STATUS["failed"]: ("failed", "0.65", "xxxx", "X"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """Where panels are drawn.

    Attributes
    ----------
    figure : Figure
        All of it.
    grid : sequence of Axes
        Those of each panel.
    legend : dict of str to Artist
        What the legend will say; grows with what is drawn.
    """

    figure: Figure
    grid: Sequence[Axes]
    legend: dict[str, Artist]


def draw_lines(canvas: Canvas, panels: Sequence[Panel], ds: xr.Dataset, report: Report) -> None:
    """Draw lines over x."""
    assert report.x is not None
    coordinate = ds[report.x]
    order = coordinate.to_numpy().argsort(kind="stable")
    x = coordinate.to_numpy()[order]
    style = "-" if report.x == "time" else "o-" if is_axis(coordinate) else "o"
    units = [ds[d].to_numpy() for d in ds[report.variable].dims if str(d).endswith("unit")]
    norm, cut = colour_scale([panel.values for panel in panels])
    ends = x[[0, -1]] if report.x == "time" else edges(x)
    for axes, panel in zip(canvas.grid, panels, strict=True):
        lines = np.atleast_2d(panel.values)[:, order]
        for i, line in enumerate(lines):
            name = f"unit {units[0][i]}" if len(lines) > 1 else ""
            (drawn,) = axes.plot(x, line, style, color=f"C{i}" if name else "0.2", lw=1.2, ms=3)
            if name:
                canvas.legend[name] = drawn
        scale(axes, "x", coordinate, len(panels))
        axes.set_xlim(ends[0], ends[-1])
        if isinstance(norm, LogNorm) and cut == "neither":
            axes.set_yscale("log")
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    if report.x == "time":
        return
    bottom, top = canvas.grid[0].get_ylim()
    corners = [((a, bottom), (b, bottom), (b, top), (a, top)) for a, b in itertools.pairwise(ends)]
    for axes, panel in zip(canvas.grid, panels, strict=True):
        _shade(axes, corners, panel.lacks[order], canvas.legend)
    canvas.grid[0].set_ylim(bottom, top)


def draw_map(canvas: Canvas, panels: Sequence[Panel], ds: xr.Dataset, report: Report) -> None:
    """Draw cells, or points where x and y are not the axes of a grid, with one colour bar for all panels."""
    assert report.x is not None
    assert report.y is not None
    along_x, along_y = ds[report.x], ds[report.y]
    x, y = along_x.to_numpy(), along_y.to_numpy()
    cells = along_x.dims != along_y.dims and is_axis(along_x) and is_axis(along_y)
    colours = colormaps["viridis_r" if report.best == "min" else "viridis"]
    norm, cut = colour_scale([panel.values for panel in panels])
    for axes, panel in zip(canvas.grid, panels, strict=True):
        scale(axes, "x", along_x, len(panels))
        scale(axes, "y", along_y, len(panels))
        values = np.clip(panel.values, norm.vmin, norm.vmax)
        if cells:
            row, column = y.argsort(), x.argsort()
            across, up = edges(x[column]), edges(y[row])
            axes.pcolormesh(across, up, values[np.ix_(row, column)], cmap=colours, norm=norm, rasterized=True)
            _shade(axes, *_runs(across, up, panel.lacks[np.ix_(row, column)]), canvas.legend)
        else:
            xs, ys = (x, y) if along_x.dims == along_y.dims else (a.ravel() for a in np.meshgrid(x, y))
            _scatter(axes, xs, ys, values.ravel(), panel.lacks.ravel(), {"cmap": colours, "norm": norm}, canvas.legend)
    if not any(np.isfinite(panel.values).any() for panel in panels):
        return
    bar = canvas.figure.colorbar(ScalarMappable(norm, colours), ax=list(canvas.grid), extend=cut, pad=0.02, aspect=30)
    bar.ax.tick_params(labelsize=9)
    bar.set_label(wrapped(axis_label(ds[report.variable]), canvas.figure.get_figheight()))


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


def _runs(across: _Array, up: _Array, lacks: _Array) -> tuple[list[Any], _Array]:
    """Return the corners of runs of neighbouring cells without a value for the same reason, and that status."""
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
    """Shade the cells that have no value, by the status of their sets."""
    for status, (name, grey, hatch, _) in _NO_VALUE.items():
        chosen = [c for c, lack in zip(corners, lacks, strict=True) if lack == status]
        if chosen:
            style: dict[str, Any] = {"facecolor": grey, "edgecolor": "0.45", "hatch": hatch, "linewidth": 0}
            axes.add_collection(PolyCollection(chosen, **style), autolim=False)
            legend[name] = Patch(**{**style, "linewidth": 0.5})
