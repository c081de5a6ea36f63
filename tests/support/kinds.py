"""Kinds of jobs, few enough to try all of them on every back end, and such that every two options meet in one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import sweep
from support.covering import covering
from support.needs import SIZES
from sweep import Integration, Job, Model, Target, gaussian, record, samples, sine, zipped
from sweep.model.activations import ACTIVATIONS
from sweep.signals.targets import model_output
from sweep.signals.waveforms import white_noise

Answers = Mapping[str, Any]

#: By what a parameter varies: not at all and it has its default, or one value, or a value per unit, per set, or per both.
VARIES = ("default", "common", "by unit", "by set", "by both")
#: Values that a parameter may have, from and to.
RANGES: dict[str, tuple[float, float]] = {
    "tau_s": (2.0, 9.0),
    "tau_r": (2.0, 9.0),
    "noise": (0.1, 0.4),
    "gain": (0.3, 0.9),
    "input_gain": (-2.0, 2.0),
    "bias": (-0.4, 0.4),
    "slope": (0.5, 1.5),
    "threshold": (-0.3, 0.3),
    "x0": (-0.5, 0.5),
    "r0": (0.0, 1.0),
}
#: Sets of a job, by the size of its network: more than a tile of small ones, few of those that take long.
SETS = {"few": 70, "some": 21, "dozens": 21, "many": 11, "wide": 5, "large": 5}

#: The questions, and their possible answers. The first answer to a question is the one that costs least.
QUESTIONS: dict[str, tuple[Any, ...]] = {
    "size": tuple(SIZES),
    "activation": tuple(ACTIVATIONS),
    "scheme": ("sequential", "simultaneous"),
    "precision": ("float32", "float64"),
    "slow": (False, True),
    "weights": ("none", "one", "networks", "entries", "networks and entries"),
    "factors": ("none", "swept", "swept and common"),
    "stimuli": (0, 1, 3),
    "channels": ("one", "each", "weighted"),
    "statistic of x": ("", "x_mean", "x_var", "x_std"),
    "statistic of r": ("", "r_mean", "r_var", "r_std"),
    "extremes": ((), ("x_min", "x_max", "r_min", "r_max"), ("x_min", "r_max"), ("x_max", "r_min")),
    "finals": ((), ("x_final",), ("r_final",), ("x_final", "r_final")),
    "targets and lags": ((0, 0), (1, 1), (1, 3), (2, 4)),
    "compares": (("target_correlation",), ("target_mse",), ("target_correlation", "target_mse")),
    "target": ("one", "each", "teacher", "instants", "means", "mixed"),
    "records": ((), ("x",), ("r",), ("x", "r")),
    "every": (1, 2, 7, 17),
    "recorded units": ("all", "two", "last"),
    "transient": (0, 1, 5, 16),
    "steps": (17, 24, 33),
    "pairing": ("independent", "common"),
    "units of both": ("all", "one"),
    "diverges": (False, True),
    "tau_s": VARIES[1:],
    "tau_r": VARIES[1:],
    "gain": ("default", "common", "by set"),
    "input_gain": ("default", "common", "by set"),
    "noise": VARIES,
    "bias": VARIES,
    "slope": VARIES,
    "threshold": VARIES,
    "x0": VARIES,
    "r0": VARIES,
}


@dataclass(frozen=True, eq=False)
class Kind:
    """A job, and which of its sets diverge."""

    job: Job
    diverging: frozenset[int]


def kind(answers: Answers, seed: int) -> Kind:
    """Return a job as the answers want it, as far as they can be had together; the rest is drawn at random."""
    rng = np.random.default_rng(seed)
    units, sets = int(rng.choice(SIZES[answers["size"]])), SETS[answers["size"]]
    values, columns = _parameters(answers, units, sets, rng)
    weights = _weights(answers, units, sets, columns, rng)
    populations = _factors(answers, units, sets, values, columns, rng) if weights is not None else None
    inputs, input_weights = _inputs(answers, units, sets, columns, rng)
    steps = answers["transient"] + answers["steps"]
    diverging = _diverging(answers, values, columns) if answers["diverges"] else frozenset()
    job = Job(
        model=Model(
            units=units,
            weights=weights,
            input_weights=input_weights,
            activation=answers["activation"],
            parameters=values,
            populations=populations,
        ),
        input=inputs,
        target=_targets(answers, units, steps, rng),
        design=zipped("point", **columns) if columns else sweep.Design(()),
        integration=Integration(
            dt=0.5,
            duration=0.5 * steps,
            transient=0.5 * answers["transient"],
            scheme=answers["scheme"],
            precision=answers["precision"],
            allow_unstable=bool(diverging),
        ),
        observe=_observed(answers, units) or ["x_final"],
        seed=seed + 2**40,
        noise_pairing=answers["pairing"],
    )
    return Kind(job, diverging)


def _parameters(
    answers: Answers, units: int, sets: int, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the parameters that are common to all sets, and those that vary."""
    values: dict[str, Any] = {}
    columns: dict[str, np.ndarray] = {}
    for name, (low, high) in RANGES.items():
        # Where a step is less than a thousandth of a time constant, float32 sums are compensated.
        scale = 270.0 if name == "tau_r" and answers["slow"] else 1.0

        def draw(*shape: int, low: float = low * scale, high: float = high * scale) -> Any:
            return rng.uniform(low, high, shape)

        match answers[name]:
            case "common":
                values[name] = float(draw())
            case "by unit":
                values[name] = draw(units)
            case "by set":
                columns[name] = draw(sets)
            case "by both" if answers["units of both"] == "one":
                values[name] = draw(units)
                columns[f"{name}[{units - 1}]"] = draw(sets)
            case "by both":
                columns[name] = draw(sets, units)
    return {name: value for name, value in values.items() if name not in columns}, columns


def _weights(
    answers: Answers, units: int, sets: int, columns: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray | None:
    """Return the weights, and vary networks and entries. Where rates have no bound, weights are small."""
    chosen = answers["weights"]
    if chosen == "none":
        return None
    std = 0.8 if answers["activation"] in ("tanh", "sigmoid") else 0.3
    if "networks" in chosen:
        columns["network"] = rng.integers(0, 3, sets).astype(float)
    if "entries" in chosen:
        columns[f"W[0,{units - 1}]"] = rng.uniform(-0.4, 0.4, sets)
        if units > 1:
            columns[f"W[{units - 1},{units // 2}]"] = rng.uniform(-0.4, 0.4, sets)
    several = {"networks": 3} if "networks" in chosen else {}
    return gaussian(units=units, seed=int(rng.integers(2**31)), std=std, **several)


def _factors(
    answers: Answers,
    units: int,
    sets: int,
    values: dict[str, Any],
    columns: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, int] | None:
    """Return the populations, and vary factors of the weights between them; one of these has entries that vary too."""
    if answers["factors"] == "none":
        return None
    if units == 1:
        columns["gain[0,0]"] = rng.uniform(-1.0, 1.0, sets)
        return None
    columns["gain[E,I]"] = rng.uniform(-1.0, 1.0, sets)
    columns[f"gain[0,0:{units // 2}]"] = rng.uniform(-1.0, 1.0, sets)
    if "common" in answers["factors"]:
        values["gain[I,I]"] = 0.6
    return {"E": units // 2, "I": units - units // 2}


def _inputs(
    answers: Answers, units: int, sets: int, columns: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[list[sweep.Signal] | None, np.ndarray | None]:
    """Return the inputs and their weights, and vary the stimulus where there are several."""
    if not answers["stimuli"]:
        return None, None
    channels = {"one": 1, "each": units, "weighted": 2}[answers["channels"]]
    several = [
        sine(amplitude=rng.uniform(0.5, 1.0, channels), frequency=rng.uniform(20.0, 50.0, channels)),
        white_noise(std=0.8, seed=4, channels=channels),
        samples(rng.normal(size=(channels, 40)), interval=1.0, dims=("channel", "time")),
    ][: answers["stimuli"]]
    if len(several) > 1:
        columns["stimulus"] = rng.integers(0, len(several), sets).astype(float)
    return several, rng.normal(size=(units, channels)) if answers["channels"] == "weighted" else None


def _targets(answers: Answers, units: int, steps: int, rng: np.random.Generator) -> list[Target] | None:
    """Return the targets; one that a model makes has other time constants than the model. "mixed" are different kinds."""
    count, lags = answers["targets and lags"]
    every = 0.5 * np.arange(0.5, steps + 8)

    def signal(number: int) -> sweep.Signal:
        match answers["target"]:
            case "teacher":
                return model_output({"tau_s": 5.0 + number, "gain": 0.5, "noise": 0.0, "x0": 0.2})
            case "one" | "each" as channels:
                return samples(
                    rng.normal(size=(units if channels == "each" else 1, steps + 8)),
                    interval=0.5,
                    dims=("channel", "time"),
                )
            case "instants":
                return samples(
                    rng.normal(size=(units, steps)), interval=1.0, start=0.5 * number, dims=("channel", "time")
                )
            case "mixed" if number == 0:
                return sweep.spikes(rng.choice(every, len(every) // 3, replace=False))
            case _ if number == 0:
                return sweep.spikes(rng.choice(every, len(every) // 3, replace=False), window=1.5)
            case _:
                return samples(rng.normal(size=(1, steps)), interval=1.2, read="mean")

    # Not all targets can be read before the start of the run.
    earlier = -0.5 if answers["transient"] else 1.0
    made = [Target(signal(number), lags=[0.0, 0.5, earlier, 3.0][:lags]) for number in range(count)]
    return made or None


def _observed(answers: Answers, units: int) -> list[Any]:
    """Return what is observed."""
    names = [answers["statistic of x"], answers["statistic of r"], *answers["extremes"], *answers["finals"]]
    names += answers["compares"] if answers["targets and lags"][0] else ()
    kept = {"all": None, "two": [units - 1, 0], "last": [units - 1]}[answers["recorded units"] if units > 1 else "all"]
    every = min(answers["every"], answers["steps"])
    return [name for name in names if name] + [record(name, every=every, units=kept) for name in answers["records"]]


def _diverging(answers: Answers, values: dict[str, Any], columns: dict[str, np.ndarray]) -> frozenset[int]:
    """Make some sets overflow in their second step: with a time constant that is far too short, and x not at rest."""
    short = 0.5 / (1e20 if answers["precision"] == "float32" else 1e40)
    if "tau_s" not in columns:
        values["tau_s"] = np.full_like(values["tau_s"], short) if np.ndim(values["tau_s"]) else short
        values.setdefault("bias", 0.3)
        return frozenset(range(max(map(len, columns.values()), default=1)))
    some = (1, len(columns["tau_s"]) - 2)
    columns["tau_s"][list(some)] = short
    return frozenset(some)


@functools.cache
def kinds() -> list[Kind]:
    """Return a job of each kind."""
    return [kind(answers, seed) for seed, answers in enumerate(rows())]


@functools.cache
def rows() -> list[dict[str, Any]]:
    """Return answers among which every two to two questions meet."""
    return covering(QUESTIONS, seed=4)
