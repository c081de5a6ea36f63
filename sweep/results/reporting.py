"""Whether a report can be given of a result: known before the job runs, and held again when it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from sweep.checks.caution import warn
from sweep.errors import JobError, suggest
from sweep.job import Job, Report
from sweep.observables import ALWAYS, CORRELATION, STATUS
from sweep.results.dataset import assemble


def check_job(job: Job) -> None:
    """Check, before a job runs, that its report will be possible.

    Raises
    ------
    JobError
        If the report names something that the result will not have.
    """
    if job.report is None:
        return
    zero = np.zeros(())
    arrays = {v.name: np.broadcast_to(zero, (*job.design.shape, *v.shape)) for v in job.variables}
    layout = assemble(job, arrays, {})
    check(layout, job.report)
    selected(layout, job.report)


def without_correlation(results: Mapping[str, np.ndarray]) -> int:
    """Return how many of some sets ``(set, ...)`` are ok, and have a correlation that is NaN all the same."""
    if CORRELATION not in results:
        return 0
    unknown = np.isnan(results[CORRELATION]).reshape(len(results["status"]), -1).any(axis=1)
    return int((unknown & (results["status"] == STATUS["ok"])).sum())


def warn_of_correlations(unknown: int, sets: int) -> None:
    """Warn of sets whose correlation with a target is NaN, if there are any."""
    if unknown:
        warn(
            f"target_correlation is NaN for {unknown:,} of {sets:,} sets: the rates of a unit, or the target, are constant. "
            "argmax of NumPy takes the first NaN for the largest. Use sweep.best, which leaves them out, or idxmax of xarray."
        )


def selected(ds: xr.Dataset, report: Report) -> dict[str, int]:
    """Return the positions that are nearest to the labels that the report selects."""
    found: dict[str, int] = {}
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


def check(ds: xr.Dataset, report: Report) -> None:
    """Refuse names that the result does not have, and coordinates that cannot be drawn together."""
    if report.variable not in ds.data_vars:
        raise JobError(
            f"report.variable = {report.variable!r} is not in the result. {suggest(report.variable, observed(ds))}"
        )
    known = usable(ds, report.variable)
    named = {f"report.{key}": getattr(report, key) for key in ("x", "y", "panel")}
    named |= {f"report.select.{name}": name for name in report.select}
    owner: dict[str, str] = {}
    for key, name in named.items():
        if name is None:
            continue
        if name not in ds.coords:
            raise JobError(f"{key} = {name!r} is not a coordinate of the result. {suggest(name, known)}")
        if ds[name].dtype.kind not in "iuf":
            raise JobError(
                f"{key} = {name!r} holds names, and must be a coordinate with numbers. {suggest(name, known)}"
            )
        if name not in known:
            raise JobError(f"{key} = {name!r}: {report.variable} does not vary along it. Known: {', '.join(known)}.")
        dim = str(ds[name].dims[0])
        # Two parameters of the same samples can be the two axes. Otherwise no two coordinates may share a dimension.
        if dim in owner and ({key, owner[dim]} != {"report.x", "report.y"} or named["report.x"] == named["report.y"]):
            raise JobError(f"{key} = {name!r} lies along the same dimension as {owner[dim]}: remove one of the two.")
        owner[dim] = key


def usable(ds: xr.Dataset, variable: str) -> list[str]:
    """Return the coordinates with numbers that a variable varies along."""
    dims = ds[variable].dims
    return [str(n) for n, c in ds.coords.items() if c.ndim == 1 and c.dims[0] in dims and c.dtype.kind in "iuf"]


def observed(ds: xr.Dataset) -> list[str]:
    """Return the variables in the order of the job, because a store does not keep the order."""
    present = [str(name) for name in ds.data_vars if name not in {variable.name for variable in ALWAYS}]
    order = [item if isinstance(item, str) else item["variable"] for item in stored_job(ds).get("observe", ())]
    return [name for name in order if name in present] or present


def stored_job(ds: xr.Dataset) -> dict[str, Any]:
    """Return the job that the attributes of a result hold, as JSON-ready data."""
    job: dict[str, Any] = json.loads(ds.attrs.get("job", "{}"))
    return job
