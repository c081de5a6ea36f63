"""Records: trajectories that are kept, at every so many steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sweep.checks import Count, OneOf, check_fields, whole
from sweep.checks.calls import called
from sweep.errors import JobError
from sweep.model.integration import Integration
from sweep.observables.table import VARIABLES
from sweep.spec import stored


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


@called
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


def record_steps(every: int, integration: Integration) -> np.ndarray:
    """Return the numbers of the steps (from 0) after which a record keeps the state, ``(time,)`` int64."""
    return np.arange(integration.transient_steps + every - 1, integration.steps, every, dtype=np.int64)
