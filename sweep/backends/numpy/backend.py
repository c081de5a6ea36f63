"""The NumPy back end: it simulates tiles of sets, which stay in the cache, in place.

A set's results do not depend on the size of the tile or on the other sets in it. Operations are elementwise, matrix products
have a fixed shape (:mod:`sweep.backends.numpy.recurrence`), and statistics are flushed at fixed steps of the simulation.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sweep.backends.drive import most_stimuli, units_that_hear
from sweep.backends.numpy.ahead import AHEAD_ELEMENTS
from sweep.backends.numpy.blas import one_blas_thread
from sweep.backends.numpy.comparison import STRETCH
from sweep.backends.numpy.recurrence import ProductForm
from sweep.backends.numpy.tile import Progress, Tile
from sweep.backends.protocol import Entry, PreparedJob, Probe, cpu
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.observables import OBSERVABLES

#: The largest number of elements in an array of a tile: 512 KiB in float32. A core's share of the cache holds several of these.
TILE_ELEMENTS = 2**17
#: The largest number of sums with which a tile compares its sets with targets: 8 MiB.
COMPARISON_ELEMENTS = 2**20
#: With fewer elements than this an operation is so short that threads mostly pass the interpreter's lock to each other, and
#: two are slower than one. So they take turns with whole tiles.
NARROW_ELEMENTS = 2**14
#: The largest number of elements of a tile whose sets hear inputs of their own, which are computed a few steps ahead.
HEARING_ELEMENTS = 2**15
_turn = threading.Lock()


class NumpyBackend:
    """The back end that runs on any CPU. In float64 it is the reference for all others."""

    name = "numpy"
    #: With smaller arrays threads would wait for each other.
    least_units = 2**13

    def concurrency(self, cores: int) -> int:
        """Return one call per core; see :class:`sweep.backends.protocol.Backend`."""
        return cores

    def devices(self) -> tuple[str, ...]:
        """Return none; see :class:`sweep.backends.protocol.Backend`."""
        return ()

    def describe(self, job: Job) -> str:
        """Return a tile's width and how W r is computed; see :class:`sweep.backends.protocol.Backend`."""
        form, width = ProductForm.of(job), _width(job, math.prod(job.blocks.shape), None)
        coupled = job.model.weights is not None or form.per_set
        how = "elementwise" if form.elementwise else f"in products of {form.columns} columns"
        return f"tiles of at most {width} sets, {job.integration.precision}, {f'W r {how}' if coupled else 'no W'}"

    def compile(self, job: Job) -> None:
        """Do nothing, because there is nothing to compile; see :class:`sweep.backends.protocol.Backend`."""

    def simulate(
        self,
        prepared: PreparedJob,
        parameters: ParameterSets,
        *,
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """Simulate some sets; see :class:`sweep.backends.protocol.Backend`."""
        job = prepared.job
        results = {
            variable.name: np.empty((parameters.size, *variable.shape), dtype=variable.dtype)
            for variable in job.variables
        }
        with one_blas_thread(), np.errstate(all="ignore"):
            for index in _tiles(job, parameters, batch):
                real = index >= 0
                narrow = len(index) * job.model.units < NARROW_ELEMENTS
                with _turn if narrow else contextlib.nullcontext():
                    tile = Tile(job, prepared.targets, parameters.take(np.where(real, index, index[0])))
                    values = tile.run(progress, real)
                for name, value in values.items():
                    results[name][index[real]] = value[real]
        return results

    def working_bytes(self, job: Job, sets: int, batch: int | None = None) -> int:
        """Return about how many bytes a call of :meth:`simulate` needs, without its results."""
        units, width, form = job.model.units, _width(job, sets, batch), ProductForm.of(job)
        itemsize = job.integration.dtype.itemsize
        states = units * width * itemsize * (2 * STRETCH + 24)
        records = width * sum(variable.bytes_per_set for variable in job.variables if "time" in variable.dims)
        # Sums of products, sums of squares, and one copy while they become results.
        readings = len(job.comparisons.readings)
        comparisons = 3 * 8 * units * width * (_comparisons(job) + readings)
        if readings:  # a stretch in float64, and its running sums
            comparisons += 2 * 8 * (STRETCH + 1) * units * width
        lasts = job.integration.duration + max((0.0, *job.lags)) - min((0.0, *job.lags))
        channels = units if any(target.signal.channels != 1 for target in job.targets) else 1
        targets = 2 * 8 * len(job.targets) * channels * round(lasts / job.integration.dt)
        heard = STRETCH * units_that_hear(job) * min(width, most_stimuli(job))
        inputs = (2 * 8 + itemsize) * max(AHEAD_ELEMENTS, heard) if job.input_numbers else 0
        own = width if form.elementwise and form.per_set else width // form.share if form.share > 1 else 1
        return states + records + comparisons + targets + inputs + own * units**2 * (itemsize + 8)


def _width(job: Job, sets: int, batch: int | None) -> int:
    """Return the width of a tile. It fits the cache and the batch, and all tiles get about as many sets."""
    form = ProductForm.of(job)
    heard = most_stimuli(job) * units_that_hear(job) if job.input_numbers else 0
    most = form.widest(job.model.units, TILE_ELEMENTS if heard <= HEARING_ELEMENTS else HEARING_ELEMENTS)
    most = min(most, COMPARISON_ELEMENTS // (job.model.units * max(1, _comparisons(job))), batch or most)
    most = max(1, most // form.multiple) * form.multiple
    shares = -(-sets // most)
    return _round_up(-(-sets // shares), form.multiple)


def _comparisons(job: Job) -> int:
    """Return how many numbers a unit is compared with in a step: one for each target and lag."""
    compared = any(OBSERVABLES[name].compares for name in job.observed)
    return len(job.targets) * len(job.lags) if compared else 0


def _tiles(job: Job, parameters: ParameterSets, batch: int | None) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the sets of each tile, as indices; -1 is padding, so that the sets of one matrix product share a network.

    Sets that need compensated sums and sets that do not are never in the same tile.
    """
    form = ProductForm.of(job)
    compensated = np.broadcast_to(parameters.compensated(job.integration), (parameters.size,))
    network = np.broadcast_to(parameters.selectors["network"], (parameters.size,))
    for kind in np.unique(compensated):
        chosen = np.flatnonzero(compensated == kind)
        if form.share > 1:
            groups = [chosen[network[chosen] == each] for each in np.unique(network[chosen])]
            chosen = np.concatenate([_pad(group, form.share) for group in groups])
        width = _width(job, len(chosen), batch)
        for start in range(0, len(chosen), width):
            yield _pad(chosen[start : start + width], form.multiple)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _pad(index: npt.NDArray[np.intp], multiple: int) -> npt.NDArray[np.intp]:
    return np.pad(index, (0, _round_up(len(index), multiple) - len(index)), constant_values=-1)


def _probe() -> Probe:
    return Probe(name="numpy", works=True, reason=f"NumPy {np.__version__}, on the CPU", device=cpu())


ENTRY = Entry(name="numpy", rank=2, probe=_probe, load=NumpyBackend)
