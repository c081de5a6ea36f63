"""A back end for any device that runs the kernels: plan, lay out, launch, bring back.

What a device can do is small (:class:`Device`); a GPU through CuPy is one, and the tests have another that runs the
kernels' own source on the CPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.backends import marshal
from sweep.backends.kernel import Needs, Plan
from sweep.backends.marshal import Span
from sweep.backends.source import Specialisation
from sweep.backends.targets import TargetSeries, target_series
from sweep.errors import BackendError
from sweep.job import Job
from sweep.observables import STATUS
from sweep.parameters import Parameters

Progress = Callable[[int], None]
Arrays = dict[str, np.ndarray]
Compared = tuple[slice, Plan]

#: Device memory for a span's series and for its records.
_SERIES_BYTES, _RECORD_BYTES = 2**24, 2**26
#: Calls of simulate at once: while one copies back and its block is written, the device works for the other.
_AT_ONCE = 2


class Device(Protocol):
    """What runs kernels. Buffers are the device's own; everything else is NumPy's."""

    @property
    def speed(self) -> float:
        """Lane-instructions per second, about; what the length of a launch is chosen by."""
        ...

    @property
    def launch_seconds(self) -> float:
        """How long a launch should take: short enough for progress and cancelling, and that nothing else counts."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes that the state of a batch should not exceed where each step reads it anew: the last cache."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Give the calling thread its own order of work on the device."""
        ...

    def load(self, specialisation: Specialisation) -> Any:
        """Compile, or take what was compiled before; raise BackendError with the compiler's words."""
        ...

    def upload(self, array: np.ndarray, name: str = "") -> Any:
        """Return a copy on the device; raise MemoryError where it does not fit."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str = "") -> Any:
        """Return an array on the device; raise MemoryError where it does not fit."""
        ...

    def download(self, buffer: Any) -> np.ndarray:
        """Return a copy on the host, after all that was launched before."""
        ...

    def address(self, buffer: Any) -> int:
        """Return where a kernel finds an array."""
        ...

    def passes(self, needs: Needs) -> Sequence[Compared]:
        """Choose the kernels for a job: one, or several that share its comparisons, the first with all the rest."""
        ...

    def launch(self, module: Any, entry: str, plan: Plan, arguments: npt.NDArray[np.void]) -> None:
        """Start a kernel for all the sets that its arguments name."""
        ...

    def synchronize(self) -> None:
        """Wait for all that this thread has launched; raise BackendError if any of it failed."""
        ...

    def free_bytes(self) -> int:
        """Return how much memory a new array may take."""
        ...


class KernelBackend:
    """Takes the steps with the kernels of ``kernels/``.

    Parameters
    ----------
    name : str
        Of the back end.
    device : Device
        Where they run.
    """

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
        plans = self._device.passes(Needs.of(job, compensated=False))
        several = f", {len(plans)} passes" if len(plans) > 1 else ""
        return plans[0][1].describe() + several

    def prepare(self, job: Job) -> None:
        """Sample the targets and compile the kernels; see :class:`sweep.backends.Backend`."""
        target_series(job)
        for compensated in _kinds(job.parameters(job.blocks[0]), job):
            for _, plan in self._device.passes(Needs.of(job, compensated)):
                self._device.load(plan.specialisation)

    def simulate(
        self, job: Job, parameters: Parameters, *, batch: int | None = None, progress: Progress | None = None
    ) -> Arrays:
        """Simulate some sets; see :class:`sweep.backends.Backend`."""
        targets = target_series(job)
        results = {
            variable.name: np.empty((parameters.size, *variable.shape), dtype=variable.dtype)
            for variable in job.variables
        }
        # What a set that diverges makes of the sums is no surprise.
        with self._device.session(), np.errstate(all="ignore"):
            for compensated, index in _kinds(parameters, job).items():
                plans = self._device.passes(Needs.of(job, compensated))
                most = self._most_sets(job, plans, batch)
                for start in range(0, len(index), most):
                    chosen = index[start : start + most]
                    one = _Batch(self._device, job, plans, parameters.take(chosen), targets)
                    for name, values in one.run(progress).items():
                        results[name][chosen] = values
        return results

    def working_bytes(self, job: Job, sets: int, batch: int | None = None) -> int:
        """Return about how many bytes of the host's memory a call needs, the results not counted."""
        plans = self._device.passes(Needs.of(job, compensated=False))
        width = min(sets, self._most_sets(job, plans, batch))
        return 2 * width * marshal.batch_bytes(job, plans[0][1]) + _SERIES_BYTES + _RECORD_BYTES * bool(job.records)

    def _most_sets(self, job: Job, plans: Sequence[Compared], batch: int | None) -> int:
        """Return how many sets to take at once: what fits the device, its cache where that counts, and a launch."""
        plan = max((plan for _, plan in plans), key=lambda plan: marshal.batch_bytes(job, plan))
        needs, each = plan.needs, marshal.batch_bytes(job, plan)
        room = self._device.free_bytes() // _AT_ONCE - _SERIES_BYTES
        if job.records:
            room -= _RECORD_BYTES
        most = room // each
        if most < plan.sets_per_block:
            raise BackendError(
                f"the device has {self._device.free_bytes() / 2**20:.0f} MiB of free memory, and {plan.sets_per_block} sets of "
                f"{needs.units} units want {plan.sets_per_block * each / 2**20:.0f} MiB besides the input: that is the least it "
                "can take. Free its memory, observe less, or use backend = 'numpy'."
            )
        if plan.one_step:
            most = min(most, max(4 * plan.sets_per_block, self._device.cache_bytes // each))
        if job.records:
            steps = -(-marshal.LONGEST_SEGMENT // job.records[0].every)
            most = min(most, _RECORD_BYTES // (steps * len(job.records) * needs.units * needs.itemsize))
        updates = self._device.launch_seconds * self._device.speed / plan.instructions
        if not plan.one_step:
            most = min(most, int(updates / (needs.units * marshal.LONGEST_SEGMENT)))
        least = math.lcm(*(plan.sets_per_block for _, plan in plans))
        return max(1, min(batch or most, max(most, least)))


def _kinds(parameters: Parameters, job: Job) -> dict[bool, npt.NDArray[np.intp]]:
    """Return the sets whose sums need no compensation, and those whose do."""
    needed = np.broadcast_to(parameters.compensated(job.integration), (parameters.size,))
    return {bool(kind): np.flatnonzero(needed == kind) for kind in np.unique(needed)}


@dataclass(frozen=True)
class _Batch:
    """Some sets, from their start to their results."""

    device: Device
    job: Job
    plans: Sequence[Compared]
    parameters: Parameters
    targets: TargetSeries | None

    def run(self, progress: Progress | None) -> Arrays:
        """Take all steps and return the results, ``(set, ...)`` by variable."""
        job, needs = self.job, Needs.of(self.job, self.plans[0][1].needs.compensated)
        records = {
            record.variable: np.empty((self.parameters.size, *variable.shape), dtype=variable.dtype)
            for record in job.records
            for variable in job.variables
            if variable.name == record.variable
        }
        report = _shared_among(progress, len(self.plans))
        values: Arrays = {}
        comparisons = []
        for number, (compared, plan) in enumerate(self.plans):
            arrays = self._pass(plan, compared, records if number == 0 else {}, report)
            if number == 0:
                values, diverged = marshal.measured(job, arrays, plan), arrays["diverged"]
            if needs.comparisons:
                comparisons.append(arrays["comparisons"])
        if needs.comparisons and self.targets is not None:
            values |= self._compared(np.concatenate(comparisons, axis=1), values)
        lost = np.flatnonzero(diverged >= 0)
        if lost.size:
            diverged[lost] = self._find(lost)
        return self._results(values, records, diverged)

    def _find(self, lost: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """Return the step at which each of some sets diverges, by going the same way once more."""
        plan = self.plans[0][1]
        looking = dataclasses.replace(plan, needs=plan.needs.to_detect())
        again = dataclasses.replace(self, plans=[(slice(0), looking)], parameters=self.parameters.take(lost))
        found: npt.NDArray[np.int64] = again._pass(looking, slice(0), {}, None)["diverged"]
        return found

    def _compared(self, sums: np.ndarray, values: Arrays) -> Arrays:
        """Return the comparisons ``(target, lag, unit, set)`` from their sums."""
        job, targets = self.job, self.targets
        assert targets is not None
        count = job.integration.steps - job.integration.transient_steps
        shape = (*targets.mean.shape[:2], *sums.shape[2:])
        several = slice(None) if isinstance(job.target, tuple) else 0
        out = {}
        if "target_correlation" in job.observed:
            out["target_correlation"] = targets.correlation(sums[0].reshape(shape) / count, values["r_var"])[several]
        if "target_mse" in job.observed:
            out["target_mse"] = (sums[1].reshape(shape) / count)[several]
        return out

    def _results(self, values: Arrays, records: Arrays, diverged: npt.NDArray[np.int64]) -> Arrays:
        job, lost = self.job, diverged >= 0
        results = {
            name: np.moveaxis(value, -1, 0).astype(job.integration.dtype)
            for name, value in values.items()
            if name in job.observed
        }
        for value in results.values():
            value[lost] = np.nan
        if records:
            unknown = marshal.unknown_from(job, diverged)
            for value in records.values():
                value[unknown] = np.nan
        results |= records
        results["status"] = np.where(lost, STATUS["diverged"], STATUS["ok"]).astype(np.int8)
        results["diverged_at"] = np.where(lost, (diverged + 1) * job.integration.dt, np.nan)
        return results

    # ------------------------------------------------------------------------------------------------------- one pass

    def _pass(self, plan: Plan, compared: slice, records: Arrays, progress: Progress | None) -> Arrays:
        """Take all steps with one kernel; fill the records and return the final arrays, the sets in order."""
        device, job = self.device, self.job
        index = _arranged(plan, self.parameters)
        real = index >= 0
        padded = self.parameters.take(np.where(real, index, _before(index)))
        module = device.load(plan.specialisation)
        host = marshal.start(job, plan, padded)
        buffers = {name: device.upload(array, name) for name, array in host.items()}
        buffers |= self._common(plan, padded)
        arguments = self._arguments(plan, padded, buffers)
        for seen, span in enumerate(marshal.spans(job, self._span_steps(plan, padded.size))):
            self._span(plan, module, arguments, buffers, compared, span, records, index)
            device.synchronize()
            if progress:
                progress(int(real.sum()) * span.steps)
            # Looked at ever more rarely: most jobs lose no set, and those that lose all do so soon.
            if seen.bit_count() <= 1 and (device.download(buffers["diverged"]) >= 0).all():
                if progress:
                    progress(int(real.sum()) * (job.integration.steps - span.stop))
                break
        wanted = ("state", "rates", "moments", "extremes", "comparisons", "diverged")
        final = {name: device.download(buffers[name]) for name in wanted if name in buffers}
        order = np.argsort(index[real], kind="stable")
        return {name: array[..., real][..., order] for name, array in final.items()}

    def _common(self, plan: Plan, padded: Parameters) -> dict[str, Any]:
        """Put what the sets share on the device."""
        job, upload = self.job, self.device.upload
        common: dict[str, Any] = {}
        weights = marshal.weights(job, plan, padded)
        if weights is not None:
            common["weights"] = upload(weights, "weights")
        if not plan.by_value:
            rows = marshal.by_unit(job, plan, padded)
            if rows.size:
                common["by_unit"] = upload(rows, "by_unit")
        if padded.entries:
            common["entry_units"] = upload(np.array(list(padded.entries), dtype=np.int32), "entry_units")
        if job.records:
            common["places"] = upload(marshal.places(job), "places")
        return common

    def _arguments(self, plan: Plan, padded: Parameters, buffers: dict[str, Any]) -> npt.NDArray[np.void]:
        job, timing = self.job, self.job.integration
        arguments = np.zeros(1, dtype=plan.arguments)
        for name, buffer in buffers.items():
            arguments[name] = self.device.address(buffer)
        arguments["seed"] = job.seed
        arguments["origin"], arguments["end"] = timing.transient_steps, timing.steps
        arguments["sets"], arguments["entry_count"] = padded.size, len(padded.entries)
        arguments["every"] = job.records[0].every if job.records else 1
        arguments["kept"] = marshal.record_shape(job, plan, 1, 1)[2 if plan.by_lanes else 1] if job.records else 0
        arguments["constants"] = marshal.constants(job, plan, padded)
        return arguments

    def _span_steps(self, plan: Plan, sets: int) -> int:
        """Return how many steps a span has: a launch's worth, and no more than fit as series and as records."""
        needs = plan.needs
        most = int(self.device.launch_seconds * self.device.speed / (plan.instructions * needs.units * sets))
        if needs.columns:
            most = min(most, _SERIES_BYTES // (needs.columns * 8))
        if needs.record_x or needs.record_r:
            record = int(np.prod(marshal.record_shape(self.job, plan, sets, 1), dtype=np.int64))
            most = min(most, _RECORD_BYTES // (2 * record * needs.itemsize) * self.job.records[0].every)
        return max(1, most)

    def _span(
        self,
        plan: Plan,
        module: Any,
        arguments: npt.NDArray[np.void],
        buffers: dict[str, Any],
        compared: slice,
        span: Span,
        records: Arrays,
        index: npt.NDArray[np.intp],
    ) -> None:
        """Launch the steps of a span, and bring back its records."""
        device, job, needs = self.device, self.job, plan.needs
        rows, sums = marshal.series(job, plan, self.targets, compared, span)
        held = {"series": device.upload(rows, "series"), "series_sums": device.upload(sums, "series_sums")}
        keeping = {}
        if records and span.bounds:
            shape = marshal.record_shape(job, plan, len(index), span.steps)
            keeping = {name: device.empty(shape, needs.precision, f"record_{name}") for name in records}
            held |= {f"record_{name}": buffer for name, buffer in keeping.items()}
        for name, buffer in held.items():
            arguments[name] = device.address(buffer)
        entry = "observed" if span.bounds else "transient"
        launch = (module, entry, plan, arguments)
        if plan.one_step:
            for _ in self._single_steps(plan, arguments, buffers, held, span, rows, sums):
                device.launch(*launch)
        else:
            arguments["first"], arguments["steps"] = span.first, span.steps
            device.launch(*launch)
        real = index >= 0
        for name, buffer in keeping.items():
            within = marshal.records_in(job, span.first, span.stop)
            kept = marshal.from_record(device.download(buffer), plan)[:, : within.stop - within.start]
            records[name][index[real], within] = kept[real]

    def _single_steps(
        self,
        plan: Plan,
        arguments: npt.NDArray[np.void],
        buffers: dict[str, Any],
        held: dict[str, Any],
        span: Span,
        rows: np.ndarray,
        sums: np.ndarray,
    ) -> Iterator[None]:
        """Point the arguments at one step after the other: its row of the series, its record, its rates."""
        job, address = self.job, self.device.address
        arguments["steps"] = 1
        series, segment_sums = address(held["series"]), address(held["series_sums"])
        record = {name: address(held[name]) for name in held if name.startswith("record_")}
        each = 0
        if record:
            each = int(np.prod(marshal.record_shape(job, plan, int(arguments["sets"][0]), 1))) * plan.needs.itemsize
        segment = 0
        for step in range(span.first, span.stop):
            while span.bounds and step >= span.bounds[segment + 1]:
                segment += 1
            arguments["first"] = step
            arguments["series"] = series + (step - span.first) * rows[0].nbytes
            arguments["series_sums"] = segment_sums + segment * sums[0].nbytes
            for name, place in record.items():
                before = marshal.records_in(job, span.first, step)
                arguments[name] = place + (before.stop - before.start) * each
            arguments["rates"], arguments["new_rates"] = address(buffers["rates"]), address(buffers["new_rates"])
            yield
            buffers["rates"], buffers["new_rates"] = buffers["new_rates"], buffers["rates"]


def _arranged(plan: Plan, parameters: Parameters) -> npt.NDArray[np.intp]:
    """Return the sets in the order in which the kernel takes them, padded with -1 to whole blocks."""
    index = np.arange(parameters.size)
    groups = [index]
    if plan.shares_network:
        # The sets of a tile share their matrix.
        network = np.broadcast_to(parameters.selectors["network"], index.shape)
        groups = [index[network == each] for each in np.unique(network)]
    whole = plan.sets_per_block
    return np.concatenate([np.pad(group, (0, -len(group) % whole), constant_values=-1) for group in groups])


def _before(index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return for each place the last real set up to it: what a padding set is a copy of."""
    return index[np.maximum.accumulate(np.where(index >= 0, np.arange(len(index)), 0))]


def _shared_among(progress: Progress | None, passes: int) -> Progress | None:
    """Return a progress of which so many passes over the same steps make the whole."""
    if progress is None or passes == 1:
        return progress
    seen = [0]

    def share(done: int) -> None:
        before = seen[0] // passes
        seen[0] += done
        progress(seen[0] // passes - before)

    return share
