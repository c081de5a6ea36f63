"""What contenders are given and what they return: arrays of float32 on the host. The clock runs in between."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweep.execution.prepare import prepare
from sweep.job import Job

#: ``mean``, ``var``, ``final`` of r, each ``(set, unit)``; ``record`` ``(set, time, unit)``; ``correlation`` ``(set, lag)``.
Outcome = dict[str, np.ndarray]
Run = Callable[[], Outcome]

#: The fastest form of a contender is found by this many tries after a first run; a form that has taken so long is not repeated.
_TRIES, _TRY_SECONDS = 2, 3.0


class Unsuited(Exception):
    """A contender cannot simulate a problem, or has no reasonable way to do so. The message says why."""


@dataclass(frozen=True, eq=False)
class Compared:
    """How rates are compared with a target: their means over windows with its values, at every lag.

    The windows of all lags begin and end between bins of some steps, the first of which begins after the transient. So a
    contender needs the sums of the rates over the bins, the means over so many bins that follow each other, and then products
    of matrices over far fewer columns than there are steps.

    Attributes
    ----------
    steps : int
        Number of steps in a bin.
    bins : int
        Number of bins in a window.
    deviations : ndarray
        The target in standard deviations from its mean, divided by the number of windows, ``(lag, bin)``. A value stands in
        the last bin of its window; other bins have 0.
    counted : ndarray
        1 / (number of windows) where these values are, else 0, ``(lag, bin)``.
    """

    steps: int
    bins: int
    deviations: np.ndarray
    counted: np.ndarray

    @property
    def width(self) -> int:
        """Number of steps in a window."""
        return self.steps * self.bins


@dataclass(frozen=True, eq=False)
class Problem:
    """A job as the arrays that a contender works with.

    Attributes
    ----------
    job : Job
        The job, as tausweep is given it. Only tau_s, tau_r, gain and threshold may differ between sets.
    """

    job: Job

    @property
    def steps(self) -> int:
        """Number of steps, the transient included."""
        return self.job.integration.steps

    @property
    def transient(self) -> int:
        """Number of steps in the transient, which no statistic includes."""
        return self.job.integration.transient_steps

    @property
    def units(self) -> int:
        """Number of units, N."""
        return self.job.model.units

    @property
    def sets(self) -> int:
        """Number of parameter sets."""
        return self.job.design.size

    @property
    def updates(self) -> int:
        """Unit-updates of the whole problem."""
        return self.units * self.sets * self.steps

    @property
    def activation(self) -> str:
        """``tanh`` or ``relu``."""
        return self.job.model.activation

    @property
    def every(self) -> int:
        """Number of steps from one record of r to the next; 0 without records."""
        return self.job.records[0].every if self.job.records else 0

    @property
    def only_correlation(self) -> bool:
        """Whether the job asks for correlations and nothing else."""
        return self.compared is not None

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        (block,) = self.job.design.blocks(self.sets)
        found = self.job.parameter_sets(block)
        alpha_s, alpha_r = found.rate_constants(self.job.integration.dt)
        chosen = {"alpha_s": alpha_s, "alpha_r": alpha_r}
        chosen |= {name: found.values[name] for name in ("gain", "threshold", "noise")}
        own = {
            name: np.ascontiguousarray(np.broadcast_to(value[:, 0], self.sets), dtype=np.float32)
            for name, value in chosen.items()
        }
        return own | {"network": found.selectors["network"]}

    @property
    def alpha_s(self) -> np.ndarray:
        """Rate constants dt / tau_s, ``(set,)``."""
        return self._values["alpha_s"]

    @property
    def alpha_r(self) -> np.ndarray:
        """Rate constants dt / tau_r, ``(set,)``."""
        return self._values["alpha_r"]

    @property
    def gain(self) -> np.ndarray:
        """The factor of W r, ``(set,)``."""
        return self._values["gain"]

    @property
    def threshold(self) -> np.ndarray | None:
        """The threshold, subtracted from x before the activation, ``(set,)``; None if it is 0 for all sets."""
        value = self._values["threshold"]
        return value if value.any() else None

    @cached_property
    def noise_scale(self) -> np.ndarray | None:
        """The standard deviation of a step's noise, sigma sqrt(2 alpha_s), ``(set,)``; None without noise."""
        sigma = self._values["noise"]
        return sigma * np.sqrt(2 * self.alpha_s) if sigma.any() else None

    @property
    def own_weights(self) -> bool:
        """Whether each set has a matrix of its own."""
        return self.weights is not None and self.weights.ndim == 3

    @cached_property
    def weights(self) -> np.ndarray | None:
        """W, ``(unit, unit)`` or ``(set, unit, unit)``; entry ``[i, j]`` is from unit j to unit i. None without weights."""
        found = self.job.model.weights
        if found is None:
            return None
        if found.ndim == 3:
            found = found[np.broadcast_to(self._values["network"], self.sets)]
        return np.ascontiguousarray(found, dtype=np.float32)

    @cached_property
    def u(self) -> np.ndarray:
        """The input of every step, ``(step,)``."""
        (signal,) = self.job.inputs
        return signal.sample(0, self.steps, self.job.integration.dt)[0].astype(np.float32)

    @cached_property
    def compared(self) -> Compared | None:
        """How the rates are compared with the target; None without one."""
        series = prepare(self.job).targets
        if series is None:
            return None
        readings, of = series.comparisons.readings, series.comparisons.of
        every = np.arange(self.transient, self.steps)
        ends = (
            [(every, every + 1)] * len(series.values)
            if not readings
            else [(readings[i].first, readings[i].stop) for i in of]
        )
        ends = [(first - self.transient, stop - self.transient) for first, stop in ends]
        if len(widths := {int(width) for first, stop in ends for width in stop - first}) > 1:
            raise Unsuited("windows of several widths")
        (width,) = widths
        steps = int(np.gcd.reduce(np.concatenate([[width], *(first for first, _ in ends)])))
        deviations = np.zeros((len(ends), (self.steps - self.transient) // steps), np.float32)
        counted = np.zeros_like(deviations)
        mean, deviation = series.mean[0, :, 0], np.sqrt(series.variance[0, :, 0])
        for lag, ((_, stop), values) in enumerate(zip(ends, series.values, strict=True)):
            counted[lag, stop // steps - 1] = 1 / len(stop)
            deviations[lag, stop // steps - 1] = (values[0] - mean[lag]) / deviation[lag] / len(stop)
        return Compared(steps, width // steps, deviations, counted)

    def prepare(self) -> None:
        """Compute every array now, so that no contender has to during its first run."""
        for name in ("_values", "weights", "u", "compared", "noise_scale"):
            getattr(self, name)


def moments(mean: np.ndarray, squares: np.ndarray, final: np.ndarray) -> Outcome:
    """Return the statistics of r, from the means over time of r and of r²."""
    return {"mean": mean, "var": squares - mean * mean, "final": final}


def correlations(products: np.ndarray, mean: np.ndarray, squares: np.ndarray) -> Outcome:
    """Return the correlations.

    Parameters
    ----------
    products : ndarray, (lag, set)
        Sums of the means of r over windows times the target's deviations.
    mean, squares : ndarray, (lag, set)
        The same, times what is counted, of these means and of their squares.
    """
    # The correlation of rates that never change is NaN.
    with np.errstate(invalid="ignore"):
        found = products / np.sqrt(squares - mean * mean)
    return {"correlation": np.ascontiguousarray(found.T, dtype=np.float32)}


@dataclass(frozen=True)
class Fastest:
    """The fastest form of a contender: a function that runs it, its name, and the seconds of making it and its first run."""

    run: Run
    form: str
    first: float

    def __call__(self) -> Outcome:
        """Simulate the problem."""
        return self.run()


def fastest(forms: Mapping[str, Callable[[], Run]]) -> Fastest:
    """Make every form of a contender, run each, and return the fastest.

    Parameters
    ----------
    forms : mapping
        Functions that make (and compile) a form, by its name.

    Returns
    -------
    Fastest
        The fastest. A form that raises an exception is not considered; if all do, the first exception is raised.
    """
    best: tuple[float, str, float, Run] | None = None
    failures: list[Exception] = []
    for name, make in forms.items():
        start = time.perf_counter()
        try:
            run = make()
            run()
            first = time.perf_counter() - start
            taken: list[float] = []
            while len(taken) < _TRIES and sum(taken) < _TRY_SECONDS:
                start = time.perf_counter()
                run()
                taken.append(time.perf_counter() - start)
        except Exception as error:  # a library may raise any exception
            failures.append(error)
            continue
        seconds = statistics.median(taken)
        if best is None or seconds < best[0]:
            best = seconds, name, first, run
    if best is None:
        raise failures[0]
    _, name, first, run = best
    return Fastest(run, name, first)
