"""Observables of a tile of sets, accumulated from stretches of its trajectory (NumPy).

The integrator hands over its states a stretch of steps at a time; everything is reduced over the stretch in the
precision of the state and added up in float64, so that millions of steps lose nothing: shifted sums, flushed
(`Chan, Golub & LeVeque 1983 <https://doi.org/10.1080/00031305.1983.10483115>`_).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sweep.backends.blas import grouped, uniform_columns
from sweep.backends.targets import TargetSeries
from sweep.job import Job
from sweep.model import Array
from sweep.observables import Record, record_steps

States = npt.NDArray[np.floating]

#: Steps observed together. A multiple of the 4 steps of one Philox block.
STRETCH = 16
#: The width of a tile is a multiple of this.
LANES = 64


class Moments:
    """Mean and variance over time, by shifted sums."""

    def __init__(self, units: int, width: int) -> None:
        self._sum = np.zeros((units, width))
        self._squares = np.zeros((units, width))
        self.shift: States | None = None

    def add(self, states: States, squares: bool) -> None:
        """Add a stretch ``(step, unit, set)``, which is left with the shift subtracted."""
        if self.shift is None:
            # Any value close to the signal will do; the first one is at hand.
            self.shift = states[0].copy()
        np.subtract(states, self.shift, out=states)
        self._sum += np.add.reduce(states, axis=0)
        if squares:
            flat = states.reshape(len(states), -1)
            self._squares += np.einsum("sn,sn->n", flat, flat).reshape(self._squares.shape)

    def mean(self, count: int) -> Array:
        """Return the mean over so many steps, ``(unit, set)``."""
        assert self.shift is not None
        return self.shift + self._sum / count

    def variance(self, count: int) -> Array:
        """Return the variance over so many steps, ``(unit, set)``."""
        return np.maximum(self._squares - self._sum * (self._sum / count), 0.0) / count


class Comparison:
    """Covariance and mean squared difference of rates and targets, for every target and lag."""

    def __init__(self, series: TargetSeries, units: int, width: int, dtype: np.dtype, names: frozenset[str]) -> None:
        self._series, self._dtype = series, dtype
        self._shape = (*series.mean.shape[:2], units, width)
        self._squares = np.zeros(self._shape) if _MSE in names else None
        self._products: Array | None = None
        if _CORRELATION in names:
            rows = self._shape[0] * self._shape[1]
            self._columns = uniform_columns(rows, STRETCH, dtype, LANES)
            self._products = np.zeros((units, width // self._columns, rows, self._columns))

    def add_squares(self, first: int, rates: States) -> None:
        """Add the squared differences of a stretch of rates ``(step, unit, set)``."""
        if self._squares is None:
            return
        series = self._series.at(first, first + len(rates)).astype(self._dtype)
        difference = np.empty_like(rates)
        flat = difference.reshape(len(rates), -1)
        for target, lags in enumerate(series):
            for lag, values in enumerate(lags):
                np.subtract(rates, values.T[:, :, None], out=difference)
                self._squares[target, lag] += np.einsum("sn,sn->n", flat, flat).reshape(self._shape[2:])

    def add_products(self, first: int, stop: int, ring: States, at: int) -> None:
        """Add the products of the target with rates from which any constant may have been subtracted.

        Parameters
        ----------
        first, stop : int
            The steps that count.
        ring : ndarray
            :data:`STRETCH` states ``(step, unit, set)``, all finite where the set is.
        at : int
            Where in the ring the state after step ``first`` stands.
        """
        if self._products is None:
            return
        # The target's deviation from its mean, and 0 where a state does not count: products of one shape, always.
        series = np.zeros((*self._series.mean.shape, STRETCH), dtype=self._dtype)
        series[..., at : at + stop - first] = self._series.at(first, stop) - self._series.mean[..., None]
        # (unit or 1, 1, target x lag, step) @ (unit, group of sets, step, set)
        left = series.reshape(-1, *series.shape[2:]).transpose(1, 0, 2)[:, None]
        self._products += np.matmul(np.ascontiguousarray(left), grouped(ring.transpose(1, 0, 2), self._columns))

    def correlation(self, count: int, variance: Array) -> Array:
        """Return Pearson's correlation ``(target, lag, unit, set)``; NaN where one side is constant."""
        assert self._products is not None
        covariance = self._products.transpose(2, 0, 1, 3).reshape(self._shape) / count
        return np.clip(covariance / np.sqrt(self._series.variance[..., None] * variance), -1.0, 1.0)

    def mse(self, count: int) -> Array:
        """Return the mean squared difference ``(target, lag, unit, set)``."""
        assert self._squares is not None
        return self._squares / count


_CORRELATION, _MSE = "target_correlation", "target_mse"


class Observation:
    """All observables of one tile.

    Parameters
    ----------
    job : Job
        What to observe.
    series : TargetSeries or None
        The targets.
    width : int
        Sets in the tile, a multiple of :data:`LANES`.
    """

    def __init__(self, job: Job, series: TargetSeries | None, width: int) -> None:
        timing, names = job.integration, job.observed
        units = job.model.units
        self._job = job
        self._count = timing.steps - timing.transient_steps
        self._squares = {of: bool(names & {f"{of}_var", f"{of}_std"}) for of in "xr"}
        self._squares["r"] |= _CORRELATION in names
        self._moments = {of: Moments(units, width) for of in "xr" if self._squares[of] or f"{of}_mean" in names}
        self._low: dict[str, States] = {}
        self._high: dict[str, States] = {}
        self._final: dict[str, States] = {}
        wanted = series is not None and names & {_CORRELATION, _MSE}
        self._comparison = Comparison(series, units, width, timing.dtype, names) if series and wanted else None
        self._records: dict[str, tuple[Record, States]] = {}
        for record in job.records:
            kept = units if record.units is None else len(record.units)
            shape = (len(record_steps(record.every, timing)), kept, width)
            self._records[record.variable] = record, np.empty(shape, dtype=timing.dtype)
        extremes = any(f"x_{name}" in names for name in ("min", "max"))
        #: Whether the states of x are needed step by step.
        self.sees_x = "x" in self._moments or "x" in self._records or extremes

    def see(self, first: int, count: int, rings: dict[str, States]) -> None:
        """Take in steps ``first`` to ``first + count``.

        Parameters
        ----------
        first, count : int
            Which steps.
        rings : dict
            By variable, the states after :data:`STRETCH` steps, ``(step, unit, set)``; those beyond ``count`` are
            not looked at. The states may be changed in place.
        """
        skip = max(0, self._job.integration.transient_steps - first)
        if skip >= count:
            return
        for of, ring in rings.items():
            self._see(of, first + skip, ring[skip:count])
        if self._comparison:
            # Here, where the moments have subtracted their shift, for that loses no digits of the deviation.
            self._comparison.add_products(first + skip, first + count, rings["r"], skip)

    def _see(self, of: str, first: int, stretch: States) -> None:
        names = self._job.observed
        if of in self._records:
            record, kept = self._records[of]
            origin = self._job.integration.transient_steps
            for row in range((first - origin) // record.every, (first - origin + len(stretch)) // record.every):
                state = stretch[origin + (row + 1) * record.every - 1 - first]
                kept[row] = state if record.units is None else state[list(record.units)]
        if f"{of}_min" in names:
            low = np.minimum.reduce(stretch, axis=0)
            self._low[of] = np.minimum(low, self._low.get(of, low))
        if f"{of}_max" in names:
            high = np.maximum.reduce(stretch, axis=0)
            self._high[of] = np.maximum(high, self._high.get(of, high))
        if self._comparison and of == "r":
            self._comparison.add_squares(first, stretch)
        if of in self._moments:
            # Last, because it changes the stretch.
            self._moments[of].add(stretch, self._squares[of])

    def results(self, final: dict[str, States], diverged: npt.NDArray[np.int64]) -> dict[str, np.ndarray]:
        """Return every observable, ``(set, ...)``.

        Parameters
        ----------
        final : dict
            The last states ``(unit, set)``.
        diverged : ndarray
            ``(set,)``: the step whose state was not finite, or -1. Such a set has no statistics, and no record from
            that step on: NaN stands there.
        """
        count, out = self._count, {}
        for of in "xr":
            if of in self._moments:
                out[f"{of}_mean"] = self._moments[of].mean(count)
                variance = self._moments[of].variance(count)
                out[f"{of}_var"], out[f"{of}_std"] = variance, np.sqrt(variance)
            if of in self._low:
                out[f"{of}_min"] = self._low[of]
            if of in self._high:
                out[f"{of}_max"] = self._high[of]
            out[f"{of}_final"] = final[of]
        if self._comparison:
            several = slice(None) if isinstance(self._job.target, tuple) else 0
            if _CORRELATION in self._job.observed:
                out[_CORRELATION] = self._comparison.correlation(count, out["r_var"])[several]
            if _MSE in self._job.observed:
                out[_MSE] = self._comparison.mse(count)[several]
        dtype = self._job.integration.dtype
        results = {
            name: np.moveaxis(value, -1, 0).astype(dtype) for name, value in out.items() if name in self._job.observed
        }
        lost = diverged >= 0
        for value in results.values():
            value[lost] = np.nan
        for of, (record, kept) in self._records.items():
            steps = record_steps(record.every, self._job.integration)
            results[of] = np.moveaxis(kept, -1, 0)
            for index in np.flatnonzero(lost):
                results[of][index, steps >= diverged[index]] = np.nan
        return results
