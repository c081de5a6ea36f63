"""The back end of the kernels in ``kernels/``, on any device that runs them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from sweep.backends.compiled import layout as marshal
from sweep.backends.compiled.batch import Arrays, Batch, Places, Progress
from sweep.backends.compiled.device import RECORD_BYTES, SERIES_BYTES, Compared, Device
from sweep.backends.compiled.kernel import Needs
from sweep.backends.protocol import PreparedJob
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError
from sweep.job import Job

#: Calls of simulate at once: while one copies back and its block is written, the device works for the other.
_AT_ONCE = 2


class KernelBackend:
    """Takes the steps with the kernels of ``kernels/``.

    Parameters
    ----------
    name : str
        Of the back end.
    device : Device
        Where they run.
    """

    #: Some tiles of a CPU; on a GPU the blocks of a job are not shared out any further.
    least_units = 2**10

    def __init__(self, name: str, device: Device) -> None:
        self.name = name
        self._device = device

    @property
    def speed(self) -> float:
        """Lane-instructions per second of the device, about."""
        return self._device.speed

    def concurrency(self, cores: int) -> int:
        """Return two: one computes while the other's results are copied back and written."""
        return _AT_ONCE

    def describe(self, job: Job) -> str:
        """Say in words which kernel takes the steps, and how often where once is not enough."""
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
        # What a set that diverges makes of the sums is no surprise.
        with self._device.session(), np.errstate(all="ignore"):
            for compensated, chosen in _kinds(parameters, job).items():
                kernels = self._device.passes(Needs.of(job, compensated))
                for part in _parts(chosen, self._most_sets(job, kernels, batch)):
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
        """Return about how many bytes of the host's memory a call needs, the results not counted."""
        kernels = self._device.passes(Needs.of(job, compensated=False))
        width = min(sets, self._most_sets(job, kernels, batch))
        return 2 * width * marshal.batch_bytes(job, kernels[0][1]) + SERIES_BYTES + RECORD_BYTES * bool(job.records)

    def _most_sets(self, job: Job, kernels: Sequence[Compared], batch: int | None) -> int:
        """Return how many sets to take at once: what fits the device, its cache where that counts, and a launch."""
        kernel = max((kernel for _, kernel in kernels), key=lambda kernel: marshal.batch_bytes(job, kernel))
        needs, each = kernel.needs, marshal.batch_bytes(job, kernel)
        room = self._device.free_bytes() // _AT_ONCE - SERIES_BYTES
        if job.records:
            room -= RECORD_BYTES
        most = room // each
        if most < kernel.tile_sets:
            raise BackendError(
                f"the device has {self._device.free_bytes() / 2**20:.0f} MiB of free memory, and {kernel.tile_sets} sets of "
                f"{needs.units} units want {kernel.tile_sets * each / 2**20:.0f} MiB besides the input: that is the least it "
                "can take. Free its memory, observe less, or use backend = 'numpy'."
            )
        if kernel.one_step:
            most = min(most, max(4 * kernel.tile_sets, self._device.cache_bytes // each))
        if job.records:
            steps = -(-marshal.LONGEST_SEGMENT // job.records[0].every)
            most = min(most, RECORD_BYTES // (steps * len(job.records) * needs.units * needs.itemsize))
        updates = self._device.launch_seconds * self._device.speed / kernel.instructions
        if not kernel.one_step:
            most = min(most, int(updates / (needs.units * min(marshal.LONGEST_SEGMENT, job.integration.steps))))
        least = math.lcm(*(kernel.tile_sets for _, kernel in kernels))
        # Whole blocks, so that only the last part is padded.
        most = max(most // least, 1) * least
        return min(batch or most, most)


def _kinds(parameters: ParameterSets, job: Job) -> dict[bool, Places]:
    """Return the sets whose sums need no compensation, and those whose do; a slice where all are of one kind."""
    needed = parameters.compensated(job.integration)
    if needed.all() or not needed.any():
        return {bool(needed[0]): slice(0, parameters.size)}
    return {kind: np.flatnonzero(needed == kind) for kind in (False, True)}


def _parts(chosen: Places, most: int) -> Iterator[Places]:
    """Cut sets into parts of at most so many."""
    if isinstance(chosen, slice):
        return (slice(start, min(start + most, chosen.stop)) for start in range(0, chosen.stop, most))
    return (chosen[start : start + most] for start in range(0, len(chosen), most))


def _empty(job: Job, sets: int) -> Arrays:
    """Return room for the results of so many sets."""
    return {variable.name: np.empty((sets, *variable.shape), dtype=variable.dtype) for variable in job.variables}
