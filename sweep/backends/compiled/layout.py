"""The arrays of a job in the layout of the kernels, and results from the arrays of the kernels.

Layouts are those of ``kernels/arguments.cuh``: all arrays of sets are ``[row][set]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import BY_BOTH, BY_SET, BY_UNIT, COMMON, WHICH, Kernel, numbered
from sweep.backends.drive import Stimuli
from sweep.backends.series import TargetSeries
from sweep.design.arrays import ParameterSets
from sweep.job import Job
from sweep.model.integration import rate_constant
from sweep.model.parameters import Array, parse_name
from sweep.observables import VARIABLES, record_steps, wanted
from sweep.observables.statistics import Accumulated
from sweep.signals.measurements import Reading

#: Number of steps in the first segment of the moments, and in the longest: see ``kernels/arguments.cuh``.
FIRST_SEGMENT, LONGEST_SEGMENT = 16, 1024
#: The numbers of a reading in a segment: see ``OfReading`` of ``kernels/arguments.cuh``.
OF_READING = ("open before", "open after", "measured before", "measured")


def segment_stop(step: int) -> int:
    """Return the first step after the segment that contains ``step``, both counted from the end of the transient."""
    if step >= LONGEST_SEGMENT:
        return (step // LONGEST_SEGMENT + 1) * LONGEST_SEGMENT
    return FIRST_SEGMENT << max(0, (step // FIRST_SEGMENT).bit_length())


@dataclass(frozen=True)
class Span:
    """The steps of a launch (or of launches of one step). All are in the transient, or they are whole segments after it.

    Attributes
    ----------
    first, stop : int
        Steps ``first`` to ``stop - 1``, counted from the start of the simulation.
    bounds : tuple of int
        The first step of each segment, and the step after the last one; empty in the transient.
    """

    first: int
    stop: int
    bounds: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.stop - self.first


def spans(job: Job, most: int) -> list[Span]:
    """Cut the steps of a job into spans of about ``most`` steps."""
    origin, end = job.integration.transient_steps, job.integration.steps
    cut = [Span(first, min(origin, first + most)) for first in range(0, origin, most)]
    bounds = [origin]
    while bounds[-1] < end:
        stop = min(end, origin + segment_stop(bounds[-1] - origin))
        bounds.append(stop)
        if stop - bounds[0] >= most or stop == end:
            cut.append(Span(bounds[0], stop, tuple(bounds)))
            bounds = [stop]
    return cut


def field(name: str, job: Job, parameters: ParameterSets) -> Array:
    """Return a number of the kernels' equations by its name in :data:`WHICH`, ``(set or 1, unit or 1)`` float64."""
    dt, values = job.integration.dt, parameters.values
    if name in ("alpha_s", "alpha_r"):
        return rate_constant(dt, values[f"tau{name[5:]}"])
    if name == "noise":
        return values["noise"] * np.sqrt(2.0 * rate_constant(dt, values["tau_s"]))
    return values[name]


def constants(job: Job, kernel: Kernel, parameters: ParameterSets) -> npt.NDArray[np.floating]:
    """Return the numbers passed by value: those common to all sets, then those that vary by unit, then the weights."""
    needs, first = kernel.needs, parameters.take(slice(1))
    modes = zip(WHICH, needs.modes, strict=True)
    common = [field(name, job, first)[0, 0] if mode == COMMON else 0.0 for name, mode in modes]
    parts = [np.array(common)]
    if kernel.by_value:
        parts.append(by_unit(job, kernel, parameters).ravel())
        if needs.coupling == 1:
            parts.append(_matrices(job)[int(parameters.selectors["network"][0])].ravel())
    return np.concatenate(parts).astype(needs.precision)


def by_unit(job: Job, kernel: Kernel, parameters: ParameterSets) -> npt.NDArray[np.floating]:
    """Return the numbers that vary by unit alone, ``(row, unit)``."""
    needs, first = kernel.needs, parameters.take(slice(1))
    rows = [field(name, job, first)[0] for name, mode in zip(WHICH, needs.modes, strict=True) if mode == BY_UNIT]
    return np.array(rows, dtype=needs.precision).reshape(-1, needs.units)


def by_set(job: Job, kernel: Kernel, parameters: ParameterSets) -> npt.NDArray[np.floating]:
    """Return the numbers that vary by set, ``(row, set)``. One that varies by unit too has a row for each unit."""
    needs, rows = kernel.needs, []
    for name, mode in zip(WHICH, needs.modes, strict=True):
        if mode in (BY_SET, BY_BOTH):
            width = needs.units if mode == BY_BOTH else 1
            rows.append(np.broadcast_to(field(name, job, parameters), (parameters.size, width)).T)
    return np.concatenate(rows, dtype=needs.precision) if rows else np.zeros((1, parameters.size), needs.precision)


def weights(job: Job, kernel: Kernel, parameters: ParameterSets) -> npt.NDArray[np.floating] | None:
    """Return the weights for device memory, in the kernel's layout; None if there are none."""
    needs = kernel.needs
    if not needs.coupling or (kernel.by_value and needs.coupling == 1):
        return None
    matrices = _matrices(job)
    if needs.coupling == 1:
        matrices = matrices[[int(parameters.selectors["network"][0])]]
    if kernel.shares_network and parameters.entries:
        matrices = matrices.copy()
        for to, source in parameters.entries:
            matrices[:, to, source] = 0.0
    if kernel.copies:
        matrices = needs.factors.widened(matrices)
    return np.ascontiguousarray(kernel.packed(matrices.astype(needs.precision)))


def _matrices(job: Job) -> Array:
    units = job.model.units
    own = np.zeros((units, units)) if job.model.weights is None else job.model.weights
    return own.reshape(-1, units, units)


def places(job: Job) -> npt.NDArray[np.int32]:
    """Return the place of each unit in a record, ``(unit,)``; -1 for a unit that is not recorded."""
    units = job.model.units
    kept = next((record.units for record in job.records), None)
    place = np.full(units, -1, dtype=np.int32)
    chosen = range(units) if kept is None else kept
    place[list(chosen)] = np.arange(len(chosen), dtype=np.int32)
    return place


def series(
    kernel: Kernel, stimuli: Stimuli, targets: TargetSeries | None, compared: slice, span: Span
) -> tuple[np.ndarray, np.ndarray]:
    """Return the series of a span: the numbers of its steps that do not depend on the set.

    Returns
    -------
    ndarray
        ``(step, column)``: the inputs, then the events of the readings, then the targets' deviations from their means, then
        the targets.
    ndarray
        ``(segment, number)`` float64: the numbers of each segment, which are sums of the deviations, and for each reading
        those of ``OfReading`` in ``kernels/arguments.cuh``.
    """
    needs = kernel.needs
    compares = needs.comparisons * needs.target_units
    segments = np.zeros((max(1, len(span.bounds) - 1), max(1, compares + len(OF_READING) * needs.readings)))
    if not needs.columns:
        return np.zeros((1, 1), dtype=needs.precision), segments
    columns = np.zeros((span.steps, needs.columns), dtype=needs.precision)
    inputs, each = np.split(columns, [needs.stimuli * needs.input_units], axis=1)
    if needs.stimuli:
        driven = stimuli.drive(span.first, span.stop, needs.precision, needs.input_units)
        if needs.stimuli == 1:
            driven = driven[:, :, stimuli.of_set[:1]]
        # There may be fewer stimuli than the kernel has room for.
        inputs[:, : driven[0].size] = driven.transpose(0, 2, 1).reshape(span.steps, -1)
    if targets is not None and needs.comparisons and span.bounds:
        events, each = np.split(each, [needs.readings], axis=1)
        for row, reading in enumerate(readings(targets, compared)):
            events[:, row] = reading.events(span.first, span.stop)
            before, after = span.bounds[:-1], span.bounds[1:]
            own = segments[:, compares + row * len(OF_READING) :]
            own[:, 0], own[:, 1] = [reading.opened(step) for step in before], [reading.opened(step) for step in after]
            own[:, 2] = [reading.closed(step) for step in before]
            own[:, 3] = [reading.closed(step) for step in after] - own[:, 2]
        if needs.correlation:
            deviations, each = np.split(each, [compares], axis=1)
            _fill(deviations, targets.deviations(span.first, span.stop)[compared])
            starts = np.array(span.bounds[:-1]) - span.first
            segments[:, :compares] = np.add.reduceat(deviations, starts, axis=0, dtype=np.float64)
        if needs.mse:
            _fill(each, targets.each(span.first, span.stop)[compared])
    return columns, segments


def series_bytes(kernel: Kernel) -> int:
    """Return about how many bytes the inputs of the longest segment take while they are computed."""
    needs = kernel.needs
    return LONGEST_SEGMENT * needs.stimuli * needs.input_units * 3 * needs.itemsize


def readings(targets: TargetSeries, compared: slice) -> list[Reading]:
    """Return the readings of some comparisons, in the order in which a kernel numbers them."""
    different, _ = numbered(targets.comparisons.of[compared])
    return [targets.comparisons.readings[number] for number in different]


def _fill(columns: np.ndarray, values: Sequence[Array]) -> None:
    """Write the values of each comparison, ``(unit or 1, step)``, into columns ``(step, comparison x unit)``."""
    place = 0
    for value in values:
        columns[:, place : place + len(value)] = value.T
        place += len(value)


def start(job: Job, kernel: Kernel, parameters: ParameterSets, stimuli: Stimuli) -> dict[str, np.ndarray]:
    """Return the arrays at the start of a batch, by their names in ``struct Arguments``.

    Arrays that have the same number everywhere are broadcast, so that they take no memory on the host.
    """
    needs, sets = kernel.needs, parameters.size
    units, precision = needs.units, needs.precision
    zero = np.zeros((), dtype=precision)
    state = np.zeros((2 + 2 * needs.compensated, units, sets), dtype=precision)
    for row, name in enumerate(("x0", "r0")):
        state[row] = parameters.values[name].T
    arrays = {
        "state": state,
        "diverged": np.broadcast_to(np.int64(-1), sets),
        "by_set": by_set(job, kernel, parameters),
    }
    if kernel.one_step:
        rates = np.zeros((kernel.rows_of_rates, sets), dtype=precision)
        rates[:units] = state[1]
        factors, place = list(parameters.factors.values()), units
        for run, number in kernel.copies:
            rates[place : place + len(run)] = factors[number].astype(precision) * state[1][run.start : run.stop]
            place += len(run)
        arrays |= {"rates": rates, "new_rates": np.broadcast_to(zero, rates.shape)}
        if needs.sums:
            arrays["sums"] = np.broadcast_to(zero, (needs.sums, units, sets))
    if moments := needs.moments_x + needs.moments_r + 2 * needs.readings * needs.correlation:
        arrays["moments"] = np.broadcast_to(0.0, (moments, units, sets))
    if needs.running:
        numbers = [
            number.start for of in VARIABLES for number in wanted(job.observed, of, job.comparisons.every_step).running
        ]
        starts = np.array(numbers, dtype=precision)[:, None, None]
        arrays["running"] = np.broadcast_to(starts, (len(numbers), units, sets))
    if needs.comparisons:
        arrays["comparisons"] = np.broadcast_to(0.0, (2, needs.comparisons, units, sets))
    if needs.readings:
        arrays["open"] = np.broadcast_to(0.0, (needs.readings, units, sets))
    if needs.coupling == 2:
        arrays["networks"] = _each(parameters.selectors["network"], sets, np.int32)
    if parameters.factors:
        arrays["factors"] = np.array([np.broadcast_to(each, sets) for each in parameters.factors.values()], precision)
    if parameters.entries:
        entries = [np.broadcast_to(value, (sets,)) for value in parameters.entries.values()]
        arrays["entries"] = np.array(entries, dtype=precision)
    if needs.stimuli > 1:
        arrays["stimuli"] = _each(stimuli.of_set, sets, np.int32)
    if needs.noisy:
        arrays["streams"] = np.ascontiguousarray(parameters.stream)
    return arrays


def _each(values: np.ndarray, sets: int, dtype: npt.DTypeLike) -> np.ndarray:
    return np.broadcast_to(values, (sets,)).astype(dtype)


def batch_bytes(job: Job, kernel: Kernel) -> int:
    """Return how many bytes of device memory a set needs, without its records."""
    needs = kernel.needs
    rows = 2 + 2 * needs.compensated + len(needs.running) + sum(mode == BY_BOTH for mode in needs.modes)
    if kernel.one_step:
        rows += needs.sums
    doubles = needs.moments_x + needs.moments_r + 2 * needs.comparisons + (1 + 2 * needs.correlation) * needs.readings
    waiting = 2 * kernel.rows_of_rates if kernel.one_step else 0
    single = (
        waiting
        + len(needs.modes)
        + len(needs.factors.projections)
        + sum(parse_name(name).base == "W" for name in job.design.swept)
    )
    return needs.units * (rows * needs.itemsize + doubles * 8) + single * needs.itemsize + 24


def record_sizes(job: Job, sets: int, steps: int) -> dict[str, int]:
    """Return the size of a record array for some sets and steps, by axis: ``set``, ``record``, ``unit``."""
    record = job.records[0]
    kept = job.model.units if record.units is None else len(record.units)
    return {"set": sets, "record": -(-steps // record.every), "unit": kept}


def from_record(record: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Transpose a record to ``(set, time, unit)``."""
    return record.transpose([kernel.record_axes.index(axis) for axis in ("set", "record", "unit")])


def records_in(job: Job, first: int, stop: int) -> slice:
    """Return which records of a trajectory belong to steps ``first`` to ``stop - 1``, after the transient."""
    every, origin = job.records[0].every, job.integration.transient_steps
    return slice((first - origin) // every, (stop - origin) // every)


def measured(job: Job, arrays: dict[str, np.ndarray], kernel: Kernel) -> dict[str, np.ndarray]:
    """Return the wanted statistics of a batch from its final arrays, each ``(unit, set)``, by name."""
    needs = kernel.needs
    final = {"x": arrays["state"][0], "r": arrays["rates"][: needs.units] if kernel.one_step else arrays["state"][1]}
    moments = np.split(arrays.get("moments", np.empty((0,))), [needs.moments_x, needs.moments_x + needs.moments_r])[:2]
    out: dict[str, np.ndarray] = {}
    for of, own in zip(VARIABLES, moments, strict=True):
        running = zip(needs.running, arrays.get("running", ()), strict=True)
        accumulated = Accumulated(
            final=final[of],
            moments=_moments(own, job.integration.steps - job.integration.transient_steps),
            running={name: numbers for (variable, name), numbers in running if variable == of},
        )
        out |= {
            f"{of}_{name}": value
            for name, value in wanted(job.observed, of, job.comparisons.every_step).values(accumulated).items()
        }
    return out


def read_variance(kernel: Kernel, arrays: dict[str, np.ndarray], used: Sequence[Reading]) -> np.ndarray:
    """Return the variance of what each comparison of a pass reads of the rates, ``(comparison, unit, set)``."""
    needs = kernel.needs
    rows = arrays["moments"][needs.moments_x + needs.moments_r :]
    variance = np.stack([_moments(rows[2 * q : 2 * q + 2], one.count)[1] for q, one in enumerate(used)])
    return variance[list(needs.reading_of)]


def centred(kernel: Kernel, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the sums of products of a pass, as if the rates had been shifted by their mean, ``(comparison, unit, set)``.

    The deviations of a target add up to 0 but for rounding. A mean far from 0 makes that large where rates hardly change.
    """
    needs = kernel.needs
    means = arrays["moments"][needs.moments_x + needs.moments_r :: 2][list(needs.reading_of)]
    if not needs.readings:
        means = arrays["moments"][needs.moments_x][None]
    products: np.ndarray = arrays["comparisons"][0] - means * arrays["deviations"][..., None]
    return products


def _moments(rows: npt.NDArray[np.float64], count: int) -> list[npt.NDArray[np.float64]]:
    """Return the moments from their rows: the mean, then sums of powers divided by the count. No variance is below 0."""
    return [
        row if power == 1 else (np.maximum(row, 0.0) if power == 2 else row) / count
        for power, row in enumerate(rows, start=1)
    ]


def unknown_from(job: Job, diverged: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the records at or after the steps at which sets diverged, as indices of sets and of records."""
    sets, times = np.nonzero(record_steps(job.records[0].every, job.integration) >= diverged[:, None])
    return sets, times
