"""Choose what to report of a result: the variable, the axes and the labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from sweep.errors import JobError, suggest
from sweep.job import Job, Report
from sweep.model.parameters import SELECTORS
from sweep.observables import ALWAYS
from sweep.report.labels import Position, along, is_parameter
from sweep.results.dataset import assemble
from sweep.spec import decode

#: With more units than this a trajectory is drawn as a map, and not as lines.
_MOST_LINES = 8


def default_report(ds: xr.Dataset, variable: str | None = None) -> Report:
    """Return the default report of a result, for a job without a report.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job.
    variable : str, optional
        The variable to report.

    Returns
    -------
    Report
        Without ``variable`` it is about the largest correlation with the target, or the smallest difference from it, or the
        largest value of the first observed statistic. The axes are the first two swept coordinates, and each target has a
        panel.
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
    """Return the report that the job of a result asks for, without what the result no longer has; else the default one."""
    stored = _job(ds).get("report")
    if stored is None:
        return default_report(ds)
    own: Report = decode(stored, {})
    if own.variable not in ds.data_vars:
        return default_report(ds)
    usable = _usable(ds, own.variable)

    def left(name: str | None) -> str | None:
        return name if name in usable else None

    select = {name: value for name, value in own.select.items() if name in usable}
    return dataclasses.replace(own, x=left(own.x), y=left(own.y), panel=left(own.panel), select=select)


def requested(
    ds: xr.Dataset,
    variable: str | None = None,
    *,
    best: str | None = None,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    select: Mapping[str, float] | None = None,
) -> Report:
    """Return the report that is asked for, completed from the report of the job.

    Parameters
    ----------
    ds : xarray.Dataset
        The result of a job.
    variable, best, x, y, panel, select
        See :class:`sweep.Report`. What is not given is taken from the job's report if it lies along other dimensions.
        If the variable is not the job's, it is taken from the default report.

    Returns
    -------
    Report
        The report, which has not been checked against the result yet.

    Raises
    ------
    JobError
        If ``ds`` is not the result of a job, or if ``best`` is neither ``"max"`` nor ``"min"``.
    """
    check_result(ds)
    own = report_of(ds)
    base = own if variable in (None, own.variable) else default_report(ds, variable)
    given = dict(select or {})
    taken = {dim for name in (x, y, panel, *given) if name in ds.coords for dim in ds[name].dims}

    def left(name: str | None) -> str | None:
        return name if name in ds.coords and taken.isdisjoint(ds[name].dims) else None

    return Report(
        variable=base.variable if variable is None else variable,
        best=base.best if best is None else best,
        x=left(base.x) if x is None else x,
        y=left(base.y) if y is None else y,
        panel=left(base.panel) if panel is None else panel,
        select={name: value for name, value in base.select.items() if left(name)} | given,
    )


def _job(ds: xr.Dataset) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(ds.attrs.get("job", "{}"))
    return job


def _observed(ds: xr.Dataset) -> list[str]:
    """Return the variables in the order of the job, because a store does not keep the order."""
    present = [str(name) for name in ds.data_vars if name not in {variable.name for variable in ALWAYS}]
    order = [item if isinstance(item, str) else item["variable"] for item in _job(ds).get("observe", ())]
    return [name for name in order if name in present] or present


def axes_of(ds: xr.Dataset, report: Report) -> tuple[str | None, str | None]:
    """Return what to draw over: what the report names, else the first swept parameters that it does not name."""
    variable = ds[report.variable]
    taken = {dim for name in (*report.select, report.panel) if name is not None for dim in ds[name].dims}
    free = [str(dim) for dim in variable.dims if dim not in taken and variable.sizes[dim] > 1]
    names: list[str] = []
    if "time" in free:
        # A few units are drawn as lines, many as a map.
        names = ["time", *(dim for dim in free if dim.endswith("unit") and variable.sizes[dim] > _MOST_LINES)]
    else:
        for dim in (dim for dim in free if dim in ds["status"].dims):
            names += [name for name in along(ds, dim) if is_parameter(name) and ds[name].ndim == 1] or [dim]
        names = sorted(names, key=lambda name: name in SELECTORS) or free
    given = [name for name in (report.x, report.y) if name is not None]
    # A parameter and its own rate constant say the same.
    same = {f"tau_{name[-1]}" for name in given if name.startswith("alpha_")}
    left = iter([name for name in names if name not in {*given, *same}])
    x = report.x if report.x is not None else next(left, None)
    y = report.y if report.y is not None else next(left, None)
    return (y, None) if x is None else (x, y)


def check_result(ds: xr.Dataset) -> None:
    """Raise JobError if something is not the result of a job.

    Raises
    ------
    JobError
        If it is not a Dataset, or does not have the status of its sets, or no observable.
    """
    if not isinstance(ds, xr.Dataset):
        raise JobError(f"ds is a {type(ds).__name__}: give the xarray.Dataset of a result, as sweep.open returns it.")
    if "status" not in ds.data_vars or not _observed(ds):
        raise JobError(
            f"ds has the variables {', '.join(map(str, ds.data_vars)) or 'none'}: it must have 'status' and what was "
            "observed. Give the whole result, or keep 'status' when you choose variables."
        )


def _usable(ds: xr.Dataset, variable: str) -> list[str]:
    """Return the coordinates that a variable varies along."""
    return [str(name) for name, c in ds.coords.items() if c.ndim == 1 and c.dims[0] in ds[variable].dims]


def check(ds: xr.Dataset, report: Report) -> None:
    """Refuse names that the result does not have, and coordinates that cannot be drawn together."""
    if report.variable not in ds.data_vars:
        raise JobError(
            f"report.variable = {report.variable!r} is not in the result. {suggest(report.variable, _observed(ds))}"
        )
    usable = _usable(ds, report.variable)
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
        # Two parameters of the same samples can be the two axes. Otherwise no two coordinates may share a dimension.
        if dim in owner and ({key, owner[dim]} != {"report.x", "report.y"} or named["report.x"] == named["report.y"]):
            raise JobError(f"{key} = {name!r} lies along the same dimension as {owner[dim]}: remove one of the two.")
        owner[dim] = key


def check_job(job: Job) -> None:
    """Check, before a job runs, that its report will be possible.

    Raises
    ------
    JobError
        If the report names something that the result will not have.
    """
    if job.report is None or not job.design.dims:
        return
    zero = np.zeros(())
    arrays = {v.name: np.broadcast_to(zero, (*job.design.shape, *v.shape)) for v in job.variables}
    layout = assemble(job, arrays, {})
    check(layout, job.report)
    selected(layout, job.report)


def over_units(ds: xr.Dataset, report: Report) -> xr.Dataset:
    """Replace the report's variable by its mean over units, unless the report names units or shows a trajectory.

    So a set is judged by all its units, and not by its best one.
    """
    if report.variable not in ds or is_trajectory(ds, report):
        return ds
    variable = ds[report.variable]
    if variable.sizes.get("unit", 1) == 1 or "unit" in (report.x, report.y, report.panel, *report.select):
        return ds
    mean = variable.mean("unit", keep_attrs=True, skipna=False)
    mean.attrs["long_name"] = f"{variable.attrs.get('long_name', report.variable)}, mean over units"
    return ds.assign({report.variable: mean})


def is_trajectory(ds: xr.Dataset, report: Report) -> bool:
    """Return whether the report shows a record over time. A record has no single value by which to compare sets."""
    return "time" in ds[report.variable].dims and "time" not in report.select


def selected(ds: xr.Dataset, report: Report) -> Position:
    """Return the positions that are nearest to the labels that the report selects."""
    found: Position = {}
    asked: Mapping[str, Any] = report.select
    for name, value in asked.items():
        values = ds[name].to_numpy()
        if not isinstance(value, Real):
            raise JobError(
                f"report.select.{name} = {value!r}: it must be a number. Select one from {values.min():g} to {values.max():g}."
            )
        if not values.min() <= value <= values.max():
            raise JobError(
                f"report.select.{name} = {value:g} is beyond the values of the result, {values.min():g} to "
                f"{values.max():g}. Select one of these."
            )
        found[str(ds[name].dims[0])] = int(np.abs(values - value).argmin())
    return found
