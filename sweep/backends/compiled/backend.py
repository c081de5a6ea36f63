"""The back end that runs the kernels of ``kernels/``, on any device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from sweep.backends.compiled import layout
from sweep.backends.compiled.batch import Arrays, Batch, Places, Progress
from sweep.backends.compiled.device import RECORD_BYTES, SERIES_BYTES, Compared, Device
from sweep.backends.compiled.kernel import Needs
from sweep.backends.drive import Stimuli, most_stimuli
from sweep.backends.protocol import PreparedJob
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError
from sweep.job import Job

#: Number of calls of simulate at the same time. While one copies its results and its block is written, the device works for
#: the other.
_AT_ONCE = 2


class KernelBackend:
    """A back end that simulates with the kernels of ``kernels/``.

    Parameters
    ----------
    name : str
        Name of the back end.
    device : Device
        The device that the kernels run on.
    """

    #: A few tiles of a CPU. On a GPU the blocks of a job are not divided any further.
    least_units = 2**10

    def __init__(self, name: str, device: Device) -> None:
        self.name = name
        self._device = device

    @property
    def speed(self) -> float:
        """Lane-instructions per second of the device, approximately."""
        return self._device.speed

    def concurrency(self, cores: int) -> int:
        """Return two: one call computes while the results of the other are copied back and written."""
        return _AT_ONCE

    def describe(self, job: Job) -> str:
        """Return which kernel simulates a job, in words, and the number of passes if there are several."""
        kernels = self._device.passes(Needs.of(job, compensated=False))
        several = f", {len(kernels)} passes" if len(kernels) > 1 else ""
        return kernels[0][1].describe() + several

    def compile(self, job: Job) -> None:
        """Compile the kernels; see :class:`sweep.backends.protocol.Backend`."""
        for compensated in _kinds(job.parameter_sets(job.blocks[0]), job):
            for _, kernel in self._device.passes(Needs.of(job, compensated)):
                self._device.load(kernel.specialisation)

    def simulate(
        self,
        prepared: PreparedJob,
        parameters: ParameterSets,
        *,
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> Arrays:
        """Simulate some sets; see :class:`sweep.backends.protocol.Backend`."""
        job = prepared.job
        results = _empty(job, parameters.size)
        # A set that diverges overflows in the sums. That is expected, so NumPy must not warn.
        with self._device.session(), np.errstate(all="ignore"):
            for compensated, chosen in _kinds(parameters, job).items():
                kernels = self._device.passes(Needs.of(job, compensated))
                most = self._most_sets(job, kernels, batch)
                groups = _hearing(job, parameters, chosen, kernels[0][1].needs.stimuli)
                for part in itertools.chain.from_iterable(_parts(group, most) for group in groups):
                    one = Batch(self._device, job, kernels, parameters.take(part), prepared.targets)
                    if isinstance(part, slice):
                        one.run({name: values[part] for name, values in results.items()}, progress)
                        continue
                    own = _empty(job, len(part))
                    one.run(own, progress)
                    for name, values in own.items():
                        results[name][part] = values
        return results

    def working_bytes(self, job: Job, sets: int, batch: int | None = None) -> int:
        """Return about how many bytes of the host's memory a call of :meth:`simulate` needs, without its results."""
        kernels = self._device.passes(Needs.of(job, compensated=False))
        width = min(sets, self._most_sets(job, kernels, batch))
        series = max(SERIES_BYTES, layout.series_bytes(kernels[0][1]))
        return 2 * width * layout.batch_bytes(job, kernels[0][1]) + series + RECORD_BYTES * bool(job.records)

    def _most_sets(self, job: Job, kernels: Sequence[Compared], batch: int | None) -> int:
        """Return how many sets a batch has at most, limited by the device's memory, its cache and the length of a launch."""
        kernel = max((kernel for _, kernel in kernels), key=lambda kernel: layout.batch_bytes(job, kernel))
        needs, each = kernel.needs, layout.batch_bytes(job, kernel)
        room = self._device.free_bytes() // _AT_ONCE - max(SERIES_BYTES, layout.series_bytes(kernel))
        if job.records:
            room -= RECORD_BYTES
        most = room // each
        if most < kernel.tile_sets:
            raise BackendError(
                f"the device has {self._device.free_bytes() / 2**20:.0f} MiB of free memory, but the smallest batch, "
                f"{kernel.tile_sets} sets of {needs.units} units, needs {kernel.tile_sets * each / 2**20:.0f} MiB besides the "
                "input. Free memory on the device, observe less, or use backend = 'numpy'."
            )
        if kernel.one_step:
            most = min(most, max(4 * kernel.tile_sets, self._device.cache_bytes // each))
        if job.records:
            steps = -(-layout.LONGEST_SEGMENT // job.records[0].every)
            most = min(most, RECORD_BYTES // (steps * len(job.records) * needs.units * needs.itemsize))
        updates = self._device.launch_seconds * self._device.speed / kernel.instructions
        if not kernel.one_step:
            most = min(most, int(updates / (needs.units * min(layout.LONGEST_SEGMENT, job.integration.steps))))
        least = math.lcm(*(kernel.tile_sets for _, kernel in kernels))
        # Whole tiles, so that only the last batch is padded.
        most = max(most // least, 1) * least
        return min(batch or most, most)


def _kinds(parameters: ParameterSets, job: Job) -> dict[bool, Places]:
    """Return the sets that need compensated sums (key True) and those that do not; a slice if all are of one kind."""
    needed = parameters.compensated(job.integration)
    if needed.all() or not needed.any():
        return {bool(needed[0]): slice(0, parameters.size)}
    return {kind: np.flatnonzero(needed == kind) for kind in (False, True)}


def _hearing(job: Job, parameters: ParameterSets, chosen: Places, room: int) -> Iterator[Places]:
    """Divide sets into groups that hear at most ``room`` stimuli each, with all sets of a stimulus in the same group."""
    if most_stimuli(job) <= room:
        yield chosen
        return
    index = np.arange(parameters.size)[chosen]
    _, heard = np.unique(Stimuli.of(job, parameters).of_set[index], return_inverse=True)
    order = np.argsort(heard, kind="stable")
    yield from np.split(index[order], np.flatnonzero(np.diff(heard[order] // room)) + 1)


def _parts(chosen: Places, most: int) -> Iterator[Places]:
    """Cut sets into parts of at most ``most`` sets."""
    if isinstance(chosen, slice):
        return (slice(start, min(start + most, chosen.stop)) for start in range(0, chosen.stop, most))
    return (chosen[start : start + most] for start in range(0, len(chosen), most))


def _empty(job: Job, sets: int) -> Arrays:
    """Return empty arrays for the results of some sets."""
    return {variable.name: np.empty((sets, *variable.shape), dtype=variable.dtype) for variable in job.variables}
