"""The labelled result of a job: coordinates, units, long names, provenance."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from sweep.backends.registry import PROVENANCE
from sweep.checks.decimals import shortest
from sweep.job import Job
from sweep.model.integration import rate_constant
from sweep.model.parameters import PARAMETERS, SELECTORS, parse_name
from sweep.observables import Variable, record_steps
from sweep.signals.loaded import AFTER_STEP
from sweep.signals.targets import ModelOutput
from sweep.version import __version__

_CONSTANTS = {"tau_s": "alpha_s", "tau_r": "alpha_r"}
_VERSIONS = ("numpy", "xarray", "zarr", "dask")


def dims(job: Job, variable: Variable) -> tuple[str, ...]:
    """Return the dimensions of a variable; those of the design come first."""
    return (*job.design.dims, *variable.dims)


def coordinates(job: Job) -> dict[str, xr.Variable]:
    """Return every coordinate of the result of a job, by name.

    Swept parameters lie along the design's dimensions; the others are scalars or ``(unit,)``. If a time constant is swept,
    its rate constant alpha = dt/tau is a coordinate too. For a sampled design these arrays are as long as the design.
    """
    found = {
        name: xr.Variable(along, values, attrs) for name, (along, values, attrs) in job.design.coordinates().items()
    }
    for name, row in {**PARAMETERS, **SELECTORS}.items():
        if name in found or (name in SELECTORS and name not in job.model.parameters) or _replaced(job, name):
            continue
        value = job.model.parameter(name)
        along: tuple[str, ...] = ("unit",) if value.size > 1 else ()
        shaped = value if value.size > 1 else value[0]
        kind = np.int64 if row.integer else np.float64
        found[name] = xr.Variable(along, np.asarray(shaped, dtype=kind), _attrs(row.units, row.long_name))
    for name in job.projections.keys() - found.keys():
        row = parse_name(name).parameter
        found[name] = xr.Variable((), job.model.parameters[name], _attrs(row.units, row.long_name))
    used = {dim for variable in job.variables for dim in variable.dims}
    populations = np.array(job.model.named.labels(), dtype=np.dtypes.StringDType())
    if populations.size:
        found["population"] = xr.Variable("unit", populations, _attrs("1", "population of the unit"))
    names = np.array(job.model.unit_labels or (), dtype=np.dtypes.StringDType())
    if names.size:
        found["unit_label"] = xr.Variable("unit", names, _attrs("1", "name of the unit"))
    if "unit" in used:
        units = _units(job)
        found = {name: each.isel(unit=units) if "unit" in each.dims else each for name, each in found.items()}
        found["unit"] = xr.Variable("unit", units, _attrs("1", "number of the unit"))
    if "recorded_unit" in used:
        kept = np.array(job.records[0].units, dtype=np.int64)
        found["recorded_unit"] = xr.Variable("recorded_unit", kept, _attrs("1", "number of the unit"))
        if populations.size:
            about = _attrs("1", "population of the unit")
            found["recorded_population"] = xr.Variable("recorded_unit", populations[kept], about)
        if names.size:
            found["recorded_unit_label"] = xr.Variable("recorded_unit", names[kept], _attrs("1", "name of the unit"))
    if "time" in used:
        steps = record_steps(job.records[0].every, job.integration) + 1
        about = {**_attrs("ms", "time after the step"), AFTER_STEP: job.integration.dt}
        found["time"] = xr.Variable("time", steps * job.integration.dt, about)
    if "lag" in used:
        meaning = "how much later than the step the target is read"
        found["lag"] = xr.Variable("lag", np.array(job.lags, dtype=np.float64), _attrs("ms", meaning))
    if "target" in used:
        found |= _targets(job)
    computed = {"time", "lag"} & used
    for tau, alpha in _CONSTANTS.items():
        for name, whose in ((tau, ""), (f"target_{tau}", " of the target")):
            if name in found and (whose or tau in job.design.swept):
                constant = rate_constant(job.integration.dt, found[name].to_numpy())
                about = _attrs("1", f"rate constant dt/{tau}{whose}")
                found[name.replace(tau, alpha)] = xr.Variable(found[name].dims, constant, about)
                computed.add(name.replace(tau, alpha))
    # What we have computed gets the decimals that are meant; what the user gave stays as it is.
    for name in computed:
        found[name] = found[name].copy(data=shortest(found[name].to_numpy()))
    return found


def _replaced(job: Job, name: str) -> bool:
    """Tell whether a common value of a parameter holds for no unit, because each has a swept one of a narrower name."""
    holders, which = job.model.named.holders(name, [*job.model.parameters, *job.design.swept])
    return all(holders[number] in job.design.swept for number in np.unique(which))


def _units(job: Job) -> np.ndarray:
    """Return the labels of the dimension ``unit``: all units, or those recorded if there are only records of some units."""
    everything = job.observed or any(record.units is None for record in job.records)
    return np.arange(job.model.units) if everything else np.array(job.records[0].units, dtype=np.int64)


def _targets(job: Job) -> dict[str, xr.Variable]:
    """Return the labels of the targets: their numbers, and if models made them also the models' parameters."""
    found = {"target": xr.Variable("target", np.arange(len(job.targets)), _attrs("1", "number of the target"))}
    teachers = [target.signal.parameters for target in job.targets if isinstance(target.signal, ModelOutput)]
    for name in dict.fromkeys(name for own in teachers for name in own):
        if len(teachers) < len(job.targets) or any(np.size(own.get(name, ())) != 1 for own in teachers):
            continue
        values = np.array([float(own[name]) for own in teachers])
        row = parse_name(name).parameter
        found[f"target_{name}"] = xr.Variable("target", values, _attrs(row.units, f"{row.long_name} of the target"))
    return found


def _attrs(units: str, long_name: str) -> dict[str, str | float]:
    return {"units": units, "long_name": long_name}


def attributes(job: Job) -> dict[str, str]:
    """Return the attributes that say where a result comes from: the job, its hash, versions, seed and time."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    versions = _versions()
    return {
        "Conventions": "CF-1.11",
        "title": job.title or "parameter sweep of a firing-rate network",
        "comment": job.description,
        "source": f"tausweep {versions['tausweep']}",
        "history": f"{now} simulated by tausweep {versions['tausweep']}",
        "references": "Quax, D'Asaro & van Gerven (2020), Sci. Rep. 10:11360",
        "job": json.dumps(job.spec()[0]),
        "job_hash": job.hash,
        "seed": str(job.seed),
        "versions": json.dumps({**versions, "python": platform.python_version()}),
    }


@cache
def _versions() -> dict[str, str]:
    # Once per process: looking them up takes longer than all the rest of a small job.
    return {"tausweep": __version__} | {name: importlib.metadata.version(name) for name in _VERSIONS}


def provenance(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the attributes that say what has computed a result.

    Parameters
    ----------
    parts : sequence of mapping
        For some blocks what :func:`sweep.backends.registry.provenance` returns, and ``blocks``, their numbers.

    Returns
    -------
    dict of str to str
        ``backends``, the parts as JSON; and for each key of a part its value, or all values if the parts differ.
    """
    said = {key: "; ".join(dict.fromkeys(part[key] for part in parts)) for key in PROVENANCE}
    return {**said, "backends": json.dumps(parts)}


def assemble(job: Job, arrays: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return the labelled Dataset of arrays (NumPy's or Dask's, by variable), ``(*design's dims, *variable's dims)``."""
    data = {v.name: xr.Variable(dims(job, v), arrays[v.name], dict(v.attrs)) for v in job.variables}
    return xr.Dataset(data, coordinates(job), dict(attrs))
