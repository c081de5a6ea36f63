"""Observables of a tile of sets, accumulated from stretches of its trajectory (NumPy).

The tile hands over its states for a stretch of steps at a time. Sums over the stretch are in the precision of the state; the
totals are in float64. All sums are of values minus a shift, so that millions of steps lose no precision
(`Chan, Golub & LeVeque 1983 <https://doi.org/10.1080/00031305.1983.10483115>`_).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sweep.backends.numpy.comparison import Comparison, InEveryStep, States, WhereMeasured
from sweep.backends.series import TargetSeries
from sweep.job import Job
from sweep.model.parameters import Array
from sweep.observables import CORRELATION, MSE, VARIABLES, Record, record_steps, wanted
from sweep.observables.statistics import Accumulated


class Moments:
    """Mean over time, and variance if it is wanted, from shifted sums.

    The shift must be close to the signal; otherwise rounding errors are as large as a small variance. So a new shift is taken
    from the signal whenever the number of stretches has doubled. Then it does not matter for long if the start is far from
    the later values.

    Attributes
    ----------
    shift : ndarray
        The number subtracted from the states, ``(unit, set)``.
    moved : ndarray or None
        By how much the shift has changed with the last stretch, ``(unit, set)``; None if it has not.
    """

    def __init__(self, order: int, units: int, width: int, dtype: np.dtype) -> None:
        self._order = order
        self._sum = np.zeros((units, width))
        self._squares = np.zeros((units, width))
        self._stretches = self._steps = 0
        self.shift: States = np.zeros((units, width), dtype=dtype)
        self.moved: Array | None = None

    def add(self, states: States) -> None:
        """Add a stretch ``(step, unit, set)``. The shift is subtracted from it in place."""
        self._stretches += 1
        self.moved = None
        if self._stretches.bit_count() == 1:
            self._move(states[0])
        self._steps += len(states)
        np.subtract(states, self.shift, out=states)
        self._sum += np.add.reduce(states, axis=0)
        if self._order > 1:
            flat = states.reshape(len(states), -1)
            self._squares += np.einsum("sn,sn->n", flat, flat).reshape(self._squares.shape)

    def _move(self, shift: States) -> None:
        moved = np.subtract(shift, self.shift, dtype=np.float64)
        self.moved = moved
        self._squares += moved * (self._steps * moved - 2 * self._sum)
        self._sum -= self._steps * moved
        self.shift = shift.copy()

    def values(self, count: int) -> list[Array]:
        """Return the mean over ``count`` steps, and the variance if it is wanted, each ``(unit, set)``."""
        mean = self.shift + self._sum / count
        variance = np.maximum(self._squares - self._sum * (self._sum / count), 0.0) / count
        return [mean, variance][: self._order]


class Observation:
    """All observables of one tile.

    Parameters
    ----------
    job : Job
        The job, which says what to observe.
    series : TargetSeries or None
        The targets.
    width : int
        Number of sets in the tile, a multiple of 64.
    """

    def __init__(self, job: Job, series: TargetSeries | None, width: int) -> None:
        timing, names = job.integration, job.observed
        units = job.model.units
        self._job = job
        self._count = timing.steps - timing.transient_steps
        self._wanted = {of: wanted(names, of, job.comparisons.every_step) for of in VARIABLES}
        self._moments = {
            of: Moments(own.moments, units, width, timing.dtype) for of, own in self._wanted.items() if own.moments
        }
        self._running = {
            of: {number: np.full((units, width), number.start, timing.dtype) for number in own.running}
            for of, own in self._wanted.items()
        }
        self._comparison: Comparison | None = None
        if series is not None and names & {CORRELATION, MSE}:
            kind = InEveryStep if series.comparisons.every_step else WhereMeasured
            self._comparison = kind(series, units, width, timing.dtype, names)
        self._records: dict[str, tuple[Record, States]] = {}
        for record in job.records:
            kept = units if record.units is None else len(record.units)
            shape = (len(record_steps(record.every, timing)), kept, width)
            self._records[record.variable] = record, np.empty(shape, dtype=timing.dtype)
        #: Whether the state of x is needed after every step.
        self.sees_x = bool("x" in self._moments or "x" in self._records or self._running["x"])

    def see(self, first: int, count: int, rings: dict[str, States]) -> None:
        """Observe steps ``first`` to ``first + count - 1``.

        Parameters
        ----------
        first, count : int
            The first step, and the number of steps.
        rings : dict
            The states after the steps of a stretch, ``(step, unit, set)``, by variable (``"x"``, ``"r"``). Only the first
            ``count`` are used. The states may be changed in place.
        """
        skip = max(0, self._job.integration.transient_steps - first)
        if skip >= count:
            return
        for of, ring in rings.items():
            self._see(of, first + skip, ring[skip:count])
        if self._comparison:
            # After the moments have subtracted their shift, because then the products do not lose digits.
            moved = self._moments["r"].moved if "r" in self._moments else None
            self._comparison.see_shifted(first + skip, first + count, rings["r"], skip, moved)

    def _see(self, of: str, first: int, stretch: States) -> None:
        if of in self._records:
            record, kept = self._records[of]
            origin = self._job.integration.transient_steps
            for row in range((first - origin) // record.every, (first - origin + len(stretch)) // record.every):
                state = stretch[origin + (row + 1) * record.every - 1 - first]
                kept[row] = state if record.units is None else state[list(record.units)]
        for number, so_far in self._running[of].items():
            number.update(so_far, stretch)
        if self._comparison and of == "r":
            self._comparison.see(first, stretch)
        if of in self._moments:
            # The moments come last, because they change the stretch.
            self._moments[of].add(stretch)

    def results(self, final: dict[str, States], diverged: npt.NDArray[np.int64]) -> dict[str, np.ndarray]:
        """Return every observable that the job asks for, ``(set, ...)``, by name.

        Parameters
        ----------
        final : dict
            The last states ``(unit, set)``, by variable.
        diverged : ndarray
            ``(set,)``: the first step after which the state was not finite, or -1. The statistics of a set that diverged
            are NaN, and so are its records from that step on.
        """
        count = self._count
        out: dict[str, np.ndarray] = {}
        for of, own in self._wanted.items():
            accumulated = Accumulated(
                final=final[of],
                moments=self._moments[of].values(count) if of in self._moments else (),
                running={number.kernel: so_far for number, so_far in self._running[of].items()},
            )
            out |= {f"{of}_{name}": value for name, value in own.values(accumulated).items()}
        if self._comparison:
            several = slice(None) if isinstance(self._job.target, tuple) else 0
            if CORRELATION in self._job.observed:
                out[CORRELATION] = self._comparison.correlation(out.get("r_var"))[several]
            if MSE in self._job.observed:
                out[MSE] = self._comparison.mse()[several]
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
