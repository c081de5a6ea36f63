"""What the equations say, in plain loops: an implementation that shares no line with the back ends.

One set at a time, one step at a time, one formula a line. Only the signals, the normals and the hash that names a noise
stream are the package's own; they have tests of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep import Job, philox
from sweep.model.network import Model
from sweep.model.parameters import PARAMETERS, SELECTORS, parse_name
from sweep.observables import OBSERVABLES, Record
from sweep.signals.targets import ModelOutput, Target

Array = NDArray[np.floating[Any]]
Own = dict[str, Any]

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0 * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: (1 + np.tanh(z / 2)) / 2,
    "softplus": lambda z: np.logaddexp(0 * z, z),
}


def own_values(job: Job, index: int) -> Own:
    """Return all parameters of a set: the defaults, what the model says instead, what the design says instead."""
    own: Own = {name: row.default for name, row in {**PARAMETERS, **SELECTORS}.items()} | dict(job.model.parameters)
    labels = job.design.labels(index)
    swept = {name: labels[name] for name in job.design.swept}
    for name in sorted(swept, key=lambda name: "[" in name):
        key = parse_name(name)
        if key.base == "W" or not key.index:
            own[name] = swept[name]
        else:
            own[key.base] = np.array(np.broadcast_to(own[key.base], job.model.units), dtype=np.float64)
            own[key.base][key.index[0]] = swept[name]
    return own


def stream(job: Job, own: Own) -> NDArray[np.uint64]:
    """Return the noise stream of a set ``(1,)``."""
    names = ["replicate"] if job.noise_pairing == "common" else own
    return philox.stream_hash({name: np.atleast_2d(np.asarray(own[name], dtype=np.float64)) for name in names})


def weights_of(model: Model, own: Own) -> Array:
    """Return W of a set, ``(unit, unit)``."""
    several = np.zeros((model.units, model.units)) if model.weights is None else model.weights
    w = np.array(several if several.ndim == 2 else several[int(own["network"])])
    for name, value in own.items():
        if name.startswith("W["):
            w[parse_name(name).index] = value
    return w


def trajectory(job: Job, own: Own, steps: int | None = None, dtype: type = np.float64) -> tuple[Array, Array]:
    """Return x and r after every step, each ``(step, unit)``."""
    timing, model = job.integration, job.model
    count, n, dt = timing.steps if steps is None else steps, model.units, timing.dt
    f = ACTIVATIONS[model.activation]
    p = {name: np.asarray(own[name], dtype=dtype) * np.ones(n, dtype=dtype) for name in PARAMETERS}
    w = weights_of(model, own).astype(dtype)
    drive = np.zeros((count, n))
    if job.inputs:
        u = job.inputs[int(own["stimulus"])].sample(0, count, dt)
        drive = (model.input_matrix(len(u)) @ u).T
    drive = drive.astype(dtype)
    alpha_s, alpha_r = (
        np.array([1.0 if tau == 0 else dt / tau for tau in np.ones(n) * own[name]]).astype(dtype)
        for name in ("tau_s", "tau_r")
    )
    sigma = (np.asarray(own["noise"]) * np.sqrt(2 * alpha_s)).astype(dtype)
    xi = philox.normals(job.seed, stream(job, own), n, 0, count)[:, :, 0]
    x, r = p["x0"], p["r0"]
    xs, rs = np.empty((2, count, n), dtype=dtype)
    with np.errstate(all="ignore"):
        for k in range(count):
            h = p["gain"] * (w @ r) + p["input_gain"] * drive[k] + p["bias"]
            new = x + alpha_s * (h - x) + sigma * xi[k]
            seen = new if timing.scheme == "sequential" else x
            r = r + alpha_r * (f(p["slope"] * (seen - p["threshold"])) - r)
            x = new
            xs[k], rs[k] = x, r
    return xs, rs


def first_not_finite(x: Array, r: Array) -> int:
    """Return the first step after which a state is not finite, or -1."""
    bad = ~(np.isfinite(x) & np.isfinite(r)).all(axis=1)
    return int(bad.argmax()) if bad.any() else -1


def target_series(job: Job, target: Target, first: int, last: int) -> Array:
    """Return a target from step ``first`` to ``last - 1``, ``(step, unit or 1)``."""
    if not isinstance(target.signal, ModelOutput):
        return target.signal.sample(first, last, job.integration.dt).T
    signal = target.signal
    model = job.model if signal.weights is None else replace(job.model, weights=signal.weights)
    own = {name: row.default for name, row in {**PARAMETERS, **SELECTORS}.items()}
    own |= dict(job.model.parameters) | dict(signal.parameters)
    bare = replace(job, model=model, target=None, observe=(Record("r"),))
    return trajectory(bare, own, steps=max(last, 1))[1][first:last]


def compare(job: Job, r: Array) -> dict[str, Array]:
    """Return ``target_correlation`` and ``target_mse`` of rates ``(step, unit)``, each ``(target, lag, unit)``."""
    timing, units = job.integration, job.model.units
    correlation, mse = np.full((2, len(job.targets), len(job.lags), units), np.nan)
    for i, target in enumerate(job.targets):
        for k, lag in enumerate(target.lags):
            shift = round(lag / timing.dt)
            y = target_series(job, target, timing.transient_steps + shift, timing.steps + shift)
            y = np.broadcast_to(y, r.shape)
            for unit in range(units if "target_correlation" in job.observed else 0):
                correlation[i, k, unit] = np.corrcoef(y[:, unit], r[:, unit])[0, 1]
            mse[i, k] = ((y - r) ** 2).mean(axis=0)
    chosen = slice(None) if isinstance(job.target, tuple) else 0
    return {"target_correlation": correlation[chosen], "target_mse": mse[chosen]}


STATISTICS = {
    "mean": lambda z: z.mean(axis=0),
    "var": lambda z: z.var(axis=0),
    "std": lambda z: z.std(axis=0),
    "min": lambda z: z.min(axis=0),
    "max": lambda z: z.max(axis=0),
    "final": lambda z: z[-1],
}


def measure(job: Job, index: int) -> dict[str, Array]:
    """Return every observable and record of a set that does not diverge."""
    x, r = trajectory(job, own_values(job, index))
    assert first_not_finite(x, r) < 0
    observed = {"x": x[job.integration.transient_steps :], "r": r[job.integration.transient_steps :]}
    compared = compare(job, observed["r"]) if job.targets else {}
    results = {}
    for item in job.observe:
        if isinstance(item, Record):
            kept = observed[item.variable][item.every - 1 :: item.every]
            results[item.variable] = kept if item.units is None else kept[:, list(item.units)]
        elif item in compared:
            results[item] = compared[item]
        else:
            row = OBSERVABLES[item]
            results[item] = STATISTICS[row.statistic](observed[row.of])
    return results
