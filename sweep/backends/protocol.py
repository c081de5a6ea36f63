"""The protocol of a back end, which computes the Euler steps. It takes arrays on the host and returns arrays on the host."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sweep.backends.series import TargetSeries
from sweep.design.arrays import ParameterSets
from sweep.job import Job

Results = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class PreparedJob:
    """A job, and what is computed once for all its blocks.

    Attributes
    ----------
    job : Job
        What all sets share. Of its design a back end uses only which parameters vary, and how.
    targets : TargetSeries or None
        The targets that the rates are compared with; None without a target.
    """

    job: Job
    targets: TargetSeries | None


class Backend(Protocol):
    """A back end, as the rest of the engine sees it."""

    name: str
    #: Smallest efficient call, in units summed over its sets. Calls with fewer should be joined.
    least_units: int

    def concurrency(self, cores: int) -> int:
        """Return how many calls of :meth:`simulate` should run at once in a process that may use ``cores`` cores."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Return the devices by their names in ``CUDA_VISIBLE_DEVICES``, one for each worker process; empty on a CPU."""
        ...

    def describe(self, job: Job) -> str:
        """Return in a few words how this back end simulates a job."""
        ...

    def compile(self, job: Job) -> None:
        """Compile what the blocks of a job need, if anything. The process keeps it.

        Raises
        ------
        BackendError
            If the compiler fails.
        """
        ...

    def simulate(
        self,
        prepared: PreparedJob,
        parameters: ParameterSets,
        *,
        batch: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Results:
        """Simulate some sets of a job.

        Parameters
        ----------
        prepared : PreparedJob
            What all sets share.
        parameters : ParameterSets
            The sets.
        batch : int, optional
            The largest number of sets to simulate at once, rounded up to what the back end can do. It bounds the working
            memory, and never changes a result.
        progress : callable, optional
            Called from time to time with the number of set-steps (sets times steps) done since the last call. It may raise
            an exception to cancel the simulation.

        Returns
        -------
        dict of str to ndarray
            Every variable of ``job.variables``, ``(set, ...)``. If the state of a set was not finite after step n, the set
            has the status "diverged" and ``diverged_at`` = (n + 1) dt. Its statistics are NaN, and so is its record from
            that step on.

        Raises
        ------
        MemoryError
            If a batch does not fit. The caller may try a smaller one.
        """
        ...

    def working_bytes(self, job: Job, sets: int, batch: int | None = None) -> int:
        """Return about how many bytes :meth:`simulate` needs for ``sets`` sets, without its results."""
        ...


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether a back end works here, and why or why not.

    Attributes
    ----------
    name : str
        Name of the back end.
    works : bool
        Whether it can be used.
    reason : str
        Why it can be used, or why not.
    device : str
        Name of the device that it computes on.
    expected : bool
        Whether one would expect it to work here, for instance because its package is installed.
    note : str
        A message for the user if a back end that should work does not; else empty.
    """

    name: str
    works: bool
    reason: str
    device: str = ""
    expected: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a back end describes itself. The registry finds it as ``ENTRY`` in a module of this folder.

    Attributes
    ----------
    name : str
        Its name, as users write it.
    rank : int
        Its place in the list of all back ends, the fastest first. "auto" takes the first one that works.
    probe : callable
        Returns whether it works here; called once per process. It imports what the back end needs, because the module does
        not.
    load : callable
        Makes the back end; called once per process.
    """

    name: str
    rank: int
    probe: Callable[[], Probe]
    load: Callable[[], Backend]


def cpu() -> str:
    """Return the name of the device for back ends that compute on the CPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.processor() or platform.machine()}, {cores} cores"
