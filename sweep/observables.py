"""What can be measured of a set: statistics over time, comparisons with a target, and records of trajectories.

Every observable covers all steps after the transient, and uses the state after each step. So the state after the first step of
a simulation belongs to the time dt. Statistics are accumulated in float64 over all these steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sweep.checks import Count, OneOf, check_fields, whole
from sweep.errors import JobError, suggest
from sweep.model.integration import Integration
from sweep.spec import stored
from sweep.statistics import STATISTICS, Wanted

VARIABLES: Mapping[str, str] = {"x": "synaptic current", "r": "firing rate"}

#: What became of a set, as CF flags. 0 means "not run", so that a chunk that was never written does not look finished.
STATUS: Mapping[str, int] = {"not_run": 0, "ok": 1, "diverged": 2, "failed": 3}


@dataclass(frozen=True, kw_only=True)
class Observable:
    """One number per set and unit: a statistic of ``x`` or ``r``, or a comparison of ``r`` with a target."""

    name: str
    of: str
    statistic: str
    long_name: str

    @property
    def compares(self) -> bool:
        """Whether it compares with a target, and so has a dimension ``lag``."""
        return self.statistic in ("correlation", "mse")


OBSERVABLES: Mapping[str, Observable] = {
    observable.name: observable
    for observable in (
        *(
            Observable(name=f"{of}_{name}", of=of, statistic=name, long_name=row.long_name.format(of=meaning))
            for of, meaning in VARIABLES.items()
            for name, row in STATISTICS.items()
        ),
        Observable(
            name="target_correlation",
            of="r",
            statistic="correlation",
            long_name="correlation of the firing rate with the target",
        ),
        Observable(
            name="target_mse",
            of="r",
            statistic="mse",
            long_name="mean squared difference of the firing rate and the target",
        ),
    )
}


CORRELATION, MSE = "target_correlation", "target_mse"


def wanted(observed: Collection[str], of: str) -> Wanted:
    """Return the statistics of a variable that some observables ask for.

    Parameters
    ----------
    observed : collection of str
        Names of :data:`OBSERVABLES`.
    of : {"x", "r"}
        The variable.
    """
    rows = [OBSERVABLES[name] for name in observed]
    names = [row.statistic for row in rows if row.of == of and not row.compares]
    # A correlation divides by the standard deviation of the rates.
    return Wanted(tuple(names) + (("var",) if of == "r" and CORRELATION in observed else ()))


@stored("Record")
@dataclass(frozen=True)
class Record:
    """A trajectory to keep: of ``x`` or ``r``, of all units or some of them.

    Parameters
    ----------
    variable : {"x", "r"}
        Synaptic current or firing rate.
    every : int
        The states after steps ``every``, ``2 every``, ... are kept, counted from the end of the transient. The time
        of a record is the time after its step.
    units : sequence of int, optional
        Numbers of the units, counted from 0; all if not given.

    Raises
    ------
    JobError
        If the variable cannot be recorded, or a number is not one.
    """

    variable: Annotated[str, OneOf(VARIABLES)]
    every: Count = 1
    units: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Check the names and numbers."""
        check_fields(self, "record")
        if self.units is not None:
            given = self.units if isinstance(self.units, Iterable) else (self.units,)
            units = tuple(whole("record.units", unit) for unit in given)
            if not units or len(set(units)) < len(units):
                raise JobError(
                    f"record.units = {list(units)}: give different unit numbers, counted from 0. Correct the list."
                )
            object.__setattr__(self, "units", units)


def record(variable: str, every: int = 1, units: Sequence[int] | None = None) -> Record:
    """Keep the trajectory of a variable.

    Parameters
    ----------
    variable : {"x", "r"}
        Synaptic current or firing rate.
    every : int
        Number of steps from one kept state to the next.
    units : sequence of int, optional
        The units to keep; all by default.

    Returns
    -------
    Record
        An item for ``observe``. It gives the variable ``x`` or ``r`` with the dimensions ``(..., time, unit)``. The last
        dimension is ``recorded_unit`` if only some units are kept and other variables have all units.

    Raises
    ------
    JobError
        If there is no such variable, or if a number is not possible.
    """
    return Record(variable, every, units)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of the result: its dimensions besides those of the design, their sizes, its type and its meaning."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: Mapping[str, object]

    @property
    def bytes_per_set(self) -> int:
        """Size for one set before compression, in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def parse(
    observe: Iterable[str | Record], units: int, integration: Integration, has_target: bool
) -> tuple[str | Record, ...]:
    """Check what is to be observed.

    Raises
    ------
    JobError
        If nothing is observed; if a name or a unit does not exist, or a name is there twice; if there is a comparison without
        a target; or if records differ in their times or units.
    """
    if isinstance(observe, str | Record):
        observe = (observe,)
    if not isinstance(observe, Iterable):
        raise JobError(f"observe = {observe!r}: give a list of observables. {suggest('', OBSERVABLES)}")
    chosen = tuple(observe)
    names = [item.variable if isinstance(item, Record) else item for item in chosen]
    if not chosen:
        raise JobError(f"observe is empty: name at least one observable. {suggest('', OBSERVABLES)}")
    for item, name in zip(chosen, names, strict=True):
        if names.count(name) > 1:
            raise JobError(f"observe names {name!r} {names.count(name)} times: once is enough. Remove the others.")
        if isinstance(item, Record):
            if item.units is not None and max(item.units) >= units:
                raise JobError(
                    f"record({name!r}, units={list(item.units)}): unit {max(item.units)} does not exist, the model has "
                    f"{units} units, counted from 0."
                )
            if item.every > integration.steps - integration.transient_steps:
                raise JobError(
                    f"record({name!r}, every={item.every}): only {integration.steps - integration.transient_steps} steps "
                    "follow the transient. Use a smaller 'every' or a longer duration."
                )
        elif name in VARIABLES:
            raise JobError(f"observe = {name!r}: a whole trajectory is asked for by record({name!r}, every=...).")
        elif name not in OBSERVABLES:
            raise JobError(f"observe = {name!r} does not exist. {suggest(str(name), OBSERVABLES)}")
        elif OBSERVABLES[name].compares and not has_target:
            raise JobError(
                f"observe = {name!r}: it compares with a target, and the job has none. Give the job a target."
            )
    records = [item for item in chosen if isinstance(item, Record)]
    if len({(r.every, r.units) for r in records}) > 1:
        raise JobError("records of x and r share their times and units: give both the same 'every' and 'units'.")
    return chosen


def record_steps(every: int, integration: Integration) -> np.ndarray:
    """Return the numbers of the steps (from 0) after which a record keeps the state, ``(time,)`` int64."""
    return np.arange(integration.transient_steps + every - 1, integration.steps, every, dtype=np.int64)


def variables(
    observe: Sequence[str | Record], units: int, integration: Integration, lags: int, targets: int | None
) -> tuple[Variable, ...]:
    """Return the variables of the result of one set.

    Parameters
    ----------
    observe : sequence
        What is observed, as :func:`parse` returns it.
    units, lags : int
        Number of units, and of lags.
    targets : int or None
        Size of the dimension ``target``; None if there is no such dimension.

    Returns
    -------
    tuple of Variable
        The variables, without ``status`` and ``diverged_at``, which every result has.
    """
    dtype = integration.dtype
    layout = []
    for item in observe:
        if isinstance(item, Record):
            kept = units if item.units is None else len(item.units)
            alone = item.units is None or all(isinstance(other, Record) for other in observe)
            layout.append(
                Variable(
                    name=item.variable,
                    dims=("time", "unit" if alone else "recorded_unit"),
                    shape=(len(record_steps(item.every, integration)), kept),
                    dtype=dtype,
                    attrs={"units": "1", "long_name": VARIABLES[item.variable]},
                )
            )
            continue
        row = OBSERVABLES[item]
        dims: tuple[str, ...] = ("unit",)
        shape: tuple[int, ...] = (units,)
        if row.compares:
            dims, shape = ("lag", *dims), (lags, *shape)
            if targets is not None:
                dims, shape = ("target", *dims), (targets, *shape)
        layout.append(
            Variable(name=item, dims=dims, shape=shape, dtype=dtype, attrs={"units": "1", "long_name": row.long_name})
        )
    return tuple(layout)


#: Variables that every result has.
ALWAYS: tuple[Variable, ...] = (
    Variable(
        name="diverged_at",
        dims=(),
        shape=(),
        dtype=np.dtype(np.float64),
        attrs={"units": "ms", "long_name": "time after the first step whose state was not finite"},
    ),
    Variable(
        name="status",
        dims=(),
        shape=(),
        dtype=np.dtype(np.int8),
        attrs={
            "long_name": "what became of the set",
            "units": "1",
            "flag_values": np.array(list(STATUS.values()), dtype=np.int8),
            "flag_meanings": " ".join(STATUS),
        },
    ),
)
