"""The contents of a figure's panels: values around a best set, taken from a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sweep.job import Report
from sweep.observables import STATUS
from sweep.report.best import best_positions
from sweep.report.choice import is_trajectory
from sweep.report.labels import Position, labels_at, phrase, telling

_Array = npt.NDArray[Any]
_MOST_PANELS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The contents of one panel.

    ``values`` and ``lacks`` are ``(y, x)``, or ``(x,)`` without y. For a trajectory they are ``(unit, time)``, and if x and y are
    parameters of the same samples ``(sample,)``. ``lacks`` is the status of a set that has no value, and -1 for the others.
    ``marks`` are points, by their name in the legend; a mark with a single number is a line across the panel.
    """

    title: str
    values: _Array
    lacks: _Array
    marks: Mapping[str, tuple[float, ...]]


def panels_of(ds: xr.Dataset, report: Report) -> list[Panel]:
    """Compute the contents of all panels, each at its own best set."""
    variable = ds[report.variable]
    drawn = [str(ds[name].dims[0]) for name in (report.y, report.x) if name is not None]
    if report.y is None and is_trajectory(ds, report):
        held = (*report.select, report.panel)
        drawn = [dim for dim in map(str, variable.dims) if dim.endswith("unit") and dim not in held] + drawn
    drawn = list(dict.fromkeys(drawn))
    positions = best_positions(ds, report)
    shown = np.linspace(0, len(positions) - 1, min(len(positions), _MOST_PANELS)).round().astype(int)
    return [_panel(ds, report, drawn, positions[number]) for number in shown]


def _panel(ds: xr.Dataset, report: Report, drawn: Sequence[str], position: Position) -> Panel:
    variable = ds[report.variable]
    # If no set is best, the first position is shown.
    held = {str(dim): position.get(str(dim), 0) for dim in variable.dims if dim not in drawn}
    cut = ds.isel(held)
    cut = xr.Dataset({"value": cut[report.variable], "status": cut["status"]}).compute()
    value = cut["value"].transpose(*drawn)
    status = cut["status"].broadcast_like(value).transpose(*drawn).to_numpy()
    values = value.to_numpy().astype(np.float64)
    lacking = ~np.isfinite(values)
    if "time" not in drawn:
        # A trajectory is worth seeing up to the time when it diverged; the statistic of a set that diverged is not.
        lacking |= status != STATUS["ok"]
    labels = labels_at(ds, held)
    names = sorted(telling(ds, labels, report), key=lambda name: name != report.panel)
    said = [phrase(name, labels[name], str(ds[name].attrs.get("units", "1"))) for name in names]
    # Lines may be broken between labels, but not within a label.
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
    return Panel(
        title=title, values=np.where(lacking, np.nan, values), lacks=np.where(lacking, status, -1), marks=marks
    )
