"""Make a figure of a result around its best set."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.checks import checked
from sweep.checks.paths import local
from sweep.errors import JobError, suggest
from sweep.job import Report
from sweep.report.choice import axes_of, check_result, is_trajectory, over_units, report_of, requested
from sweep.report.drawing import Canvas, draw_lines, draw_map
from sweep.report.panels import panels_of
from sweep.report.scales import axis_label, wrapped
from sweep.results.reporting import check

_FORMATS = (".png", ".pdf", ".svg")
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "best set": {"marker": "*", "ms": 15, "mfc": "white", "mec": "black", "mew": 1.0},
    "true parameters": {"marker": "o", "ms": 11, "mfc": "none", "mec": "red", "mew": 2.0},
}


@checked
def plot(
    ds: xr.Dataset,
    variable: str | None = None,
    *,
    best: str | None = None,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    select: Mapping[str, float] | None = None,
) -> Figure:
    """Draw a result around its best set, as a map, lines, points or trajectories.

    Arguments take precedence over the job's report. Dimensions that neither of them names are held at the best set, or at the
    best set of each panel.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job, in memory or lazy. The run may be unfinished. Of a lazy result only the search for the best set
        and the values that are shown are computed.
    variable : str, optional
        Name of an observable or a record.
    best : {"max", "min"}, optional
        Whether its largest or its smallest value is best.
    x, y : str, optional
        Coordinates of the horizontal and of the vertical axis.
    panel : str, optional
        A coordinate; every value of it has its own panel.
    select : mapping, optional
        Labels that choose a part of the result, such as ``{"network": 0}``. The nearest labels of the result are taken.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. It needs no display: save it with ``figure.savefig("result.png")``, or let a notebook show it.

    Raises
    ------
    JobError
        If ``ds`` is not the result of a job, if it does not have something that is named, or if there is nothing to draw over.

    Examples
    --------
    >>> ds = sweep.open("grasshopper.zarr")
    >>> figure = sweep.plot(ds, x="tau_r[0]", y="lag", select={"unit": 0, "W[0,1]": -20})
    """
    return heat_map(ds, requested(ds, variable, best=best, x=x, y=y, panel=panel, select=select))


def heat_map(ds: xr.Dataset, report: Report | None = None) -> Figure:
    """Draw a report, by default that of the job; see :func:`plot`.

    Grids are drawn as cells, samples as points, a single coordinate as a line, and trajectories over time.
    """
    check_result(ds)
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
    panels = panels_of(ds, report)
    canvas = _laid_out(len(panels), ds[x], ds[report.variable if y is None else y])
    title = str(ds.attrs.get("title", ""))
    if report.panel is not None and len(panels) < ds[report.panel].size:
        title += f" ({len(panels)} of {ds[report.panel].size} values of {report.panel})"
    figure, legend = canvas.figure, canvas.legend
    width = figure.get_figwidth()
    figure.suptitle(wrapped(title, width), fontsize=11)
    draw = draw_lines if y is None else draw_map
    draw(canvas, panels, ds, report)
    for axes, panel in zip(canvas.grid, panels, strict=True):
        axes.set_title(wrapped(panel.title, width / _columns(len(panels))), fontsize=9)
        for name, mark in panel.marks.items():
            if len(mark) == 2:
                (legend[name],) = axes.plot(*mark, label=name, ls="none", clip_on=False, zorder=5, **_MARKS[name])
            else:
                legend[name] = axes.axvline(mark[0], label=name, color="red", ls=":")
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _columns(panels: int) -> int:
    return panels if panels <= 3 else math.ceil(math.sqrt(panels))


def _laid_out(panels: int, x: xr.DataArray, y: xr.DataArray) -> Canvas:
    """Return a canvas for so many panels, whose axes have the labels of two coordinates."""
    columns = _columns(panels)
    rows = math.ceil(panels / columns)
    size = (6.0, 4.6) if panels == 1 else (2.4 * columns + 1.4, 2.2 * rows + 1.5)
    figure = Figure(figsize=size, layout="constrained")
    grid: list[Axes] = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    shown, empty = grid[:panels], grid[panels:]
    for axes in empty:
        axes.set_frame_on(False)
        axes.tick_params(which="both", length=0, labelbottom=False)
    for axes in shown[-columns:]:
        axes.tick_params(labelbottom=True)
    # One label for all panels, because it may be wider than a panel. matplotlib's labels of a whole figure would cover the
    # legend.
    below, beside = grid[(rows - 1) * columns + (columns - 1) // 2], grid[(rows - 1) // 2 * columns]
    below.set_xlabel(axis_label(x), x=0.5 if columns % 2 else 1.0)
    beside.set_ylabel(axis_label(y), y=0.5 if rows % 2 else 0.0)
    return Canvas(figure=figure, grid=shown, legend={})


def save(ds: xr.Dataset, path: str | os.PathLike[str], report: Report | None = None) -> Path:
    """Draw a report into a file; see :func:`heat_map`.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job.
    path : path
        Path of the file, which ends in ``.png``, ``.pdf`` or ``.svg``. Its folder is created if it does not exist.
    report : Report, optional
        What to show; by default the job's report.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    JobError
        If the file has another ending or cannot be written, and as :func:`heat_map` does.
    """
    file = local("output", path)
    if file.suffix.lower() not in _FORMATS:
        raise JobError(f"{file}: a figure cannot be written as {file.suffix!r}. {suggest(file.suffix, _FORMATS)}")
    figure = heat_map(ds, report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=200)
    except OSError as error:
        raise JobError(f"{file} cannot be written: {error.strerror or error}. Choose another path.") from None
    return file
