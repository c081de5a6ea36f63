"""A batch of sets on a device: its arrays are laid out and uploaded, its spans launched, its results downloaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled import layout
from sweep.backends.compiled.device import RECORD_BYTES, SERIES_BYTES, Compared, Device
from sweep.backends.compiled.kernel import Kernel
from sweep.backends.compiled.layout import Span
from sweep.backends.drive import Stimuli
from sweep.backends.series import TargetSeries
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.observables import STATUS

#: The largest number of steps of a launch. A few sets do not fill a device, so their steps take longer than estimated.
_MOST_STEPS = 2**17

Progress = Callable[[int], None]
Arrays = dict[str, np.ndarray]
#: Some of the sets of an array, as a slice (so that nothing is copied) or as indices.
Places = slice | npt.NDArray[np.intp]


@dataclass(frozen=True)
class Batch:
    """Some sets, from their initial state to their results.

    Attributes
    ----------
    device : Device
        The device that simulates them.
    job : Job
        Their job.
    kernels : sequence of (slice, Kernel)
        For each pass the comparisons that it makes, and its kernel.
    parameters : ParameterSets
        The sets.
    targets : TargetSeries or None
        The targets; None if the job has none.
    """

    device: Device
    job: Job
    kernels: Sequence[Compared]
    parameters: ParameterSets
    targets: TargetSeries | None

    def run(self, results: Arrays, progress: Progress | None) -> None:
        """Simulate all steps and fill in the results, ``(set, ...)``, by variable."""
        job = self.job
        records = {record.variable: results[record.variable] for record in job.records}
        report = _shared_among(progress, len(self.kernels))
        values: Arrays = {}
        comparisons, variances = [], []
        for number, (compared, kernel) in enumerate(self.kernels):
            arrays = self._pass(kernel, compared, records if number == 0 else {}, report)
            if number == 0:
                values, diverged = layout.measured(job, arrays, kernel), arrays["diverged"]
            if kernel.needs.comparisons:
                if kernel.needs.correlation:
                    arrays["comparisons"][0] = layout.centred(kernel, arrays)
                comparisons.append(arrays["comparisons"])
            if kernel.needs.readings and kernel.needs.correlation:
                assert self.targets is not None
                variances.append(layout.read_variance(kernel, arrays, layout.readings(self.targets, compared)))
        if comparisons:
            values |= self._compared(np.concatenate(comparisons, axis=1), variances, values)
        for name in job.observed:
            _turn(values[name], results[name])
        results["status"][...] = STATUS["ok"]
        results["diverged_at"][...] = np.nan
        lost = np.flatnonzero(diverged >= 0)
        if lost.size:
            self._mark(lost, self._find(lost), results)

    def _find(self, lost: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """Return the step at which each of some sets diverges, ``(set,)``, by simulating these sets again."""
        kernel = self.kernels[0][1]
        looking = dataclasses.replace(kernel, needs=kernel.needs.to_detect())
        again = dataclasses.replace(self, kernels=[(slice(0), looking)], parameters=self.parameters.take(lost))
        found: npt.NDArray[np.int64] = again._pass(looking, slice(0), {}, None)["diverged"]
        # The same simulation must diverge again. If it did not, the set would still have to be marked: it has NaN.
        return np.where(found < 0, self.job.integration.steps - 1, found)

    def _compared(self, sums: np.ndarray, variances: Sequence[np.ndarray], values: Arrays) -> Arrays:
        """Return the comparisons ``(target, lag, unit, set)`` from their sums, and from the variances of what they read."""
        job, targets = self.job, self.targets
        assert targets is not None
        shape = (*targets.count.shape, *sums.shape[2:])
        averages = sums.reshape(2, *shape) / targets.count[..., None, None]
        several = slice(None) if isinstance(job.target, tuple) else 0
        out = {}
        if "target_correlation" in job.observed:
            variance = np.concatenate(variances).reshape(shape) if variances else values["r_var"]
            out["target_correlation"] = targets.correlation(averages[0], variance)[several]
        if "target_mse" in job.observed:
            out["target_mse"] = averages[1][several]
        return out

    def _mark(self, lost: npt.NDArray[np.intp], steps: npt.NDArray[np.int64], results: Arrays) -> None:
        """Mark the sets ``lost`` as diverged in the results, at these steps."""
        job = self.job
        for name in job.observed:
            results[name][lost] = np.nan
        if job.records:
            sets, times = layout.unknown_from(job, steps)
            for record in job.records:
                results[record.variable][lost[sets], times] = np.nan
        results["status"][lost] = STATUS["diverged"]
        results["diverged_at"][lost] = (steps + 1) * job.integration.dt

    # ------------------------------------------------------------------------------------------------------- one pass

    def _pass(self, kernel: Kernel, compared: slice, records: Arrays, progress: Progress | None) -> Arrays:
        """Simulate all steps with one kernel. Fill the records, and return the final arrays with the sets in order."""
        device, job = self.device, self.job
        index, places = _arranged(kernel, self.parameters)
        padded = self.parameters.take(index)
        module = device.load(kernel.specialisation)
        stimuli = Stimuli.of(job, padded)
        host = layout.start(job, kernel, padded, stimuli)
        buffers = {name: device.upload(array, name) for name, array in host.items()}
        buffers |= self._common(kernel, padded)
        arguments = self._arguments(kernel, padded, buffers)
        deviations = np.zeros((kernel.needs.comparisons, kernel.needs.target_units))
        for seen, span in enumerate(layout.spans(job, self._span_steps(kernel, padded.size))):
            segments = self._span(kernel, module, arguments, buffers, stimuli, compared, span, records, places)
            deviations += segments[:, : deviations.size].sum(axis=0).reshape(deviations.shape)
            device.synchronize()
            if progress:
                progress(self.parameters.size * span.steps)
            # Stop if all sets have diverged. This is tested more and more rarely: in most jobs no set diverges, and if all do,
            # they do so early.
            if seen.bit_count() <= 1 and (device.download(buffers["diverged"]) >= 0).all():
                if progress:
                    progress(self.parameters.size * (job.integration.steps - span.stop))
                break
        wanted = ("state", "rates", "moments", "running", "comparisons", "diverged")
        arrays = {name: device.download(buffers[name])[..., places] for name in wanted if name in buffers}
        return {**arrays, "deviations": deviations}

    def _common(self, kernel: Kernel, padded: ParameterSets) -> dict[str, Any]:
        """Upload the arrays that all sets share."""
        job, upload = self.job, self.device.upload
        common: dict[str, Any] = {}
        weights = layout.weights(job, kernel, padded)
        if weights is not None:
            common["weights"] = upload(weights, "weights")
        if not kernel.by_value:
            rows = layout.by_unit(job, kernel, padded)
            if rows.size:
                common["by_unit"] = upload(rows, "by_unit")
        if kernel.needs.factors.runs:
            factors = kernel.needs.factors
            common["factor_rows"] = upload(factors.rows, "factor_rows")
            common["run_ends"] = upload(np.array([run.stop for run in factors.runs], dtype=np.int32), "run_ends")
        if kernel.copies:
            copies = [(run.start, run.stop, number) for run, number in kernel.copies]
            common["copies"] = upload(np.array(copies, dtype=np.int32), "copies")
        if padded.entries:
            common["entry_units"] = upload(np.array(list(padded.entries), dtype=np.int32), "entry_units")
        if job.records:
            common["places"] = upload(layout.places(job), "places")
        return common

    def _arguments(self, kernel: Kernel, padded: ParameterSets, buffers: dict[str, Any]) -> npt.NDArray[np.void]:
        job, timing = self.job, self.job.integration
        arguments = np.zeros(1, dtype=kernel.arguments)
        for name, buffer in buffers.items():
            arguments[name] = self.device.address(buffer)
        arguments["seed"] = job.seed
        arguments["origin"], arguments["end"] = timing.transient_steps, timing.steps
        arguments["sets"], arguments["entry_count"] = padded.size, len(padded.entries)
        arguments["every"] = job.records[0].every if job.records else 1
        arguments["kept"] = layout.record_sizes(job, 1, 1)["unit"] if job.records else 0
        arguments["constants"] = layout.constants(job, kernel, padded)
        return arguments

    def _span_steps(self, kernel: Kernel, sets: int) -> int:
        """Return the number of steps of a span: what a launch can do, if their series and records fit the memory."""
        needs = kernel.needs
        most = int(self.device.launch_seconds * self.device.speed / (kernel.instructions * needs.units * sets))
        if needs.columns:
            most = min(most, SERIES_BYTES // (needs.columns * 8))
        if needs.record_x or needs.record_r:
            record = math.prod(layout.record_sizes(self.job, sets, 1).values())
            most = min(most, RECORD_BYTES // (2 * record * needs.itemsize) * self.job.records[0].every)
        return max(1, min(most, _MOST_STEPS))

    def _span(
        self,
        kernel: Kernel,
        module: Any,
        arguments: npt.NDArray[np.void],
        buffers: dict[str, Any],
        stimuli: Stimuli,
        compared: slice,
        span: Span,
        records: Arrays,
        places: Places,
    ) -> np.ndarray:
        """Launch the steps of a span, download its records, and return the numbers of its segments."""
        device, job, needs = self.device, self.job, kernel.needs
        rows, segments = layout.series(kernel, stimuli, self.targets, compared, span)
        held = {"series": device.upload(rows, "series"), "segments": device.upload(segments, "segments")}
        keeping = {}
        if records and span.bounds:
            sizes = layout.record_sizes(job, int(arguments["sets"][0]), span.steps)
            shape = tuple(sizes[axis] for axis in kernel.record_axes)
            arguments["records"] = sizes["record"]
            keeping = {name: device.empty(shape, needs.precision, f"record_{name}") for name in records}
            held |= {f"record_{name}": buffer for name, buffer in keeping.items()}
        for name, buffer in held.items():
            arguments[name] = device.address(buffer)
        entry = "observed" if span.bounds else "transient"
        launch = (module, entry, kernel, arguments)
        if kernel.one_step:
            for _ in self._single_steps(kernel, arguments, buffers, held, span, rows, segments):
                device.launch(*launch)
        else:
            arguments["first"], arguments["steps"] = span.first, span.steps
            device.launch(*launch)
        for name, buffer in keeping.items():
            within = layout.records_in(job, span.first, span.stop)
            kept = layout.from_record(device.download(buffer), kernel)[:, : within.stop - within.start]
            records[name][:, within] = kept[places]
        return segments

    def _single_steps(
        self,
        kernel: Kernel,
        arguments: npt.NDArray[np.void],
        buffers: dict[str, Any],
        held: dict[str, Any],
        span: Span,
        rows: np.ndarray,
        segments: np.ndarray,
    ) -> Iterator[None]:
        """Set the arguments for one step after the other: its row of the series, its record and its rates."""
        job, address = self.job, self.device.address
        arguments["steps"] = 1
        series, numbers = address(held["series"]), address(held["segments"])
        record = {name: address(held[name]) for name in held if name.startswith("record_")}
        each = 0
        if record:
            each = math.prod(layout.record_sizes(job, int(arguments["sets"][0]), 1).values()) * kernel.needs.itemsize
        segment = 0
        for step in range(span.first, span.stop):
            while span.bounds and step >= span.bounds[segment + 1]:
                segment += 1
            arguments["first"] = step
            arguments["series"] = series + (step - span.first) * rows[0].nbytes
            arguments["segments"] = numbers + segment * segments[0].nbytes
            for name, place in record.items():
                before = layout.records_in(job, span.first, step)
                arguments[name] = place + (before.stop - before.start) * each
            arguments["rates"], arguments["new_rates"] = address(buffers["rates"]), address(buffers["new_rates"])
            yield
            buffers["rates"], buffers["new_rates"] = buffers["new_rates"], buffers["rates"]


def _arranged(kernel: Kernel, parameters: ParameterSets) -> tuple[Places, Places]:
    """Return the sets in the order in which the kernel takes them, and the place of each set in that order.

    The sets are padded to whole tiles with copies of the last one. Slices say that the order is that of the sets.
    """
    size, whole = parameters.size, kernel.tile_sets
    if not kernel.shares_network:
        padded = np.minimum(np.arange(size + -size % whole), size - 1) if size % whole else slice(0, size)
        return padded, slice(0, size)
    # All sets of a tile must have the same matrix.
    index = np.arange(size)
    network = np.broadcast_to(parameters.selectors["network"], index.shape)
    places, groups, first = np.empty(size, dtype=np.intp), [], 0
    for each in np.unique(network):
        group = index[network == each]
        places[group] = first + np.arange(len(group))
        groups.append(np.pad(group, (0, -len(group) % whole), mode="edge"))
        first += len(groups[-1])
    return np.concatenate(groups), places


def _turn(values: np.ndarray, results: np.ndarray) -> None:
    """Copy ``(..., set)`` into ``(set, ...)``; the loop over the longer side is NumPy's."""
    flat, turned = values.reshape(-1, values.shape[-1]), results.reshape(len(results), -1)
    if len(flat) < len(turned):
        for row, column in zip(flat, turned.T, strict=True):
            column[...] = row
    else:
        turned[...] = flat.T


def _shared_among(progress: Progress | None, passes: int) -> Progress | None:
    """Return a progress for several passes over the same steps, which together count as one."""
    if progress is None or passes == 1:
        return progress
    seen = [0]

    def share(done: int) -> None:
        before = seen[0] // passes
        seen[0] += done
        progress(seen[0] // passes - before)

    return share
