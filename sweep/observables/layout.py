"""What a job observes, checked, and the variables of a result that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.errors import JobError, short, suggest
from sweep.model.integration import Integration
from sweep.observables.records import Record, record_steps
from sweep.observables.table import OBSERVABLES, STATUS, VARIABLES


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
        elif not isinstance(name, str):
            raise JobError(f"observe = {short(name)}: an observable is named by a text. {suggest('', OBSERVABLES)}")
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
