"""Comparisons of the rates of a tile of sets with targets (NumPy)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sweep.backends.numpy.ahead import Ahead
from sweep.backends.numpy.blas import grouped, uniform_columns
from sweep.backends.series import TargetSeries
from sweep.model.parameters import Array
from sweep.observables import CORRELATION, MSE

States = npt.NDArray[np.floating]

#: Number of steps observed together: a multiple of the 4 steps that one call of the noise may serve.
STRETCH = 16
#: The number of sets in a tile is a multiple of this.
LANES = 64


class Comparison(Protocol):
    """Covariance and mean squared difference of rates and targets, for every target and lag."""

    def see(self, first: int, rates: States) -> None:
        """Compare a stretch of rates ``(step, unit, set)``, the states after step ``first`` and those that follow."""
        ...

    def see_shifted(self, first: int, stop: int, ring: States, at: int, moved: Array | None) -> None:
        """Compare the same rates after a shift, which keeps them small, has been subtracted.

        Parameters
        ----------
        first, stop : int
            Steps ``first`` to ``stop - 1`` are compared.
        ring : ndarray
            :data:`STRETCH` states ``(step, unit, set)``. For a set that has not diverged all of them are finite.
        at : int
            The row of the ring with the state after step ``first``.
        moved : ndarray or None
            By how much the shift has changed since the last call, ``(unit, set)``; None if it has not.
        """
        ...

    def correlation(self, variance: Array | None) -> Array:
        """Return Pearson's correlation ``(target, lag, unit, set)``; NaN where the rates or the target are constant.

        Parameters
        ----------
        variance : ndarray or None
            Variance of the rates over the observed steps, ``(unit, set)``; only needed if every step is compared.
        """
        ...

    def mse(self) -> Array:
        """Return the mean squared difference ``(target, lag, unit, set)``."""
        ...


class InEveryStep:
    """Comparisons with a target that has a value for every observed step."""

    def __init__(self, series: TargetSeries, units: int, width: int, dtype: np.dtype, names: frozenset[str]) -> None:
        self._series, self._dtype = series, dtype
        self._shape = (*series.mean.shape[:2], units, width)
        self._squares = np.zeros(self._shape) if MSE in names else None
        self._products: Array | None = None
        end, numbers = series.origin + int(series.count.max()), series.mean.size
        self._targets = Ahead(lambda a, b: self._stacked(series.each(a, b)), end, numbers)
        self._deviating = Ahead(self._deviations_of, end, numbers)
        if CORRELATION in names:
            rows = self._shape[0] * self._shape[1]
            self._columns = uniform_columns(rows, STRETCH, dtype, LANES)
            self._products = np.zeros((units, width // self._columns, rows, self._columns))
            # Sums of the target's deviations so far. With these the products are corrected when the shift changes.
            self._deviations = np.zeros((series.mean.shape[2], 1, rows, 1))

    def _stacked(self, each: list[Array]) -> States:
        """Return numbers of all comparisons, ``(step, target, lag, unit or 1)``."""
        return np.moveaxis(np.stack(each).reshape(*self._series.mean.shape, -1), -1, 0).astype(self._dtype)

    def _deviations_of(self, first: int, stop: int) -> States:
        """Return the targets' deviations from their means, ``(step, unit or 1, target x lag)``."""
        return np.stack(self._series.deviations(first, stop)).transpose(2, 1, 0).astype(self._dtype)

    def see(self, first: int, rates: States) -> None:
        """Add the squared differences; see `Comparison`."""
        if self._squares is None:
            return
        series = np.moveaxis(self._targets(first, first + len(rates)), 0, -1)
        difference = np.empty_like(rates)
        flat = difference.reshape(len(rates), -1)
        for target, lags in enumerate(series):
            for lag, values in enumerate(lags):
                np.subtract(rates, values.T[:, :, None], out=difference)
                self._squares[target, lag] += np.einsum("sn,sn->n", flat, flat).reshape(self._shape[2:])

    def see_shifted(self, first: int, stop: int, ring: States, at: int, moved: Array | None) -> None:
        """Add the products with the target; see `Comparison`."""
        if self._products is None:
            return
        if moved is not None:
            self._products -= self._deviations * grouped(moved[:, None], self._columns)
        # The target's deviation from its mean, and 0 for a state that is not compared, so that all products have one shape.
        # (unit or 1, 1, target x lag, step) @ (unit, group of sets, step, set)
        left = np.zeros((*self._deviations.shape[:3], STRETCH), dtype=self._dtype)
        left[:, 0, :, at : at + stop - first] = np.moveaxis(self._deviating(first, stop), 0, -1)
        self._products += np.matmul(left, grouped(ring.transpose(1, 0, 2), self._columns))
        self._deviations += left.sum(axis=-1, dtype=np.float64)[..., None]

    def correlation(self, variance: Array | None) -> Array:
        """Return Pearson's correlation; see `Comparison`."""
        assert self._products is not None
        assert variance is not None
        covariance = self._products.transpose(2, 0, 1, 3).reshape(self._shape)
        return self._series.correlation(covariance / self._series.count.max(), variance)

    def mse(self) -> Array:
        """Return the mean squared difference; see `Comparison`."""
        assert self._squares is not None
        return self._squares / int(self._series.count.max())


class WhereMeasured:
    """Comparisons with targets that were measured at some times or over windows, each once for each measurement.

    A measurement is compared after its last step, with the mean of the rates over its steps. All sums are in float64.
    """

    def __init__(self, series: TargetSeries, units: int, width: int, dtype: np.dtype, names: frozenset[str]) -> None:
        self._series, self._names = series, names
        self._readings, number = series.comparisons.readings, len(series.values)
        self._of = [np.flatnonzero(np.equal(series.comparisons.of, q)) for q in range(len(self._readings))]
        self._means = series.mean.reshape(number, -1)
        #: Of each reading: the first measurement that is not over, and the sum of the rates over its steps so far.
        self._next = [0] * len(self._readings)
        self._open = np.zeros((len(self._readings), units, width))
        self._mean, self._squared = np.zeros((2, len(self._readings), units, width))
        self._products, self._squares = np.zeros((2, number, units, width))
        #: Sums of the target's deviations. They are 0 but for rounding, which a mean of the rates would make large.
        self._deviations = np.zeros((number, self._means.shape[1], 1))
        #: The rates after the first step. Without it the means of constant rates would differ by rounding, and so correlate.
        self._shift: Array | None = None
        self._long = any((reading.stop - reading.first > 1).any() for reading in self._readings)

    def see(self, first: int, rates: States) -> None:
        """Compare where measurements end; see `Comparison`."""
        if self._shift is None:
            self._shift = rates[0].astype(np.float64)
        rates = rates - self._shift
        sums = np.zeros((len(rates) + 1, *rates.shape[1:])) if self._long else None
        if sums is not None:
            np.cumsum(rates, axis=0, out=sums[1:])
        for number, reading in enumerate(self._readings):
            while self._next[number] < reading.count:
                at = self._next[number]
                begin, end = max(int(reading.first[at]) - first, 0), int(reading.stop[at]) - first
                stop = min(end, len(rates))
                if begin >= stop:
                    break
                if sums is None or stop == begin + 1:
                    self._open[number] += rates[begin]
                else:
                    self._open[number] += sums[stop] - sums[begin]
                if end > stop:
                    break
                self._compare(number, at, self._open[number] / (reading.stop[at] - reading.first[at]))
                self._open[number] = 0.0
                self._next[number] += 1

    def _compare(self, reading: int, at: int, mean: Array) -> None:
        """Compare a mean of the rates minus the shift, ``(unit, set)``, with a measurement."""
        assert self._shift is not None
        if CORRELATION in self._names:
            apart = mean - self._mean[reading]
            self._mean[reading] += apart / (at + 1)
            self._squared[reading] += apart * (mean - self._mean[reading])
        for number in self._of[reading]:
            value = self._series.values[number][:, at]
            if CORRELATION in self._names:
                deviation = (value - self._means[number])[:, None]
                self._products[number] += mean * deviation
                self._deviations[number] += deviation
            if MSE in self._names:
                self._squares[number] += (mean - (value[:, None] - self._shift)) ** 2

    def see_shifted(self, first: int, stop: int, ring: States, at: int, moved: Array | None) -> None:
        """Do nothing, because sums in float64 need no shift; see `Comparison`."""

    def _by_lag(self, sums: Array) -> Array:
        count = self._series.count
        return np.asarray(sums.reshape(*count.shape, *sums.shape[1:]) / count[..., None, None])

    def correlation(self, variance: Array | None) -> Array:
        """Return Pearson's correlation over the measurements; see `Comparison`."""
        of = list(self._series.comparisons.of)
        products = self._products - self._mean[of] * self._deviations
        return self._series.correlation(self._by_lag(products), self._by_lag(self._squared[of]))

    def mse(self) -> Array:
        """Return the mean squared difference; see `Comparison`."""
        return self._by_lag(self._squares)
