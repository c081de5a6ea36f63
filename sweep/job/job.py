"""A job: model, input, design, integration and observables. It is checked as a whole, and identified by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from sweep import observables, spec
from sweep.checks import Count, OneOf, Seed, check_fields
from sweep.checks.caution import once, silence
from sweep.design.arrays import ParameterSets, gather
from sweep.design.design import Block, Blocks, Design
from sweep.errors import JobError
from sweep.job import parts, teachers, traps, varied
from sweep.job.report import Report
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import INPUT_NUMBERS, Array
from sweep.model.populations import Projection
from sweep.observables import ALWAYS, Record, Variable
from sweep.signals.measurements import Comparisons
from sweep.signals.numbers import own_number
from sweep.signals.recorded import StepMeans, heard
from sweep.signals.signal import Signal
from sweep.signals.targets import ModelOutput, Target
from sweep.spec import stored

NOISE_PAIRINGS = ("independent", "common")
_NOT_IDENTITY = ("sets_per_block", "report", "title", "description")

#: Limits for the size of a block: bytes of its chunks, unit-updates, and the smallest number of units with which operations on
#: arrays are efficient.
_BLOCK_BYTES = 64 * 2**20
_BLOCK_UPDATES = 2 * 10**9
_EFFICIENT_UNITS = 2**16
_MOST_BLOCKS = 10_000


@stored("Job")
@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """Everything that defines the results of a sweep.

    Parameters
    ----------
    model : Model
        The network and the parameters that all sets share.
    integration : Integration
        Step, duration, transient, scheme, precision.
    observe : sequence of str or Record
        What to measure: names of observables (see :data:`sweep.observables.OBSERVABLES`), and records.
    design : Design
        The sets; a single set by default.
    input : Signal or sequence of Signal, optional
        The input u(t), of which the design may vary every number: ``input_frequency`` is its frequency. Several inputs are an
        ensemble, of which the parameter ``stimulus`` chooses.
    target : Target or sequence of Target, optional
        The target that the rates are compared with. With several targets the results have a dimension ``target``.
    seed : int
        Seed of the noise.
    noise_pairing : {"independent", "common"}
        Whether each set has its own noise, or all sets with the same replicate share theirs (common random numbers).
    sets_per_block : int, optional
        The largest number of sets in a block; by default it depends on size and work. It never changes a result.
    report : Report, optional
        What the command line shows at the end.
    title : str
        The question of the job, in a line. Title and description become attributes of the result.
    description : str
        What the job is for, and what is known about its result.

    Raises
    ------
    JobError
        If the parts do not fit together. Then nothing has been computed or written yet.

    Warns
    -----
    UserWarning
        Once, if results depend on something that may not be meant: a step that overshoots, rows of a design that share
        their noise, replicates without noise, noise or a start where ``tau_s`` is 0, an input of noise that depends on dt.
    """

    model: Model
    integration: Integration
    observe: tuple[str | Record, ...]
    design: Design = field(default_factory=lambda: Design(()))
    input: Signal | tuple[Signal, ...] | None = None
    target: Target | tuple[Target, ...] | None = None
    seed: Seed = 0
    noise_pairing: Annotated[str, OneOf(NOISE_PAIRINGS)] = "independent"
    sets_per_block: Count | None = None
    report: Report | None = None
    title: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        several: tuple[tuple[str, type], ...] = (("input", Signal), ("target", Target))
        for name, kind in several:
            value = getattr(self, name)
            if isinstance(value, Sequence):
                object.__setattr__(self, name, tuple(value))
            for item in value if isinstance(value, Sequence) else () if value is None else (value,):
                if not isinstance(item, kind):
                    raise JobError(f"{name} is a {type(item).__name__}: give a {kind.__name__}, or several in a list.")
            if isinstance(value, Sequence) and not value:
                raise JobError(f"{name} is an empty list: give at least one, or leave it out.")
        check_fields(self)
        observe = observables.parse(self.observe, self.model.units, self.integration, self.target is not None)
        object.__setattr__(self, "observe", observe)
        with once():
            self._check_parts()
            traps.look(self.model, self.design, self.inputs, self.integration)
        if self.report is not None:
            self.report.check([item for item in self.observe if isinstance(item, str)], self.labels)

    def _check_parts(self) -> None:
        parts.check_design(self.design, self.model, self.inputs, self.integration)
        parts.check_inputs(self.inputs, self.model, self.integration)
        varied.check(self.design, self.input_numbers, self.given_inputs, self.integration)
        parts.check_targets(self.targets, self.model, self.integration)
        if self.targets:
            _ = self.comparisons  # this refuses a target of which too little can be compared
            traps.look_at_targets(self.targets, self.integration.dt)
        for target in self.targets:
            if isinstance(target.signal, ModelOutput):
                try:
                    self.teacher(target.signal)
                except JobError as error:
                    raise JobError(f"target (model): {error}") from None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the coordinates by which results can be selected and plotted."""
        rates = [f"alpha_{base[-1]}" for base in ("tau_s", "tau_r") if base in self.design.swept]
        extra = [dim for variable in self.variables for dim in variable.dims]
        return tuple(dict.fromkeys([*self.design.swept, *rates, *self.design.dims, *extra]))

    # -------------------------------------------------------------------------------------------------------- parts

    @property
    def inputs(self) -> tuple[Signal, ...]:
        """All inputs, as the model hears them; empty if there is none."""
        return tuple(map(heard, self.given_inputs))

    @property
    def given_inputs(self) -> tuple[Signal, ...]:
        """All inputs, as the user gave them."""
        return () if self.input is None else self.input if isinstance(self.input, tuple) else (self.input,)

    @property
    def input_numbers(self) -> tuple[str, ...]:
        """Names of the numbers of the input that the design varies, such as ``input_frequency``."""
        return tuple(name for name in self.design.swept if name in INPUT_NUMBERS)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets; empty if there is none."""
        return () if self.target is None else self.target if isinstance(self.target, tuple) else (self.target,)

    @property
    def lags(self) -> tuple[float, ...]:
        """Lags of the targets, ms; empty without a target."""
        return self.targets[0].lags if self.targets else ()

    @property
    def lags_in_steps(self) -> tuple[int, ...]:
        """Lags of the targets in steps; empty without a target."""
        return tuple(self.integration.count("target.lags", lag) for lag in self.lags)

    @cached_property
    def comparisons(self) -> Comparisons:
        """When the rates are read for each target and lag; see `sweep.signals.measurements`."""
        timing = self.integration
        observed = range(timing.transient_steps, timing.steps)
        return Comparisons.between([one.signal for one in self.targets], self.lags_in_steps, observed, timing.dt)

    @property
    def records(self) -> tuple[Record, ...]:
        """The records (trajectories) to keep."""
        return tuple(item for item in self.observe if isinstance(item, Record))

    @property
    def observed(self) -> frozenset[str]:
        """Names of the observables that are not records."""
        return frozenset(item for item in self.observe if isinstance(item, str))

    @property
    def projections(self) -> Mapping[str, Projection]:
        """What is scaled by factors ``gain[E,I]``, of the model or of the design, by name."""
        return self.model.named.projections([*self.model.parameters, *self.design.swept])

    @property
    def followed(self) -> tuple[str, ...]:
        """The swept parameters that a teacher takes from the set that is compared with it."""
        signals = [target.signal for target in self.targets]
        own = {name for one in signals if isinstance(one, ModelOutput) for name in one.followed(self.design.swept)}
        return tuple(sorted(own))

    def teacher(self, output: ModelOutput, follows: Mapping[str, Array] | None = None) -> Job:
        """Return the job of a teacher, whose recorded rates are the target.

        Its model is that of this job with the teacher's parameters. All else is alike, so that a back end takes the same steps:
        it sweeps the same parameters, and measures as much.

        Parameters
        ----------
        output : ModelOutput
            The teacher.
        follows : mapping of str to ndarray, optional
            What it follows (:meth:`ModelOutput.followed`), ``(set,)`` each; by default the first values of the design.

        Returns
        -------
        Job
            It records r in every step in which a lag of this job reads it.

        Raises
        ------
        JobError
            If the teacher's parameters do not fit the model.
        """
        if follows is None:
            names = output.followed(self.design.swept)
            follows = {name: self.design.axis(name).values(0, 1)[name] for name in names}
        own = teachers.parameters(self.model.parameters, output.parameters)
        for name in ("network", "stimulus"):
            if name in self.design.swept and name not in follows:
                own.setdefault(name, 0)
        model = self.model
        if output.weights is not None:
            own["network"] = 0
            model = replace(model, weights=output.weights)
        model = replace(model, parameters=own)
        design = teachers.sets(model, self.design, follows)
        model = replace(model, parameters=teachers.parameters(own, dict.fromkeys(design.swept)))
        timing, ahead = self.integration, max((0.0, *self.lags))
        first = timing.transient + min((0.0, *self.lags)) if self.comparisons.every_step else 0.0
        names = tuple(name for name in self.observe if isinstance(name, str))
        return Job(
            model=model,
            input=self.input,
            target=teachers.stand_ins(self.targets, timing.dt),
            design=design,
            integration=replace(timing, duration=timing.duration + ahead, transient=first),
            observe=(*names, Record("r")),
            seed=self.seed,
            noise_pairing=self.noise_pairing,
        )

    # ------------------------------------------------------------------------------------------- layout and blocks

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The variables of the result, with the shape for one set; ``diverged_at`` and ``status`` come last."""
        targets = len(self.target) if isinstance(self.target, tuple) else None
        own = observables.variables(self.observe, self.model.units, self.integration, len(self.lags), targets)
        return own + ALWAYS

    @property
    def bytes_per_set(self) -> int:
        """Size of the result of one set before compression, in bytes."""
        return sum(variable.bytes_per_set for variable in self.variables)

    @property
    def updates_per_set(self) -> int:
        """Number of unit-updates of one set: units times steps."""
        return self.model.units * self.integration.steps

    @cached_property
    def blocks(self) -> Blocks:
        """The sets in blocks. A block is computed, written and tried again as a whole; it is a chunk of every variable."""
        return self.design.blocks(self.most_sets_per_block)

    @property
    def most_sets_per_block(self) -> int:
        """The largest number of sets in a block: given by the job, or chosen by its size and work."""
        if self.sets_per_block is not None:
            return self.sets_per_block
        # Small enough for the memory, and so that little is lost if a run is killed. Large enough that arrays are efficient and
        # files few. The number of blocks is a power of two if possible, so that workers get equal shares.
        most = min(_BLOCK_BYTES // self.bytes_per_set, _BLOCK_UPDATES // self.updates_per_set)
        efficient = max(1, _EFFICIENT_UNITS // self.model.units)
        parts = 1
        while parts < 16 and self.design.size >= 2 * parts * efficient:
            parts *= 2
        few = -(-self.design.size // _MOST_BLOCKS)
        return max(1, few, min(most, -(-self.design.size // parts)))

    def parameter_sets(self, block: Block) -> ParameterSets:
        """Return the parameters of the sets of a block, in C order."""
        own = {name: own_number(self.given_inputs[0], name) for name in self.input_numbers}
        return gather(self.model, self.design.values(block), block.size, self.noise_pairing == "common", own)

    # ------------------------------------------------------------------------------------------------------ identity

    def changed(self, **parts: Any) -> Job:
        """Return the job with some of its parts replaced, without repeating its warnings."""
        with silence():
            return replace(self, **parts)

    def spec(self) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
        """Return the job as JSON-ready data, and its arrays by the digest of their content. Do not change either."""
        return self._spec

    @cached_property
    def _spec(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays: dict[str, np.ndarray] = {}  # computing their digests takes time, so the result is cached
        return spec.encode(self, arrays), arrays

    @classmethod
    def from_spec(cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Job:
        """Rebuild a job from the result of :meth:`spec`. Only classes that belong to a job can be built."""
        with silence():
            job = spec.decode(data, arrays)
        if not isinstance(job, cls):
            raise JobError(f"the stored job is a {type(job).__name__}, not a Job.")
        return job

    def changes(self, other: Job) -> list[str]:
        """Return the differences of another job that can change results, a line each: ``integration.dt: 0.5 -> 0.25``."""
        own, others = self.identity(), other.identity()
        return spec.differences(own, others)

    @cached_property
    def hash(self) -> str:
        """The SHA-256 hash of everything in the job that can change a result."""
        return _digest(self.identity())

    @cached_property
    def target_hash(self) -> str:
        """The SHA-256 hash of what the targets depend on: everything but the values of the sets."""
        fixed = {key: value for key, value in self.identity().items() if key != "design"}
        return _digest([fixed, {name: self.design.axis(name).width(name) for name in self.design.swept}])

    def identity(self) -> dict[str, Any]:
        """Return the part of :meth:`spec` that the hash covers: all except blocks, report, title and description.

        Two things are named besides, so that a store of the time before does not go on as one of today: that an input is
        averaged over the steps (it was once picked), and that a target is compared where it was measured (its values were
        once held, and compared in every step). So is the order of populations, which mappings are compared without.
        """
        data, _ = self.spec()
        own = {key: value for key, value in data.items() if key not in _NOT_IDENTITY}
        if any(isinstance(signal, StepMeans) and signal.averages(self.integration.dt) for signal in self.inputs):
            own["inputs"] = "means over steps"
        if self.targets and not self.comparisons.every_step:
            own["targets"] = "where measured"
        if self.model.populations:
            own["populations"] = list(self.model.populations)
        return own


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
