"""Choose what to report of a result: the variable, the axes and the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import xarray as xr

from sweep.errors import JobError
from sweep.job import Report
from sweep.model.parameters import SELECTORS
from sweep.report.labels import along, is_parameter
from sweep.results.reporting import observed, stored_job, usable
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
    names = observed(ds)
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
    stored = stored_job(ds).get("report")
    if stored is None:
        return default_report(ds)
    own: Report = decode(stored, {})
    if own.variable not in ds.data_vars:
        return default_report(ds)
    known = usable(ds, own.variable)

    def left(name: str | None) -> str | None:
        return name if name in known else None

    select = {name: value for name, value in own.select.items() if name in known}
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
    if "status" not in ds.data_vars or not observed(ds):
        raise JobError(
            f"ds has the variables {', '.join(map(str, ds.data_vars)) or 'none'}: it must have 'status' and what was "
            "observed. Give the whole result, or keep 'status' when you choose variables."
        )


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
