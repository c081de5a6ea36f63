"""Which set is best, and how to say it in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sweep.errors import JobError, suggest
from sweep.job import Job, Report
from sweep.model.parameters import PARAMETERS, SELECTORS, parse_name
from sweep.observables import ALWAYS, STATUS
from sweep.results.dataset import assemble
from sweep.spec import decode

Position = dict[str, int]

#: More units than this are drawn as a map instead of as lines.
_MOST_LINES = 8


def default_report(ds: xr.Dataset, variable: str | None = None) -> Report:
    """Return what to report of a result whose job does not say.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job.
    variable : str, optional
        What to report.

    Returns
    -------
    Report
        The highest correlation with the target, else the smallest difference from it, else the highest value of the
        first statistic observed; over the first two coordinates swept, with a panel per target.
    """
    names = _observed(ds)
    statistics = [name for name in names if "time" not in ds[name].dims] or names
    if variable is None:
        variable = next((name for name in ("target_correlation", "target_mse") if name in names), statistics[0])
    report = Report(variable=variable, best="min" if variable == "target_mse" else "max")
    if variable not in ds:
        return report
    ds = over_units(ds, report)
    x, y = axes_of(ds, report)
    several = ds[variable].sizes.get("target", 1) > 1 and "target" not in (x, y)
    return dataclasses.replace(report, x=x, y=y, panel="target" if several else None)


def report_of(ds: xr.Dataset) -> Report:
    """Return the report that the job of a result asks for, or the default one."""
    own = _job(ds).get("report")
    if own is None:
        return default_report(ds)
    report: Report = decode(own, {})
    return report


def completed(ds: xr.Dataset, asked: Report, base: Report) -> Report:
    """Fill what is asked for with what a base report says, as far as that lies along other dimensions."""
    named = (asked.x, asked.y, asked.panel, *asked.select)
    taken = {dim for name in named if name in ds.coords for dim in ds[name].dims}

    def left(name: str | None) -> str | None:
        return name if name in ds.coords and taken.isdisjoint(ds[name].dims) else None

    return dataclasses.replace(
        asked,
        x=asked.x or left(base.x),
        y=asked.y or left(base.y),
        panel=asked.panel or left(base.panel),
        select={name: value for name, value in base.select.items() if left(name)} | dict(asked.select),
    )


def _job(ds: xr.Dataset) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(ds.attrs.get("job", "{}"))
    return job


def _observed(ds: xr.Dataset) -> list[str]:
    """Return the variables in the order in which the job names them, which a store does not keep."""
    present = [str(name) for name in ds.data_vars if name not in {variable.name for variable in ALWAYS}]
    order = [item if isinstance(item, str) else item["variable"] for item in _job(ds).get("observe", ())]
    return [name for name in order if name in present] or present


def is_parameter(name: str) -> bool:
    """Say whether a coordinate is a parameter that can be swept."""
    try:
        return bool(parse_name(name).base)
    except JobError:
        return False


def _along(ds: xr.Dataset, dim: str) -> list[str]:
    """Return the coordinates that label a dimension: its own, the parameters in the order of their table, rates."""
    order = {name: i for i, name in enumerate((*PARAMETERS, "W", *SELECTORS))}
    names = [str(n) for n, c in ds.coords.items() if c.dims == (dim,) and (n == dim or str(n).startswith("alpha_"))]
    names += [str(n) for n, c in ds.coords.items() if c.dims[:1] == (dim,) and n != dim and is_parameter(str(n))]
    return sorted(names, key=lambda n: (n != dim, order.get(n.partition("[")[0], len(order)), n))


def axes_of(ds: xr.Dataset, report: Report) -> tuple[str | None, str | None]:
    """Return what to draw over: what the report names, else the first parameters swept that it leaves."""
    variable = ds[report.variable]
    taken = {dim for name in (*report.select, report.panel) if name is not None for dim in ds[name].dims}
    free = [str(dim) for dim in variable.dims if dim not in taken and variable.sizes[dim] > 1]
    names: list[str] = []
    if "time" in free:
        # A few units are lines, many a map.
        names = ["time", *(dim for dim in free if dim.endswith("unit") and variable.sizes[dim] > _MOST_LINES)]
    else:
        for dim in (dim for dim in free if dim in ds["status"].dims):
            names += [name for name in _along(ds, dim) if is_parameter(name) and ds[name].ndim == 1] or [dim]
        names = sorted(names, key=lambda name: name in SELECTORS) or free
    given = [name for name in (report.x, report.y) if name is not None]
    # A parameter says nothing new over its own rate constant.
    same = {f"tau_{name[-1]}" for name in given if name.startswith("alpha_")}
    left = iter([name for name in names if name not in {*given, *same}])
    x = report.x if report.x is not None else next(left, None)
    y = report.y if report.y is not None else next(left, None)
    return (y, None) if x is None else (x, y)


def check(ds: xr.Dataset, report: Report) -> None:
    """Refuse names that the result does not have, and coordinates that cannot be drawn together."""
    if report.variable not in ds.data_vars:
        raise JobError(
            f"report.variable = {report.variable!r} is not in the result. {suggest(report.variable, _observed(ds))}"
        )
    usable = [str(n) for n, c in ds.coords.items() if c.ndim == 1 and c.dims[0] in ds[report.variable].dims]
    named = {f"report.{key}": getattr(report, key) for key in ("x", "y", "panel")}
    named |= {f"report.select.{name}": name for name in report.select}
    owner: dict[str, str] = {}
    for key, name in named.items():
        if name is None:
            continue
        if name not in ds.coords:
            raise JobError(f"{key} = {name!r} is not a coordinate of the result. {suggest(name, usable)}")
        if name not in usable:
            raise JobError(f"{key} = {name!r}: {report.variable} does not vary along it. Known: {', '.join(usable)}.")
        dim = str(ds[name].dims[0])
        # Two parameters of the same samples can be drawn over each other; nothing else can share a dimension.
        if dim in owner and ({key, owner[dim]} != {"report.x", "report.y"} or named["report.x"] == named["report.y"]):
            raise JobError(f"{key} = {name!r} lies along the same dimension as {owner[dim]}: remove one of the two.")
        owner[dim] = key


@dataclass(frozen=True, kw_only=True)
class BestSet:
    """The set with the best value of a variable, and what there is to say of it.

    Parameters
    ----------
    variable : str
        What was compared.
    value : float
        Its best value; NaN if no set has one.
    status : str
        ``ok``; where no set has a value, the most common status.
    labels : mapping
        Every label along the dimensions of the design, and ``target``, ``lag`` and ``unit`` where the variable has
        them; a tuple where a parameter has a value per unit. Where no set has a value, that of the panel alone.
    units : mapping
        Units of the labels.
    said : tuple of str
        The labels that :meth:`words` names: those that differ between sets and do not follow from others.
    counts : mapping
        How many of the sets compared have which status.
    edges : tuple of str
        Ends of swept ranges at which the set lies: ``"upper end of tau_s"``.
    panel : str, optional
        The label that says which panel this is the best set of.
    panels : tuple of BestSet
        The best of each panel, where the report has panels.
    """

    variable: str
    value: float
    status: str
    labels: Mapping[str, Any]
    units: Mapping[str, str]
    said: tuple[str, ...]
    counts: Mapping[str, int]
    edges: tuple[str, ...] = ()
    panel: str | None = None
    panels: tuple[BestSet, ...] = ()

    def words(self) -> str:
        """Say which set is best in a sentence, or a line for each panel."""
        if self.panels:
            return "\n".join(panel.words() for panel in self.panels)
        said = {name: phrase(name, self.labels[name], self.units[name]) for name in self.said}
        subject = "Best set" if self.panel is None else f"Best set for {said.pop(self.panel)}"
        where = f" at {', '.join(said.values())}" if said else ""
        total = sum(self.counts.values())
        others = [f", {n} {name.replace('_', ' ')}" for name, n in self.counts.items() if n and name != "ok"]
        among = f"(of {total:,} set{'s' * (total != 1)}{''.join(others)})"
        if math.isnan(self.value):
            return f"{subject}: none has a value of {self.variable}{where} {among}."
        text = f"{subject}: {self.variable} = {self.value:.4g}{where} {among}."
        return text + (f" It lies at the {', the '.join(self.edges)}: widen the range." if self.edges else "")


def phrase(name: str, value: Any, units: str) -> str:
    """Write ``tau_s = 0.43 ms``."""
    number = f"{min(value):.4g} to {max(value):.4g}" if isinstance(value, tuple) else f"{value:.4g}"
    return f"{name} = {number}{'' if units == '1' else f' {units}'}"


def best_set(ds: xr.Dataset, report: Report | None = None) -> BestSet:
    """Find the best set.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job, in memory or lazy, of a finished run or not.
    report : Report, optional
        What is best; by default what the job says.

    Returns
    -------
    BestSet
        Sets that are not ok and values that are not finite are never best. Of several equals the first.

    Raises
    ------
    JobError
        If the report names what the result does not have, or a trajectory, which has no best value.
    """
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
    return dataclasses.replace(best, counts=_counts(ds, selected(ds, report)), panel=None, panels=panels)


def over_units(ds: xr.Dataset, report: Report) -> xr.Dataset:
    """Replace the variable reported by its mean over units, unless the report names them or shows a trajectory.

    A set is judged by all its units, not by its luckiest one.
    """
    if report.variable not in ds or is_trajectory(ds, report):
        return ds
    variable = ds[report.variable]
    if variable.sizes.get("unit", 1) == 1 or "unit" in (report.x, report.y, report.panel, *report.select):
        return ds
    mean = variable.mean("unit", keep_attrs=True, skipna=False)
    mean.attrs["long_name"] = f"{variable.attrs.get('long_name', report.variable)}, mean over units"
    return ds.assign({report.variable: mean})


def check_job(job: Job) -> None:
    """Refuse a report that could not be given when the job has run.

    Raises
    ------
    JobError
        If the report names what the result will not have.
    """
    if job.report is None or not job.design.dims:
        return
    zero = np.zeros(())
    arrays = {v.name: np.broadcast_to(zero, (*job.design.shape, *v.shape)) for v in job.variables}
    layout = assemble(job, arrays, {})
    check(layout, job.report)
    selected(layout, job.report)


def is_trajectory(ds: xr.Dataset, report: Report) -> bool:
    """Say whether the report shows a record over time, which has no single value to compare sets by."""
    return "time" in ds[report.variable].dims and "time" not in report.select


def selected(ds: xr.Dataset, report: Report) -> Position:
    """Return the positions nearest to what the report selects."""
    found = {}
    for name, value in report.select.items():
        values = ds[name].to_numpy()
        if not values.min() <= value <= values.max():
            raise JobError(
                f"report.select.{name} = {value:g} is beyond the values of the result, {values.min():g} to "
                f"{values.max():g}. Select one of these."
            )
        found[str(ds[name].dims[0])] = int(np.abs(values - value).argmin())
    return found


def best_positions(ds: xr.Dataset, report: Report) -> list[Position]:
    """Return the position of the best set of every panel, which has only panel and selection if no set has a value."""
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
    """Return where the score is largest, for every position along the panel's dimension.

    Nothing but maxima along dimensions is asked for, which Dask reduces block by block in bounded memory: all sets
    once, and then ever thinner slabs.
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
    counts = _counts(ds, among)
    labels = labels_at(ds, position)
    return BestSet(
        variable=report.variable,
        value=float(variable.isel(position)) if found else math.nan,
        status="ok" if found else max(counts, key=lambda name: counts[name]),
        labels=labels,
        units={name: str(ds[name].attrs.get("units", "1")) for name in labels},
        said=telling(ds, labels, report),
        counts=counts,
        edges=tuple(_ends(ds, {dim: i for dim, i in position.items() if dim not in given})) if found else (),
        panel=report.panel,
    )


def _counts(ds: xr.Dataset, position: Position) -> dict[str, int]:
    """Return how many sets have which status."""
    status = ds["status"].isel(position, missing_dims="ignore")
    # One pass over a lazy status for all of them.
    found = xr.Dataset({name: (status == value).sum() for name, value in STATUS.items()}).compute()
    return {name: int(found[name]) for name in STATUS}


def labels_at(ds: xr.Dataset, position: Position) -> dict[str, Any]:
    """Return the labels at a position: numbers, and tuples for parameters with a value per unit."""
    labels = {}
    for dim, index in position.items():
        for name in _along(ds, dim):
            value = ds[name].isel({dim: index}).to_numpy()
            labels[name] = value.item() if value.ndim == 0 else tuple(value.tolist())
    return labels


def telling(ds: xr.Dataset, labels: Mapping[str, Any], report: Report) -> tuple[str, ...]:
    """Return the labels worth saying: rate constants only where the report is about them, then for their tau."""
    rates = {name for name in labels if name.startswith("alpha_")}
    asked = rates & {report.x, report.y, report.panel}
    silent = (rates - asked) | {f"tau_{name[-1]}" for name in asked}
    return tuple(name for name in labels if name not in silent and ds.sizes[ds[name].dims[0]] > 1)


def _ends(ds: xr.Dataset, position: Position) -> list[str]:
    """Return at which ends of the ranges swept a position lies."""
    found = []
    for dim, index in position.items():
        # Samples have no ends, and selectors no order.
        if ds.sizes[dim] < 3 or dim in SELECTORS or not (is_parameter(dim) or dim == "lag"):
            continue
        values = ds[dim].to_numpy()
        # Beyond its bound a parameter has no values; shorter than a step, a time constant is instantaneous.
        bound = 0.0 if dim == "lag" else parse_name(dim).parameter.lower
        rate = ds.coords.get(f"alpha_{dim[-1]}") if dim in ("tau_s", "tau_r") else None
        if values[index] == values.max():
            found.append(f"upper end of {dim}")
        elif values[index] == values.min() > bound and (rate is None or rate[index] < 1):
            found.append(f"lower end of {dim}")
    return found
