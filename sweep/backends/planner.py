"""Which kernel takes the steps of a job, and how it is cut to the job's measure.

There are three designs (``kernels/README.md``): a thread per set, a group of lanes per set, and a product per step. Each is
compiled for exactly what a job needs. What a design cannot hold in registers goes to the next one; more comparisons with
targets than any can hold are made in several passes over the same steps.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweep.backends.source import Specialisation
from sweep.job import Job
from sweep.model import PARAMETERS, parse_name
from sweep.targets import ModelOutput

#: What ``kernels/arguments.cuh`` calls ``Which``, in its order, with the parameters that each depends on.
WHICH: dict[str, tuple[str, ...]] = {
    "alpha_s": ("tau_s",),
    "alpha_r": ("tau_r",),
    "noise": ("noise", "tau_s"),
    "gain": ("gain",),
    "input_gain": ("input_gain",),
    "bias": ("bias",),
    "slope": ("slope",),
    "threshold": ("threshold",),
}
#: ... and ``Mode``.
NEUTRAL, COMMON, BY_UNIT, BY_SET, BY_BOTH = range(5)
#: The arrays of ``struct Arguments``, in its order.
POINTERS = (
    *("state", "rates", "new_rates", "sums", "moments", "extremes", "comparisons", "record_x", "record_r", "diverged"),
    *("by_set", "by_unit", "weights", "entries", "entry_units", "networks", "stimuli", "streams"),
    *("series", "series_sums", "places"),
)
#: ``kernels/activations.cuh``.
ACTIVATION_NUMBERS = {"linear": 0, "relu": 1, "tanh": 2, "sigmoid": 3, "softplus": 4}
#: Parameters with a value that changes nothing.
_NEUTRAL = {"noise": 0.0, "gain": 1.0, "input_gain": 1.0, "bias": 0.0, "slope": 1.0, "threshold": 0.0}

_WARP = 32
_TILE, _DEPTH = 64, 16  # of kernels/product.cu
_THREADS = 128
_PARTS_OF_SM, _REGISTERS_OF_PART = 4, 16_384
#: Registers that a plan may count on; the compiler wants some of the 255 for addresses and for loads under way.
_REGISTERS = 190
_OTHER_REGISTERS = 34
_MOST_UNITS_OF_THREAD = 12
_MOST_ROWS = 4
_MOST_COMPARISONS = 32
#: Instructions of a unit-step besides the product, of which the activation; as counted in the compiled kernels.
_INSTRUCTIONS = 16
_NOISE_INSTRUCTIONS = 45
#: Shared memory for the series, and the most steps of it.
_STAGE_BYTES, _STAGE_STEPS, _FEWEST_STAGE_STEPS = 16_384, 256, 16


def _ceil(number: int, share: int) -> int:
    return -(-number // share)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a job asks of a kernel: the macros of ``kernels/arguments.cuh`` that do not depend on the design."""

    units: int
    precision: str
    activation: str
    sequential: bool
    compensated: bool
    coupling: int
    modes: tuple[int, ...]
    stimuli: int
    input_units: int
    moments_x: int
    moments_r: int
    extremes: tuple[bool, bool, bool, bool]
    comparisons: int
    correlation: bool
    mse: bool
    target_units: int
    record_x: bool
    record_r: bool
    detect: bool = False

    @classmethod
    def of(cls, job: Job, compensated: bool) -> Needs:
        """Return the needs of those sets of a job whose sums are compensated, or of those whose are not."""
        model, timing, names = job.model, job.integration, job.observed
        bases = {parse_name(name).base for name in job.design.parameters}
        correlation, mse = "target_correlation" in names, "target_mse" in names
        compared = len(job.targets) * len(job.lags) if correlation or mse else 0
        by_unit = any(isinstance(one.signal, ModelOutput) or one.signal.channels > 1 for one in job.targets)
        moments = {of: 2 if names & {f"{of}_var", f"{of}_std"} else int(f"{of}_mean" in names) for of in "xr"}
        matrices = [model.input_matrix(signal.channels) for signal in job.inputs[:1]]
        per_unit = any(model.units > 1 and (matrix != matrix[0]).any() for matrix in matrices)
        return cls(
            units=model.units,
            precision=timing.precision,
            activation=model.activation,
            sequential=timing.scheme == "sequential",
            compensated=compensated,
            coupling=2 if bases & {"W", "network"} else int(model.weights is not None),
            modes=_modes(job, bases),
            stimuli=len(job.inputs) if "stimulus" in bases else min(1, len(job.inputs)),
            input_units=model.units if per_unit else 1,
            moments_x=moments["x"],
            moments_r=2 if correlation else moments["r"],
            extremes=("x_min" in names, "x_max" in names, "r_min" in names, "r_max" in names),
            comparisons=compared,
            correlation=correlation,
            mse=mse,
            target_units=model.units if compared and by_unit else 1,
            record_x=any(record.variable == "x" for record in job.records),
            record_r=any(record.variable == "r" for record in job.records),
        )

    @property
    def itemsize(self) -> int:
        """Bytes of a number of the state."""
        return np.dtype(self.precision).itemsize

    @property
    def noisy(self) -> bool:
        """Whether the sets have noise."""
        return self.modes[list(WHICH).index("noise")] != NEUTRAL

    @property
    def columns(self) -> int:
        """Numbers per step that do not depend on the set."""
        kinds = self.correlation + self.mse
        return self.stimuli * self.input_units + kinds * self.comparisons * self.target_units

    @property
    def sums(self) -> int:
        """Numbers per unit that add up within a segment, the shifts among them."""
        moments = 3 * (self.moments_x > 0) + 3 * (self.moments_r > 0)
        return moments + (self.correlation + self.mse) * self.comparisons

    def to_detect(self) -> Needs:
        """Return what it takes to look for the step at which sets diverge, along the same trajectory."""
        return dataclasses.replace(
            self,
            moments_x=0,
            moments_r=0,
            extremes=(False,) * 4,
            comparisons=0,
            correlation=False,
            mse=False,
            target_units=1,
            record_x=False,
            record_r=False,
            detect=True,
        )

    def to_compare(self, comparisons: int, first: bool) -> Needs:
        """Return what a pass over the steps needs that makes some of the comparisons; the first does all the rest."""
        if first:
            return dataclasses.replace(self, comparisons=comparisons)
        return dataclasses.replace(
            self,
            comparisons=comparisons,
            moments_x=0,
            moments_r=0,
            extremes=(False,) * 4,
            record_x=False,
            record_r=False,
        )


def _modes(job: Job, bases: set[str]) -> tuple[int, ...]:
    """By what each parameter varies, in the whole job: never in a block alone."""
    values = {name: job.model.parameter(name) for name in PARAMETERS}
    modes = []
    for name, sources in WHICH.items():
        by_set = any(source in bases for source in sources)
        by_unit = any(
            values[source].size > 1
            or any(
                parse_name(swept).base == source
                and (parse_name(swept).index or job.design.axis(swept).width(swept) > 1)
                for swept in job.design.parameters
            )
            for source in sources
        )
        neutral = _NEUTRAL.get(name)
        own = sources[0]
        if neutral is not None and own not in bases and (values[own] == neutral).all():
            modes.append(NEUTRAL)
        else:
            modes.append(
                (BY_BOTH if by_set else BY_UNIT) if by_unit and job.model.units > 1 else BY_SET if by_set else COMMON
            )
    return tuple(modes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A kernel, specialised, and how it is launched.

    Attributes
    ----------
    file : str
        The design, in ``kernels/``.
    needs : Needs
        What it is compiled for.
    threads : int
        In a block.
    sets_per_block : int
        The number of sets is padded to a multiple of it.
    rows, parts : int
        Of the weights, for a lane; 0 where a design has no such thing.
    unroll : int
        Steps in a turn of the time loop.
    """

    file: str
    needs: Needs
    threads: int
    sets_per_block: int
    rows: int = 0
    parts: int = 0
    unroll: int = 1

    @property
    def by_value(self) -> bool:
        """Whether weights and what varies by unit are passed by value."""
        return self.file == THREAD_PER_SET

    @property
    def by_lanes(self) -> bool:
        """Whether neighbouring lanes have the units of a set, and so its records side by side."""
        return self.file == LANES_PER_SET

    @property
    def steps_per_launch(self) -> int | None:
        """How many steps a launch may take; None where it does not matter."""
        return 1 if self.file == PRODUCT else None

    @property
    def constants(self) -> int:
        """How many numbers are passed by value."""
        needs = self.needs
        by_unit = sum(mode == BY_UNIT for mode in needs.modes) * needs.units
        return len(WHICH) + ((by_unit + (needs.coupling == 1) * needs.units**2) if self.by_value else 0)

    @property
    def stage(self) -> int:
        """Steps of the series that are in shared memory at a time."""
        needs = self.needs
        if not needs.columns or self.file == PRODUCT:
            return 0
        steps = _STAGE_BYTES // (needs.columns * needs.itemsize)
        whole = min(_STAGE_STEPS, steps // self.unroll * self.unroll)
        return whole if whole >= _FEWEST_STAGE_STEPS else 0

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        itemsize = self.needs.itemsize
        if self.file == PRODUCT:
            return _TILE * _TILE * itemsize
        rates = 0
        if self.file == LANES_PER_SET:
            rates = 2 * self.sets_per_block * (4 * _ceil(self.needs.units, 4) + 4)
        return (rates + self.stage * self.needs.columns) * itemsize

    @property
    def registers(self) -> int:
        """About how many registers a thread needs."""
        needs = self.needs
        if self.file == PRODUCT:
            return 112
        held = needs.units if self.file == THREAD_PER_SET else self.rows // self.parts
        each = 2 + 2 * needs.compensated + needs.sums + sum(needs.extremes)
        each += sum(mode == BY_BOTH or (mode == BY_UNIT and not self.by_value) for mode in needs.modes)
        each += 2 if needs.noisy else 0
        weights = 0
        if needs.coupling and self.file == LANES_PER_SET:
            weights = self.rows * 4 * _ceil(_ceil(needs.units, 4), self.parts)
        elif needs.coupling == 2:
            weights = needs.units**2
        common = sum(mode == BY_SET for mode in needs.modes)
        return _OTHER_REGISTERS + (held * (each + 1) + weights + common) * needs.itemsize // 4

    @property
    def fits(self) -> bool:
        """Whether a thread has registers enough, and a block no more threads than are worth a barrier."""
        return self.registers <= _REGISTERS and self.threads <= 8 * _WARP

    @property
    def instructions(self) -> float:
        """About how many instructions of a thread a unit-step takes, idle lanes counted."""
        needs = self.needs
        other = _INSTRUCTIONS + 2 * needs.sums + sum(needs.extremes) + _NOISE_INSTRUCTIONS * needs.noisy
        product = needs.units if needs.coupling else 0
        if self.file == PRODUCT:
            return 1.2 * product + 3 * other
        if self.file == THREAD_PER_SET:
            return product + other
        held = self.rows // self.parts
        lanes = self.parts * _ceil(needs.units, self.rows)
        quads = _ceil(_ceil(needs.units, 4), self.parts) if needs.coupling else 0
        wasted = 2 if needs.noisy and held % 2 else 1
        step = quads * (4 * self.rows + 1) + held * (other + 2 * (self.parts - 1)) + 6
        step += held * (wasted - 1) * _NOISE_INSTRUCTIONS
        width = _ceil(lanes, _WARP) * _WARP if lanes > _WARP else _WARP / (_WARP // lanes)
        return step * width / needs.units

    @cached_property
    def arguments(self) -> np.dtype[np.void]:
        """``struct Arguments`` of ``kernels/arguments.cuh``."""
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [(name, "u8") for name in POINTERS]
        fields += [("seed", "u8"), *((name, "u4") for name in ("first", "steps", "origin", "end"))]
        fields += [(name, "i4") for name in ("sets", "entry_count", "every", "kept")]
        return np.dtype([*fields, ("constants", self.needs.precision, (self.constants,))], align=True)

    @cached_property
    def specialisation(self) -> Specialisation:
        """What to compile."""
        needs = self.needs
        low_x, high_x, low_r, high_r = needs.extremes
        macros: dict[str, int | str] = {
            "REAL": "float" if needs.precision == "float32" else "double",
            "UNITS": needs.units,
            "ACTIVATION": ACTIVATION_NUMBERS[needs.activation],
            "SEQUENTIAL": int(needs.sequential),
            "COMPENSATED": int(needs.compensated),
            "COUPLING": needs.coupling,
            "MODES": ", ".join(map(str, needs.modes)),
            "STIMULI": needs.stimuli,
            "INPUT_UNITS": needs.input_units,
            "MOMENTS_X": needs.moments_x,
            "MOMENTS_R": needs.moments_r,
            "LOW_X": int(low_x),
            "HIGH_X": int(high_x),
            "LOW_R": int(low_r),
            "HIGH_R": int(high_r),
            "COMPARISONS": needs.comparisons,
            "CORRELATION": int(needs.correlation),
            "MSE": int(needs.mse),
            "TARGET_UNITS": needs.target_units,
            "RECORD_X": int(needs.record_x),
            "RECORD_R": int(needs.record_r),
            "DETECT": int(needs.detect),
            "STAGE": self.stage,
            "UNROLL": self.unroll,
            "CONSTANTS": self.constants,
            "BY_VALUE": int(self.by_value),
            "MIN_BLOCKS": self._blocks_per_sm,
            "ARGUMENTS_BYTES": self.arguments.itemsize,
        }
        if self.file != PRODUCT:
            macros["THREADS"] = self.threads
        if self.file == LANES_PER_SET:
            macros |= {"ROWS": self.rows, "PARTS": self.parts}
        return Specialisation.of(self.file, macros)

    @property
    def _blocks_per_sm(self) -> int:
        """Blocks that the compiler must leave registers for: without a limit it keeps constants in them."""
        if self.file == PRODUCT:
            return 4 if self.needs.itemsize == 4 else 2
        spare = 60 if self.file == LANES_PER_SET or self.needs.units <= 8 else 120
        # A warp takes its registers from one of the four parts of a multiprocessor.
        warps = _PARTS_OF_SM * (_REGISTERS_OF_PART // (_WARP * min(255, self.registers + spare)))
        return max(1, min(16, warps // (self.threads // _WARP)))

    @property
    def padded(self) -> tuple[int, int]:
        """Rows (from) and columns (to) of a weight matrix of the product."""
        units = self.needs.units
        return _ceil(units, _DEPTH) * _DEPTH, _ceil(units, _TILE) * _TILE

    def blocks(self, sets: int) -> int:
        """Return how many blocks a launch has."""
        tiles = _ceil(self.needs.units, _TILE) if self.file == PRODUCT else 1
        return sets // self.sets_per_block * tiles

    def describe(self) -> str:
        """Say in words how the steps are taken."""
        needs = self.needs
        how = {
            THREAD_PER_SET: "a thread per set",
            LANES_PER_SET: f"{self.sets_per_block} sets per block of {self.threads} lanes",
            PRODUCT: "a tiled product per step",
        }[self.file]
        return f"{how} ({self.file}), N = {needs.units}, {needs.precision}"


THREAD_PER_SET, LANES_PER_SET, PRODUCT = "thread_per_set.cu", "lanes_per_set.cu", "product.cu"


def candidates(needs: Needs) -> Iterator[Plan]:
    """Yield the ways to take the steps of a job with no more registers than there are; the last is always possible."""
    units = needs.units
    if units <= _MOST_UNITS_OF_THREAD:
        yield Plan(
            file=THREAD_PER_SET,
            needs=needs,
            threads=_THREADS,
            sets_per_block=_THREADS,
            unroll=4 if units <= 4 else 2,
        )
    for parts in (1, 2):
        for rows in range(parts, _MOST_ROWS + 1, parts) if units > 1 else ():
            lanes = parts * _ceil(units, rows)
            threads = _THREADS if lanes <= _WARP else _ceil(lanes, _WARP) * _WARP
            yield Plan(
                file=LANES_PER_SET,
                needs=needs,
                threads=threads,
                sets_per_block=threads // _WARP * (_WARP // lanes) if lanes <= _WARP else 1,
                rows=rows,
                parts=parts,
                unroll=2,
            )
    yield Plan(file=PRODUCT, needs=needs, threads=_THREADS, sets_per_block=_TILE)


def plan(needs: Needs) -> Plan:
    """Choose the way with the fewest instructions that fits."""
    *on_chip, product = candidates(needs)
    return min(filter(lambda one: one.fits, on_chip), key=lambda one: one.instructions, default=product)


def passes(needs: Needs) -> list[tuple[slice, Plan]]:
    """Divide the comparisons of a job into passes over its steps.

    Returns
    -------
    list of (slice, Plan)
        The comparisons of each pass; the first also measures all the rest.
    """
    fewest = _ceil(needs.comparisons, _MOST_COMPARISONS)
    shares = min(
        range(max(1, fewest), max(1, needs.comparisons) + 1),
        key=lambda count: sum(one.instructions for _, one in _divided(needs, count)),
    )
    return _divided(needs, shares)


def _divided(needs: Needs, shares: int) -> list[tuple[slice, Plan]]:
    bounds = [needs.comparisons * k // shares for k in range(shares + 1)]
    return [
        (slice(low, high), plan(needs.to_compare(high - low, first=low == 0)))
        for low, high in itertools.pairwise(bounds)
    ]
