"""What a job needs from a kernel, and what all kernels have in common: macros, arguments and layout."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.factors import Factors
from sweep.backends.compiled.source import Specialisation
from sweep.backends.drive import most_stimuli, units_that_hear
from sweep.job import Job
from sweep.model.parameters import PARAMETERS, parse_name
from sweep.observables import CORRELATION, MSE, VARIABLES, wanted
from sweep.signals.targets import ModelOutput

#: Parameters that have another form in the kernels: instead of a time constant they use its rate constant alpha = dt/tau.
_IN_A_STEP = {"tau_s": "alpha_s", "tau_r": "alpha_r"}
#: Other parameters that a number in the kernels depends on: the noise of a step has the standard deviation noise sqrt(2 alpha_s).
_BESIDES = {"noise": ("tau_s",)}
#: The numbers in the kernels' equations, in their order, with the parameters that each depends on.
WHICH: dict[str, tuple[str, ...]] = {
    _IN_A_STEP.get(name, name): (name, *_BESIDES.get(name, ())) for name, row in PARAMETERS.items() if not row.at_start
}
#: What a parameter varies by: ``Mode`` of ``kernels/arguments.cuh``, in its order.
MODES = ("NEUTRAL", "COMMON", "BY_UNIT", "BY_SET", "BY_BOTH")
NEUTRAL, COMMON, BY_UNIT, BY_SET, BY_BOTH = range(5)
#: The largest number of stimuli of a batch if they are made for it, and of their bytes in a step.
_MOST_STIMULI, _INPUT_BYTES = 2**9, 2**16
#: The arrays of ``struct Arguments``, in its order.
POINTERS = (
    *(
        "state",
        "rates",
        "new_rates",
        "sums",
        "moments",
        "running",
        "comparisons",
        "open",
        "record_x",
        "record_r",
        "diverged",
    ),
    *("by_set", "by_unit", "weights", "factors", "factor_rows", "run_ends", "copies"),
    *("entries", "entry_units", "networks", "stimuli", "streams"),
    *("series", "segments", "places"),
)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a job needs from a kernel: the macros of ``kernels/arguments.cuh`` that do not depend on the kernel's design.

    With a ``coupling`` of 2 sets have other weights than those of one matrix. If ``chooses``, they choose a matrix or replace
    entries of it; ``factors`` says what they scale.
    """

    units: int
    precision: str
    activation: str
    sequential: bool
    compensated: bool
    coupling: int
    chooses: bool
    factors: Factors
    modes: tuple[int, ...]
    stimuli: int
    input_units: int
    moments_x: int
    moments_r: int
    running: tuple[tuple[str, str], ...]
    comparisons: int
    correlation: bool
    mse: bool
    target_units: int
    reading_of: tuple[int, ...]
    record_x: bool
    record_r: bool
    detect: bool = False

    @classmethod
    def of(cls, job: Job, compensated: bool) -> Needs:
        """Return the needs of a job, for its sets with compensated sums or for those without."""
        model, timing, names = job.model, job.integration, job.observed
        bases = {key.base for key in map(parse_name, job.design.swept) if not key.is_factor}
        factors = Factors(model.units, tuple(job.projections.values()))
        chooses = bool(bases & {"W", "network"})
        correlation, mse = CORRELATION in names, MSE in names
        statistics = {of: wanted(names, of, job.comparisons.every_step) for of in VARIABLES}
        compared = len(job.targets) * len(job.lags) if correlation or mse else 0
        by_unit = any(isinstance(one.signal, ModelOutput) or one.signal.channels > 1 for one in job.targets)
        input_units = units_that_hear(job)
        return cls(
            units=model.units,
            precision=timing.precision,
            activation=model.activation,
            sequential=timing.scheme == "sequential",
            compensated=compensated,
            coupling=2 if chooses or factors.runs else int(model.weights is not None),
            chooses=chooses,
            factors=factors,
            modes=_modes(job, bases),
            stimuli=_room_for_stimuli(job, input_units),
            input_units=input_units,
            moments_x=statistics["x"].moments,
            moments_r=max(statistics["r"].moments, int(bool(compared and job.comparisons.readings))),
            running=tuple((of, number.kernel) for of, own in statistics.items() for number in own.running),
            comparisons=compared,
            correlation=correlation,
            mse=mse,
            target_units=model.units if compared and by_unit else 1,
            reading_of=job.comparisons.of if compared else (),
            record_x=any(record.variable == "x" for record in job.records),
            record_r=any(record.variable == "r" for record in job.records),
        )

    @property
    def itemsize(self) -> int:
        """Size of a number of the state, in bytes."""
        return np.dtype(self.precision).itemsize

    @property
    def noisy(self) -> bool:
        """Whether the sets have noise."""
        return self.modes[list(WHICH).index("noise")] != NEUTRAL

    @property
    def readings(self) -> int:
        """Number of readings: of the different ways in which comparisons read the rates; 0 if they read every step."""
        return len(set(self.reading_of))

    @property
    def columns(self) -> int:
        """Number of columns of the series: numbers of a step that do not depend on the set."""
        kinds = self.correlation + self.mse
        return self.stimuli * self.input_units + self.readings + kinds * self.comparisons * self.target_units

    @property
    def sums(self) -> int:
        """Number of sums of a unit within a segment, including the shifts."""
        moments = sum(1 + order for order in (self.moments_x, self.moments_r) if order)
        read = self.readings * (1 + 3 * self.correlation)
        return moments + (self.correlation + self.mse) * self.comparisons + read

    def to_detect(self) -> Needs:
        """Return the needs of a kernel that finds the step at which sets diverge, along the same trajectory."""
        return dataclasses.replace(
            self,
            moments_x=0,
            moments_r=0,
            running=(),
            comparisons=0,
            correlation=False,
            mse=False,
            target_units=1,
            reading_of=(),
            record_x=False,
            record_r=False,
            detect=True,
        )

    def to_compare(self, some: slice) -> Needs:
        """Return the needs of a pass that makes some of the comparisons. The first pass also does everything else."""
        comparisons, reading_of = some.stop - some.start, numbered(self.reading_of[some])[1]
        if some.start == 0:
            return dataclasses.replace(self, comparisons=comparisons, reading_of=reading_of)
        return dataclasses.replace(
            self,
            comparisons=comparisons,
            reading_of=reading_of,
            moments_x=0,
            # The sums use deviations from the shift of the moments.
            moments_r=int(self.correlation or self.readings > 0),
            running=(),
            record_x=False,
            record_r=False,
        )

    def macros(self) -> dict[str, int | str]:
        """Return the macros of ``kernels/arguments.cuh``."""
        parameters = (
            f"X({name}, {MODES[mode]}, {PARAMETERS[sources[0]].neutral or 0:g})"
            for (name, sources), mode in zip(WHICH.items(), self.modes, strict=True)
        )
        running = (f"X({row}, {of}, {kernel})" for row, (of, kernel) in enumerate(self.running))
        seen = [of for of, _ in self.running]
        return {
            "REAL": "float" if self.precision == "float32" else "double",
            "UNITS": self.units,
            "ACTIVATION": self.activation,
            "SEQUENTIAL": int(self.sequential),
            "COMPENSATED": int(self.compensated),
            "COUPLING": self.coupling,
            "RUNS": len(self.factors.runs),
            "EACH_PARAMETER(X)": " ".join(parameters),
            "STIMULI": self.stimuli,
            "INPUT_UNITS": self.input_units,
            "MOMENTS_X": self.moments_x,
            "MOMENTS_R": self.moments_r,
            "RUNNING_X": seen.count("x"),
            "RUNNING_R": seen.count("r"),
            "EACH_RUNNING(X)": " ".join(running),
            "COMPARISONS": self.comparisons,
            "CORRELATION": int(self.correlation),
            "MSE": int(self.mse),
            "TARGET_UNITS": self.target_units,
            "READINGS": self.readings,
            "READING_OF": ", ".join(map(str, self.reading_of or (0,))),
            "RECORD_X": int(self.record_x),
            "RECORD_R": int(self.record_r),
            "DETECT": int(self.detect),
        }


def numbered(reading_of: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the different readings of some comparisons in their order, and for each comparison the number of its own."""
    different = tuple(sorted(set(reading_of)))
    return different, tuple(different.index(reading) for reading in reading_of)


def _room_for_stimuli(job: Job, input_units: int) -> int:
    """Return how many stimuli a batch may have. It is a power of two if they are made for the batch, so that kernels are few."""
    most = most_stimuli(job)
    if not job.input_numbers:
        return most
    room = min(_MOST_STIMULI, max(1, _INPUT_BYTES // (input_units * job.integration.dtype.itemsize)))
    return 1 << min(room.bit_length() - 1, (most - 1).bit_length())


def _modes(job: Job, bases: set[str]) -> tuple[int, ...]:
    """Return what each parameter varies by, in the whole job and not only in one block."""
    values = {name: job.model.parameter(name) for name in PARAMETERS}
    modes = []
    for sources in WHICH.values():
        by_set = any(source in bases for source in sources)
        by_unit = any(
            values[source].size > 1
            or any(
                key.base == source
                and not key.is_factor
                and (key.index or job.design.axis(str(key)).width(str(key)) > 1)
                for key in map(parse_name, job.design.swept)
            )
            for source in sources
        )
        own = sources[0]
        neutral = PARAMETERS[own].neutral
        if neutral is not None and own not in bases and (values[own] == neutral).all():
            modes.append(NEUTRAL)
        else:
            modes.append(
                (BY_BOTH if by_set else BY_UNIT) if by_unit and job.model.units > 1 else BY_SET if by_set else COMMON
            )
    return tuple(modes)


@dataclass(frozen=True, kw_only=True)
class Kernel(ABC):
    """A kernel cut to a job, and how sets are laid out for it.

    Attributes
    ----------
    file : str
        Name of its file in ``kernels/``.
    needs : Needs
        What it is compiled for.
    tile_sets : int
        Number of sets in a tile. The number of sets of a batch is padded to a multiple of it.
    unroll : int
        Number of steps in a turn of the time loop.
    """

    file: str
    needs: Needs
    tile_sets: int
    unroll: int = 1

    @property
    def by_value(self) -> bool:
        """Whether weights, and parameters that vary by unit alone, are passed by value."""
        return False

    @property
    def record_axes(self) -> tuple[str, str, str]:
        """The order of a record's axes in memory: numbers that a kernel stores together are neighbours."""
        return ("record", "unit", "set")

    @property
    def one_step(self) -> bool:
        """Whether a launch is one step. Then the rates and the sums of a segment are kept in memory between launches."""
        return False

    @property
    def shares_network(self) -> bool:
        """Whether the sets of a tile must have the same network. Then entries that a set replaces are added one by one."""
        return False

    @property
    def copies(self) -> Sequence[tuple[range, int]]:
        """Runs of units of which it reads the rates times a factor, besides the rates; see :class:`Factors`."""
        return ()

    @property
    def rows_of_rates(self) -> int:
        """Number of rows of the rates, if they are kept in memory."""
        return self.needs.units

    @property
    def stage(self) -> int:
        """Number of steps whose series is in shared memory at a time; 0 if there is none."""
        return 0

    @property
    @abstractmethod
    def instructions(self) -> float:
        """About how many instructions of a lane a unit-step takes."""

    @abstractmethod
    def describe(self) -> str:
        """Return how the steps are simulated, in words."""

    @abstractmethod
    def own_macros(self) -> dict[str, int | str]:
        """Return the macros of the design."""

    def packed(self, matrices: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Lay out weight matrices ``(network, to, from)`` in the order in which the kernel reads them."""
        return matrices

    @property
    def constants(self) -> int:
        """Number of numbers that are passed by value."""
        needs = self.needs
        by_unit = sum(mode == BY_UNIT for mode in needs.modes) * needs.units
        return len(WHICH) + ((by_unit + (needs.coupling == 1) * needs.units**2) if self.by_value else 0)

    @cached_property
    def arguments(self) -> np.dtype[np.void]:
        """``struct Arguments`` of ``kernels/arguments.cuh``."""
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [(name, "u8") for name in POINTERS]
        fields += [("seed", "u8"), *((name, "u4") for name in ("first", "steps", "origin", "end"))]
        fields += [(name, "i4") for name in ("sets", "entry_count", "every", "records", "kept")]
        return np.dtype([*fields, ("constants", self.needs.precision, (self.constants,))], align=True)

    @cached_property
    def specialisation(self) -> Specialisation:
        """The source file and the macros to compile."""
        layout: dict[str, int | str] = {
            "STAGE": self.stage,
            "UNROLL": self.unroll,
            "CONSTANTS": self.constants,
            "BY_VALUE": int(self.by_value),
            "ARGUMENTS_BYTES": self.arguments.itemsize,
        }
        return Specialisation.of(self.file, self.needs.macros() | layout | self.own_macros())
