"""A tile of sets that stays in the cache and is simulated in place (NumPy).

Arrays are (unit, set), so that operations run along the sets, which are contiguous in memory. The states of :data:`STRETCH`
steps are kept in a ring and observed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from sweep import philox
from sweep.backends.drive import Stimuli, units_that_hear
from sweep.backends.numpy.ahead import Ahead
from sweep.backends.numpy.comparison import STRETCH, States
from sweep.backends.numpy.observation import Observation
from sweep.backends.numpy.recurrence import ProductForm, recurrence
from sweep.backends.series import TargetSeries
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.model.activations import ACTIVATIONS
from sweep.model.parameters import Array
from sweep.observables import STATUS

Progress = Callable[[int], None]


class Tile:
    """Some sets, padded to the width of a tile, from their initial state to their results."""

    def __init__(self, job: Job, series: TargetSeries | None, parameters: ParameterSets) -> None:
        timing, units = job.integration, job.model.units
        shape = (units, parameters.size)
        self._job, self._parameters = job, parameters
        self._observation = Observation(job, series, parameters.size)
        self._dtype = timing.dtype
        alpha_s, alpha_r = parameters.rate_constants(timing.dt)
        self._alpha_s, self._alpha_r = self._cast(alpha_s), self._cast(alpha_r)
        self._noise = self._cast(parameters.values["noise"] * np.sqrt(2.0 * alpha_s)) if parameters.noisy else None
        self._gain = self._unless(1.0, "gain")
        self._slope = self._unless(1.0, "slope")
        self._threshold = self._unless(0.0, "threshold")
        self._activation = ACTIVATIONS[job.model.activation].apply
        self._sequential = timing.scheme == "sequential"
        # Row 0 of a ring is the state before a stretch, and row k the state after its k-th step. If the single steps of x are
        # not needed, its ring has only one row.
        compensate = bool(parameters.compensated(job.integration).any())
        self._r = np.zeros((STRETCH + 1, *shape), dtype=self._dtype)
        deep = self._observation.sees_x or compensate
        self._x = np.empty((STRETCH + 1 if deep else 1, *shape), dtype=self._dtype)
        self._x[0], self._r[0] = self._cast(parameters.values["x0"]), self._cast(parameters.values["r0"])
        self._lost = [np.zeros(shape, dtype=self._dtype) for _ in "xr"] if compensate else [None, None]
        self._y, self._z, self._scratch = (np.empty(shape, dtype=self._dtype) for _ in range(3))
        self._recur = recurrence(ProductForm.of(job), job.model, parameters, self._r, self._y)
        self._drive = _Drive(job, parameters, self._cast, self._scratch)
        self._xi = np.empty((STRETCH, *shape), dtype=np.float32) if parameters.noisy else None
        self._diverged = np.full(parameters.size, -1, dtype=np.int64)

    def _cast(self, values: Array) -> States:
        """Transpose ``(set or 1, unit or 1)`` into ``(unit or 1, set or 1)``, in the tile's precision."""
        return np.ascontiguousarray(values.T, dtype=self._dtype)

    def _unless(self, neutral: float, name: str) -> States | None:
        """Return the parameter, or None if it has the neutral value everywhere, with which no bit changes."""
        values = self._parameters.values[name]
        return None if np.all(values == neutral) else self._cast(values)

    def run(self, progress: Progress | None, real: npt.NDArray[np.bool_]) -> dict[str, np.ndarray]:
        """Simulate all steps and return the results, ``(set, ...)``, by variable."""
        steps, sets = self._job.integration.steps, int(real.sum())
        for first in range(0, steps, STRETCH):
            count = min(STRETCH, steps - first)
            before = [self._x[0].copy(), *(lost.copy() for lost in self._lost if lost is not None)]
            self._stretch(first, count)
            if not (self._finite(count) | (self._diverged >= 0)).all():
                self._find_divergence(first, count, before)
            np.copyto(self._x[0], self._x[self._row(count)])
            last = self._r[count].copy()
            rings = {"x": self._x[1:]} if self._observation.sees_x else {}
            self._observation.see(first, count, rings | {"r": self._r[1:]})
            np.copyto(self._r[0], last)
            if progress:
                progress(sets * count)
            if (self._diverged[real] >= 0).all():
                if progress:
                    progress(sets * (steps - first - count))
                break
        results = self._observation.results({"x": self._x[0], "r": self._r[0]}, self._diverged)
        lost = self._diverged >= 0
        results["status"] = np.where(lost, STATUS["diverged"], STATUS["ok"]).astype(np.int8)
        results["diverged_at"] = np.where(lost, (self._diverged + 1) * self._job.integration.dt, np.nan)
        return results

    def _row(self, step: int) -> int:
        return step if len(self._x) > 1 else 0

    def _finite(self, row: int) -> npt.NDArray[np.bool_]:
        """Return which sets have a finite state, ``(set,)``. This tests the state and not f of it, because tanh(inf) = 1."""
        return np.asarray((np.isfinite(self._x[self._row(row)]) & np.isfinite(self._r[row])).all(axis=0))

    def _find_divergence(self, first: int, count: int, before: list[States]) -> None:
        """Simulate a stretch again, and test the state after every step."""
        self._x[0] = before[0]
        for lost, value in zip(self._lost, before[1:], strict=False):
            assert lost is not None
            np.copyto(lost, value)
        for row in self._steps(first, count):
            fresh = ~self._finite(row) & (self._diverged < 0)
            self._diverged[fresh] = first + row - 1

    def _stretch(self, first: int, count: int) -> None:
        for _ in self._steps(first, count):
            pass

    def _steps(self, first: int, count: int) -> Iterator[int]:
        """Simulate ``count`` steps from ``first`` on, and after each yield the row of the ring with the new state."""
        drive = self._drive.stretch(first, count)
        noise = self._noise
        if noise is not None and self._xi is not None:
            philox.normals(
                self._job.seed,
                self._parameters.stream,
                self._job.model.units,
                first,
                first + count,
                out=self._xi[:count],
            )
        x, r, y, z = self._x, self._r, self._y, self._z
        lost_x, lost_r = self._lost
        for k in range(count):
            old, new = (k, k + 1) if len(x) > 1 else (0, 0)
            if self._recur is None:
                np.subtract(drive(k), x[old], out=y)
            else:
                self._recur(k)
                if self._gain is not None:
                    np.multiply(y, self._gain, out=y)
                np.add(y, drive(k), out=y)
                np.subtract(y, x[old], out=y)
            np.multiply(y, self._alpha_s, out=y)
            if noise is not None and self._xi is not None:
                np.multiply(self._xi[k], noise, out=self._scratch)
                np.add(y, self._scratch, out=y)
            if self._sequential:
                _add(x[old], y, x[new], lost_x)
            self._rates(x[new] if self._sequential else x[old], z)
            np.subtract(z, r[k], out=z)
            np.multiply(z, self._alpha_r, out=z)
            _add(r[k], z, r[k + 1], lost_r)
            if not self._sequential:
                _add(x[old], y, x[new], lost_x)
            yield k + 1

    def _rates(self, x: States, out: States) -> None:
        """Put f(slope * (x - threshold)) into ``out``."""
        if self._threshold is not None:
            x = np.subtract(x, self._threshold, out=out)
        if self._slope is not None:
            x = np.multiply(x, self._slope, out=out)
        self._activation(x, out, self._scratch)


def _add(state: States, increment: States, out: States, lost: States | None) -> None:
    """Write state + increment to ``out``. If ``lost`` is given, it corrects the rounding error and keeps the new one.

    This is the compensated sum of `Kahan (1965) <https://doi.org/10.1145/363707.363723>`_. For it ``out`` must not be
    ``state``.
    """
    if lost is None:
        np.add(state, increment, out=out)
        return
    np.subtract(increment, lost, out=increment)
    np.add(state, increment, out=out)
    np.subtract(out, state, out=lost)
    np.subtract(lost, increment, out=lost)


class _Drive:
    """input_gain * U u(t) + bias, the part of the synaptic current that does not depend on the network."""

    def __init__(self, job: Job, parameters: ParameterSets, cast: Callable[[Array], States], scratch: States) -> None:
        self._scratch = scratch
        self._gain, self._bias = cast(parameters.values["input_gain"]), cast(parameters.values["bias"])
        self._stimuli = Stimuli.of(job, parameters)
        self._stimulus: slice | npt.NDArray[np.int64] = self._stimuli.of_set
        self._common = self._gain.size == 1 and self._bias.shape[1] == 1 and len(self._stimulus) == 1
        if np.array_equal(self._stimulus, np.arange(self._stimuli.count)):
            self._stimulus = slice(None)  # each set has its own, so nothing is looked up
        self._rows = units_that_hear(job)
        elements = self._stimuli.count * self._rows
        self._values = Ahead(self._compute, job.integration.steps, elements) if job.inputs else None

    def _compute(self, first: int, stop: int) -> States:
        """Return U u(t) of steps, ``(step, unit or 1, stimulus)``; if the whole drive is common to all sets, return that."""
        driven = self._stimuli.drive(first, stop, self._bias.dtype, self._rows)
        return driven[:, :, self._stimulus] * self._gain + self._bias if self._common else driven

    def stretch(self, first: int, count: int) -> Callable[[int], States]:
        """Return a function of k that returns the drive in step ``first + k``, ``(unit, set or 1)``."""
        if self._values is None:
            return lambda k: self._bias
        values = self._values(first, first + count)
        if self._common:
            return lambda k: values[k]

        def per_set(k: int) -> States:
            heard = self._scratch[: self._rows]
            np.multiply(values[k][:, self._stimulus], self._gain, out=heard)
            return np.add(heard, self._bias, out=self._scratch)

        return per_set
