"""Judge the study of grasshopper.toml on sound that its fit has not heard, and ask what its measure can identify.

    python sweeps/grasshopper.py

The study fits two units to half 1a: 1a and 1b are the halves of recording 1, 2a and 2b those of recording 2, of another sound.
This prints three kinds of tables:

1. How well the best set predicts each half, beside a pure delay, a linear filter and a single unit, all fitted to 1a.
2. What the same fit finds in each half by itself.
3. What it finds in simulated spikes, whose constants are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sweep

Array = NDArray[np.float64]

JOB = Path(__file__).with_suffix(".toml")
CONSTANTS = ("W[0,1]", "tau_r[0]", "tau_r[1]", "threshold[0]", "lag")
#: Widths of the windows in which spikes are counted, ms; the first is a step of the job.
WINDOWS = (0.05, 1.0, 3.0, 6.0)
#: Lags of the delay and of the filter, ms, and weights of the filter's penalty, of which cross-validation chooses one.
SOUND_LAGS = np.arange(0.0, 20.0, 0.25)
PENALTIES = 10.0 ** np.arange(0, 7)
#: Constants of the receptors that are simulated, in the order of CONSTANTS.
TRUTHS = ((-15.0, 0.5, 5.0, -18.0, 6.5), (-7.0, 0.3, 8.0, -19.0, 5.5), (-30.0, 1.0, 3.0, -17.0, 6.0))
SPIKE_TRAINS = 8


@dataclass(frozen=True)
class Part:
    """A part of a recording, as long as the job's run.

    Attributes
    ----------
    name : str
        What to call it.
    recording : int
        1 or 2.
    start : float
        When the recording begins on the clock of the run, ms: -5000 for the second half.
    """

    name: str
    recording: int
    start: float

    @cached_property
    def sound(self) -> Any:
        """The sound, in dB."""
        file = f"nitime:data/grasshopper_stimulus{self.recording}.txt"
        return sweep.samples(file, column=1, interval=0.05, transform="dB", start=self.start)

    @cached_property
    def spikes(self) -> Any:
        """The receptor's spikes."""
        file = f"nitime:data/grasshopper_spike_times{self.recording}.txt"
        return sweep.spikes(file, time_unit="us", duration=10_000.0, start=self.start)

    def heard_by(self, job: sweep.Job) -> sweep.Job:
        """Return a job with this part as its input and its target."""
        return job.changed(input=self.sound, target=sweep.Target(self.spikes, lags=job.lags))


FITTED = Part("1a", 1, 0.0)
PARTS = (FITTED, Part("1b", 1, -5000.0), Part("2a", 2, 0.0), Part("2b", 2, -5000.0))


def fit(job: sweep.Job) -> sweep.BestSet:
    """Return the best set of a job; its ``panels`` are the best sets of each strength of the feedback."""
    return sweep.best(sweep.simulate(job))


def constants(best: sweep.BestSet) -> Array:
    """Return the constants of a best set, (constant,)."""
    return np.array([best.labels[name] for name in CONSTANTS])


def rate(job: sweep.Job, part: Part, values: Array) -> Array:
    """Return the rate of unit 0 with these constants, later by the lag, (step,)."""
    *swept, lag = values
    alone = job.changed(
        input=part.sound,
        target=None,
        report=None,
        design=sweep.grid(**{name: [value] for name, value in zip(CONSTANTS, swept, strict=False)}),
        observe=[sweep.record("r", every=1, units=[0])],
        integration=sweep.Integration(dt=job.integration.dt, duration=job.integration.duration),
    )
    return later(sweep.simulate(alone)["r"].to_numpy().astype(np.float64).ravel(), lag, job)


def later(values: Array, lag: float, job: sweep.Job) -> Array:
    """Return values later by a lag. What is then first is never looked at: it lies in the transient."""
    return np.roll(values, round(lag / job.integration.dt), axis=0)


@dataclass(frozen=True, eq=False)
class Halves:
    """The halves as arrays, (step,).

    Attributes
    ----------
    job : Job
        The job, for its timing.
    sound : mapping
        The sound of each half, dB.
    spikes : mapping
        Spikes in each step.
    """

    job: sweep.Job
    sound: Mapping[Part, Array]
    spikes: Mapping[Part, Array]

    @classmethod
    def of(cls, job: sweep.Job) -> Halves:
        """Read the recordings."""
        dt, steps = job.integration.dt, job.integration.steps
        sound = {part: part.sound.sample(0, steps, dt)[0] for part in PARTS}
        return cls(job, sound, {part: part.spikes.sample(0, steps, dt)[0] * dt for part in PARTS})

    def score(self, prediction: Array, part: Part, window: float = WINDOWS[0]) -> float:
        """Return the correlation of spike counts in windows with the prediction's means in the same windows."""
        first, width = self.job.integration.transient_steps, round(window / self.job.integration.dt)
        many = (len(prediction) - first) // width
        counts, means = (
            values[first : first + many * width].reshape(many, width).mean(axis=1)
            for values in (self.spikes[part], prediction)
        )
        return float(np.corrcoef(counts, means)[0, 1])


def delay(halves: Halves) -> Mapping[Part, Array]:
    """Return the sound, delayed by the lag that suits the fitted half best."""
    sound = halves.sound
    lag = max(SOUND_LAGS, key=lambda one: halves.score(later(sound[FITTED], one, halves.job), FITTED))
    return {part: later(sound[part], lag, halves.job) for part in PARTS}


def linear_filter(halves: Halves) -> Mapping[Part, Array]:
    """Return the sound through a linear filter: least squares on the fitted half, with a penalty chosen there."""
    first = halves.job.integration.transient_steps
    mean, deviation = halves.sound[FITTED][first:].mean(), halves.sound[FITTED][first:].std()

    def lagged(part: Part) -> Array:
        sound = (halves.sound[part] - mean) / deviation
        return np.stack([later(sound, lag, halves.job) for lag in SOUND_LAGS], axis=1)

    x, y = lagged(FITTED)[first:], halves.spikes[FITTED][first:]
    folds = [(x[fold], y[fold] - y.mean()) for fold in np.array_split(np.arange(len(y)), 5)]
    squares, products = [a.T @ a for a, _ in folds], [a.T @ b for a, b in folds]

    def solved(penalty: float, without: int | None = None) -> Array:
        kept = [i for i in range(len(folds)) if i != without]
        ridge = penalty * np.eye(len(SOUND_LAGS))
        return np.linalg.solve(sum(squares[i] for i in kept) + ridge, sum(products[i] for i in kept))

    def unseen(penalty: float) -> float:
        found = [np.corrcoef(a @ solved(penalty, i), b)[0, 1] for i, (a, b) in enumerate(folds)]
        return float(np.mean(found))

    chosen = solved(max(PENALTIES, key=unseen))
    return {part: lagged(part) @ chosen for part in PARTS}


def predictions(job: sweep.Job, best: sweep.BestSet, halves: Halves) -> Mapping[str, Mapping[Part, Array]]:
    """Return what each model predicts for each part; all were fitted to the first half of recording 1."""
    (single,) = (panel for panel in best.panels if panel.labels["W[0,1]"] == 0)
    return {
        "pure delay": delay(halves),
        "linear filter": linear_filter(halves),
        "one unit": {part: rate(job, part, constants(single)) for part in PARTS},
        "two units": {part: rate(job, part, constants(best)) for part in PARTS},
    }


def recovered(job: sweep.Job, truth: Array, trains: int) -> Array:
    """Return the constants found in spikes that were simulated with known ones, and the correlations, (train, constant + 1).

    Spikes are drawn at random, with the rate of the true set, as many as were recorded.
    """
    timing = job.integration
    expected = rate(job, FITTED, truth)
    count = Halves.of(job).spikes[FITTED].sum()
    targets = []
    for seed in range(trains):
        drawn = np.random.default_rng(seed).poisson(expected / expected.sum() * count)
        times = (np.repeat(np.arange(len(drawn)), drawn) + 0.5) * timing.dt
        targets.append(sweep.Target(sweep.spikes(times), lags=job.lags))
    ds = sweep.simulate(job.changed(target=targets))
    report = sweep.Report(variable="target_correlation", panel="target", select={"unit": 0})
    return np.array([[*constants(panel), panel.value] for panel in sweep.best(ds, report).panels])


def table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, Iterable[float]]]) -> Iterator[str]:
    """Yield the lines of a table of numbers."""
    yield f"\n{title:<34}" + "".join(f"{name:>14}" for name in columns)
    for name, values in rows:
        yield f"{name:<34}" + "".join(f"{value:>14.3g}" for value in values)


def tables(job: sweep.Job) -> Iterator[str]:
    """Yield the lines of all tables."""
    best, halves = fit(job), Halves.of(job)
    found = predictions(job, best, halves)
    for window in WINDOWS:
        rows = [(name, [halves.score(of[part], part, window) for part in PARTS]) for name, of in found.items()]
        yield from table(f"correlation, windows of {window:g} ms", [part.name for part in PARTS], rows)
    columns = (*CONSTANTS, "correlation")
    fits = {part.name: fit(part.heard_by(job)) for part in PARTS}
    yield from table("fitted to", columns, [(name, [*constants(own), own.value]) for name, own in fits.items()])
    for truth in TRUTHS:
        each = recovered(job, np.array(truth), SPIKE_TRAINS)
        rows = [("true constants", truth), ("median", np.median(each, 0)), ("from", each.min(0)), ("to", each.max(0))]
        yield from table(f"fitted to {SPIKE_TRAINS} simulated spike trains", columns, rows)


if __name__ == "__main__":
    for line in tables(sweep.load(JOB)):
        print(line, flush=True)
