"""The equations in plain loops: an implementation that shares no code with the back ends.

One set at a time, one step at a time, one formula a line. Only the signals, the normals and the hash that names a noise
stream are the package's own; they have tests of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep import Job, philox
from sweep.model.network import Model
from sweep.model.parameters import INPUT_NUMBERS, PARAMETERS, SELECTORS, parse_name
from sweep.observables import OBSERVABLES, Record
from sweep.signals.recorded import Samples, Spikes, heard
from sweep.signals.signal import Signal
from sweep.signals.targets import ModelOutput, Target

Array = NDArray[np.floating[Any]]
Own = dict[str, Any]

FORMULAS = ("constant", "step", "pulse", "sine")
ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0 * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: (1 + np.tanh(z / 2)) / 2,
    "softplus": lambda z: np.logaddexp(0 * z, z),
}


def own_values(job: Job, index: int) -> Own:
    """Return all parameters of a set: from the design, else from the model, else the defaults."""
    labels = job.design.labels(index)
    return values_of(job.model, dict(job.model.parameters) | {name: labels[name] for name in job.design.swept})


def values_of(model: Model, given: Own) -> Own:
    """Return all parameters of a set of which these are given; for each unit the narrowest name holds."""
    own: Own = {name: row.default for name, row in {**PARAMETERS, **SELECTORS}.items()}
    places = {name: [units_of(model, place) for place in parse_name(name).index] for name in given}
    factors = {}
    for name in sorted(given, key=lambda name: -len(places[name][0]) if places[name] else -np.inf):
        key = parse_name(name)
        if not key.index:
            own[name] = given[name]
        elif key.base == "gain":
            to, source = places[name]
            factors[to[0], to[-1] + 1, source[0], source[-1] + 1] = given[name]
        elif key.base != "W":
            own[key.base] = np.array(np.broadcast_to(own[key.base], model.units), dtype=np.float64)
            own[key.base][places[name][0]] = given[name]
    for (a, b, c, d), factor in factors.items():
        own[f"gain[{a}:{b},{c}:{d}]"] = factor
    for name in (name for name in given if name.startswith("W")):
        i, j = parse_name(name).index
        scale = [factor for (a, b, c, d), factor in factors.items() if a <= i < b and c <= j < d]
        own[name] = given[name] * np.prod(scale)
    return own


def units_of(model: Model, place: int | str) -> list[int]:
    """Return the units that a number, a slice or the name of a population means."""
    everyone = list(range(model.units))
    if isinstance(place, int):
        return [place]
    if ":" in place:
        start, stop = (int(end) if end else None for end in place.split(":"))
        return everyone[start:stop]
    assert model.populations is not None
    names = [name for name, size in model.populations.items() for _ in range(size)]
    return [unit for unit in everyone if names[unit] == place]


def stream(job: Job, own: Own) -> NDArray[np.uint64]:
    """Return the noise stream of a set ``(1,)``."""
    names = ["replicate"] if job.noise_pairing == "common" else [name for name in own if not had(job, own, name)]
    return philox.stream_hash({name: np.atleast_2d(np.asarray(own[name], dtype=np.float64)) for name in names})


def had(job: Job, own: Own, name: str) -> bool:
    """Say whether a parameter changes nothing: a factor of 1, or a number of the input that the input has anyway."""
    if "gain[" in name:
        return bool(own[name] == 1)
    if name not in INPUT_NUMBERS:
        return False
    value = getattr(job.given_inputs[0], name.removeprefix("input_"))
    return bool(np.all(np.equal(np.nan if value is None else value, own[name])))


def input_of(job: Job, own: Own) -> Signal:
    """Return the input of a set, with its own numbers."""
    signal = job.given_inputs[int(own["stimulus"])]
    numbers = {name.removeprefix("input_"): value for name, value in own.items() if name in INPUT_NUMBERS}
    # The numbers of a formula are lists, with one for each channel.
    lists = {name: (value,) * signal.channels for name, value in numbers.items() if signal.kind in FORMULAS}
    return heard(replace(signal, **(numbers | lists)))


def weights_of(model: Model, own: Own) -> Array:
    """Return W of a set, ``(unit, unit)``."""
    several = np.zeros((model.units, model.units)) if model.weights is None else model.weights
    w = np.array(several if several.ndim == 2 else several[int(own["network"])])
    for name, value in own.items():
        if name.startswith("gain["):
            rows, columns = (units_of(model, place) for place in parse_name(name).index)
            w[np.ix_(rows, columns)] *= value
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
        u = input_of(job, own).sample(0, count, dt)
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


def target_series(job: Job, target: Target, first: int, last: int, of: Own) -> Array:
    """Return a target, for a set with these parameters, from step ``first`` to ``last - 1``, ``(step, unit or 1)``."""
    if not isinstance(target.signal, ModelOutput):
        return target.signal.sample(first, last, job.integration.dt).T
    signal = target.signal
    model = job.model if signal.weights is None else replace(job.model, weights=signal.weights)
    own = values_of(model, dict(job.model.parameters) | dict(signal.parameters))
    if signal.weights is not None:
        own["network"] = 0
    for name in {"network", "stimulus"} & {*job.design.swept} - {*signal.parameters}:
        if signal.follows and not (name == "network" and signal.weights is not None):
            own[name] = of[name]
    own |= {name: of[name] for name in job.input_numbers}
    if signal.own_noise:
        own["replicate"] = -1 - own["replicate"]
    bare = replace(job, model=model, target=None, observe=(Record("r"),))
    return trajectory(bare, own, steps=max(last, 1))[1][first:last]


def measured_in(signal: Signal, last: int, dt: float) -> Iterator[tuple[list[int], int]]:
    """Yield the steps of each measurement before step ``last``, and its number in the signal; one by one, from its times."""
    if isinstance(signal, Samples):
        width, end, mean = signal.interval, signal.duration, signal.read == "mean"
    elif isinstance(signal, Spikes) and signal.window is not None:
        width, end, mean = signal.window, signal.duration, True
    else:  # in every step that lies wholly in the signal
        yield from (([n], n) for n in range(last) if (n + 1) * dt <= signal.duration * (1 + 1e-12))
        return
    begin, small = signal.start, 1e-9 * dt
    k = 0
    while begin + k * width < last * dt and begin + (k + 1) * width <= end + small:
        low, high = begin + k * width, begin + (k + 1) * width
        if mean:
            steps = [
                n for n in range(math.floor(low / dt) - 1, math.ceil(high / dt) + 1) if low <= n * dt + small < high
            ]
        else:
            steps = [math.floor(low / dt + 1e-9)]
        if steps and steps[0] >= 0 and low >= -small:
            yield steps, k
        k += 1


def measured_values(job: Job, target: Target, last: int, of: Own) -> Callable[[int], Array]:
    """Return, for a set with these parameters, a function from the number of a measurement to its value, ``(unit or 1,)``."""
    signal, dt = target.signal, job.integration.dt
    if isinstance(signal, Samples):
        return lambda number: signal.values[:, number]
    if isinstance(signal, Spikes) and (width := signal.window) is not None:
        return lambda number: np.array(
            [sum(width * number <= time + 1e-9 * dt < width * (number + 1) for time in signal.times)]
        )
    series = target_series(job, target, 0, last, of)
    return lambda number: series[number]


def compare(job: Job, r: Array, own: Own) -> dict[str, Array]:
    """Return ``target_correlation`` and ``target_mse`` of a set's rates ``(step, unit)``, each ``(target, lag, unit)``."""
    timing, units = job.integration, job.model.units
    correlation, mse = np.full((2, len(job.targets), len(job.lags), units), np.nan)
    for i, target in enumerate(job.targets):
        for k, lag in enumerate(target.lags):
            shift = round(lag / timing.dt) + timing.transient_steps
            last = timing.steps + round(max(target.lags) / timing.dt)
            value = measured_values(job, target, last, own)
            measured, read = [], []
            for steps, number in measured_in(target.signal, last, timing.dt):
                if steps[0] - shift >= 0 and steps[-1] - shift < len(r):
                    measured.append(value(number))
                    read.append(np.mean([r[n - shift] for n in steps], axis=0))
            rates = np.array(read)
            y = np.broadcast_to(np.array(measured), rates.shape)
            for unit in range(units if "target_correlation" in job.observed else 0):
                with np.errstate(invalid="ignore"):  # a rate that never changes correlates with nothing
                    correlation[i, k, unit] = np.corrcoef(y[:, unit], rates[:, unit])[0, 1]
            mse[i, k] = ((y - rates) ** 2).mean(axis=0)
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
    own = own_values(job, index)
    x, r = trajectory(job, own)
    assert first_not_finite(x, r) < 0
    observed = {"x": x[job.integration.transient_steps :], "r": r[job.integration.transient_steps :]}
    compared = compare(job, observed["r"], own) if job.targets else {}
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


TOLERANCE: dict[str, dict[str, float]] = {
    "float32": {"rtol": 2e-5, "atol": 1e-5},
    "float64": {"rtol": 1e-10, "atol": 1e-12},
}


def assert_agrees(results: dict[str, Array], job: Job, diverging: Collection[int] = ()) -> None:
    """Compare every variable of every set; of those that diverge, when they do and what is left of them."""
    for index in range(job.design.size):
        if index in diverging:
            _assert_diverges(results, job, index)
            continue
        assert (results["status"][index], np.isnan(results["diverged_at"][index])) == (1, True), index
        near = TOLERANCE[job.integration.precision]
        for name, expected in measure(job, index).items():
            room = near["atol"]
            if name == "target_correlation":
                room = 3 * max(room, float(np.finfo(job.integration.precision).eps) * _flatness(job, index))
            np.testing.assert_allclose(
                results[name][index], expected, rtol=near["rtol"], atol=room, err_msg=f"{name} of set {index}"
            )


def _flatness(job: Job, index: int) -> float:
    """Return how many times rates and teachers are larger than their deviations, by which a correlation divides."""
    timing, own = job.integration, own_values(job, index)
    teachers = [target for target in job.targets if isinstance(target.signal, ModelOutput)]
    series = [target_series(job, target, timing.transient_steps, timing.steps, own) for target in teachers]
    return _flat(trajectory(job, own)[1][timing.transient_steps :]) * max(map(_flat, series), default=1.0)


def _flat(values: Array) -> float:
    deviation = values.std(axis=0)
    changing = deviation > 0
    return float((np.abs(values).max(axis=0)[changing] / deviation[changing]).max()) if changing.any() else 0.0


def _assert_diverges(results: dict[str, Array], job: Job, index: int) -> None:
    timing = job.integration
    x, r = trajectory(job, own_values(job, index), dtype=np.dtype(timing.precision).type)
    first = first_not_finite(x, r)
    assert results["status"][index] == 2, index
    step = round(results["diverged_at"][index] / timing.dt) - 1
    assert 0 <= first == step, index
    for variable in job.variables:
        values = results[variable.name][index]
        if variable.name in ("x", "r"):
            kept = timing.transient_steps + np.arange(job.records[0].every - 1, len(x), job.records[0].every)
            kept = kept[kept < timing.steps]
            assert np.isnan(values[kept >= step]).all(), (variable.name, index)
            assert np.isfinite(values[kept < first]).all(), (variable.name, index)
        elif variable.name not in ("status", "diverged_at"):
            assert np.isnan(values).all(), (variable.name, index)
