"""Find the best set of a result, and describe it in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sweep.checks import checked
from sweep.errors import JobError
from sweep.job import Report
from sweep.model.parameters import SELECTORS, parse_name
from sweep.observables import CORRELATION, STATUS
from sweep.report.choice import check_result, default_report, is_trajectory, over_units, report_of
from sweep.report.labels import Position, is_parameter, labels_at, phrase, telling
from sweep.results.reporting import check, selected


@dataclass(frozen=True, kw_only=True)
class BestSet:
    """The set with the best value of a variable, with its labels.

    Parameters
    ----------
    variable : str
        The variable by which sets were compared.
    value : float
        Its best value; NaN if no set has a value.
    status : str
        ``ok``; or if no set has a value, the most frequent status.
    labels : mapping
        All labels of the set along the dimensions of the design, and ``target``, ``lag`` and ``unit`` if the variable has
        these dimensions. A tuple for a parameter with a value for each unit. If no set has a value, only the panel's label.
    units : mapping
        Units of the labels.
    said : tuple of str
        The labels that :meth:`words` names: those that differ between sets and do not follow from others.
    counts : mapping
        Number of compared sets by status.
    without : int
        Number of those that are ok and have no value all the same: a correlation is NaN where rates or target are constant.
    edges : tuple of str
        The ends of swept ranges at which the set lies: ``"upper end of tau_s"``.
    panel : str, optional
        The label that says to which panel this set belongs.
    panels : tuple of BestSet
        The best set of each panel, if the report has panels.
    """

    variable: str
    value: float
    status: str
    labels: Mapping[str, Any]
    units: Mapping[str, str]
    said: tuple[str, ...]
    counts: Mapping[str, int]
    without: int = 0
    edges: tuple[str, ...] = ()
    panel: str | None = None
    panels: tuple[BestSet, ...] = ()

    def words(self) -> str:
        """Return a sentence that names the best set, or a line for each panel."""
        if self.panels:
            return "\n".join(panel.words() for panel in self.panels)
        said = {name: phrase(name, self.labels[name], self.units[name]) for name in self.said}
        subject = "Best set" if self.panel is None else f"Best set for {said.pop(self.panel)}"
        where = f" at {', '.join(said.values())}" if said else ""
        total = sum(self.counts.values())
        others = [f", {n} {name.replace('_', ' ')}" for name, n in self.counts.items() if n and name != "ok"]
        if self.without:
            why = " because rates or target are constant" if self.variable == CORRELATION else ""
            others.append(f", {self.without:,} without a value{why}")
        among = f"(of {total:,} set{'s' * (total != 1)}{''.join(others)})"
        if math.isnan(self.value):
            return f"{subject}: none has a value of {self.variable}{where} {among}."
        text = f"{subject}: {self.variable} = {self.value:.4g}{where} {among}."
        return text + (f" It lies at the {', the '.join(self.edges)}: widen the range." if self.edges else "")


@checked
def best(ds: xr.Dataset, report: Report | None = None) -> BestSet:
    """Find the best set of a result.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job, in memory or lazy. The run may be unfinished.
    report : Report, optional
        The variable to compare, and whether its largest or smallest value is best; by default the job's report.

    Returns
    -------
    BestSet
        The best set; of several equal ones the first. Sets that are not ok and values that are not finite are never best.

    Raises
    ------
    JobError
        If ``ds`` is not the result of a job, if the report names something that the result does not have, or if the variable
        is a trajectory, which has no single value to compare.
    """
    check_result(ds)
    report = report_of(ds) if report is None else report
    ds = over_units(ds, report)
    check(ds, report)
    if is_trajectory(ds, report):
        raise JobError(
            f"report.variable = {report.variable!r} is a trajectory: sets are compared by one value each. Name a "
            "statistic, or select a time."
        )
    panels = tuple(_describe(ds, report, position) for position in best_positions(ds, report))
    if report.panel is None:
        return panels[0]
    sign = -1 if report.best == "min" else 1
    best = max(panels, key=lambda panel: -math.inf if math.isnan(panel.value) else sign * panel.value)
    counts, without = _counts(ds, report, selected(ds, report))
    return dataclasses.replace(best, counts=counts, without=without, panel=None, panels=panels)


def best_positions(ds: xr.Dataset, report: Report) -> list[Position]:
    """Return the position of the best set of every panel; only of panel and selection if no set has a value."""
    held = selected(ds, report)
    judge = default_report(ds) if is_trajectory(ds, report) else report
    ok = ds["status"] == STATUS["ok"]
    if is_trajectory(ds, judge):
        score = xr.zeros_like(ok, dtype=np.float32).where(ok, -np.inf)
    else:
        variable = ds[judge.variable]
        score = (-variable if judge.best == "min" else variable).where(ok & np.isfinite(variable), -np.inf)
    score = score.isel(held, missing_dims="ignore")
    if report.panel is None:
        return [held | position for position in _search(score, None)]
    panel = str(ds[report.panel].dims[0])
    if panel in score.dims:
        return [held | position for position in _search(score, panel)]
    return [{**held, **_search(score, None)[0], panel: number} for number in range(ds.sizes[panel])]


def _search(score: xr.DataArray, panel: str | None) -> list[Position]:
    """Return the position of the largest score, for every position along the panel's dimension.

    Only maxima along dimensions are computed, first over all sets and then over smaller and smaller parts. Dask computes these
    block by block, in bounded memory.
    """
    dims = [str(dim) for dim in score.dims if dim != panel]
    keep = [*dims[:1]] if panel is None else [panel, *dims[:1]]
    highest = score.max([dim for dim in dims[1:]]).transpose(*keep).to_numpy()
    rows = highest.reshape(1 if panel is None else score.sizes[panel], -1)
    found = []
    for number, row in enumerate(rows):
        position = {} if panel is None else {panel: number}
        if row.max() > -np.inf:
            for i, dim in enumerate(dims):
                along = row if i == 0 else score.isel(position).max(dims[i + 1 :]).to_numpy()
                position[dim] = int(along.argmax())
        found.append(position)
    return found


def _describe(ds: xr.Dataset, report: Report, position: Position) -> BestSet:
    variable = ds[report.variable]
    found = set(variable.dims) <= set(position)
    given = set(selected(ds, report)) | (set() if report.panel is None else set(ds[report.panel].dims))
    among = {dim: i for dim, i in position.items() if dim in given}
    counts, without = _counts(ds, report, among)
    labels = labels_at(ds, position)
    return BestSet(
        variable=report.variable,
        value=float(variable.isel(position)) if found else math.nan,
        status="ok" if found else max(counts, key=lambda name: counts[name]),
        labels=labels,
        units={name: str(ds[name].attrs.get("units", "1")) for name in labels},
        said=telling(ds, labels, report),
        counts=counts,
        without=without,
        edges=tuple(_ends(ds, {dim: i for dim, i in position.items() if dim not in given})) if found else (),
        panel=report.panel,
    )


def _counts(ds: xr.Dataset, report: Report, position: Position) -> tuple[dict[str, int], int]:
    """Return the number of sets with each status, and of those that are ok and have no value."""
    status = ds["status"].isel(position, missing_dims="ignore")
    variable = ds[report.variable].isel(position, missing_dims="ignore")
    value = (abs(variable) < np.inf).any([dim for dim in variable.dims if dim not in status.dims])
    # All in one pass over lazy variables.
    counted = {name: (status == number).sum() for name, number in STATUS.items()}
    found = xr.Dataset({**counted, "without": ((status == STATUS["ok"]) & ~value).sum()}).compute()
    return {name: int(found[name]) for name in STATUS}, int(found["without"])


def _ends(ds: xr.Dataset, position: Position) -> list[str]:
    """Return the ends of swept ranges at which a position lies."""
    found = []
    for dim, index in position.items():
        # Samples have no ends, and selectors no order.
        if ds.sizes[dim] < 3 or dim in SELECTORS or not (is_parameter(dim) or dim == "lag"):
            continue
        values = ds[dim].to_numpy()
        # The lower end does not count if the parameter cannot be smaller, or if a time constant is shorter than a step, which
        # is instantaneous already.
        bound = 0.0 if dim == "lag" else parse_name(dim).parameter.lower
        rate = ds.coords.get(f"alpha_{dim[-1]}") if dim in ("tau_s", "tau_r") else None
        if values[index] == values.max():
            found.append(f"upper end of {dim}")
        elif values[index] == values.min() > bound and (rate is None or rate[index] < 1):
            found.append(f"lower end of {dim}")
    return found
