"""What the engine knows of a back end, which takes the Euler steps: host arrays in, host arrays out."""

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
    """A job, and what is worked out once for all its blocks.

    Attributes
    ----------
    job : Job
        What all sets share. A back end does not look at its design but for which parameters vary, and how.
    targets : TargetSeries or None
        What the rates are compared with; None without a target.
    """

    job: Job
    targets: TargetSeries | None


class Backend(Protocol):
    """What the rest of the engine knows of a back end."""

    name: str
    #: Units, those of all its sets together, below which a call is better part of a larger one.
    least_units: int

    def concurrency(self, cores: int) -> int:
        """Return how many calls of :meth:`simulate` should run at once in a process that may use so many cores."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Return what ``CUDA_VISIBLE_DEVICES`` may name here, for worker processes to have one each; none on a CPU."""
        ...

    def describe(self, job: Job) -> str:
        """Say in a few words how this back end goes about a job."""
        ...

    def compile(self, job: Job) -> None:
        """Compile what the blocks of a job need, if anything; it is kept for the process.

        Raises
        ------
        BackendError
            If it does not compile.
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
            Most sets to take at once, rounded up to what the back end can take; bounds the working memory and never
            changes a result.
        progress : callable, optional
            Called from time to time with the number of set-steps done since the last call. May raise to cancel.

        Returns
        -------
        dict of str to ndarray
            Every variable of ``job.variables``, ``(set, ...)``. A set whose state was not finite after step n has the
            status "diverged", ``diverged_at`` = (n + 1) dt, NaN for its statistics, and NaN in its record from that
            step on.

        Raises
        ------
        MemoryError
            If a batch does not fit; the caller may try a smaller one.
        """
        ...

    def working_bytes(self, job: Job, sets: int, batch: int | None = None) -> int:
        """Return about how many bytes a call with so many sets needs, the results not counted."""
        ...


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether a back end works here, and why or why not.

    Attributes
    ----------
    name : str
        Of the back end.
    works : bool
        Whether it can be used.
    reason : str
        Why, or why not.
    device : str
        What it computes on.
    expected : bool
        Whether something is here that makes one expect it to work, such as its package.
    note : str
        What to tell the user of the choice: that one expected to work does not. Empty if there is nothing to tell.
    """

    name: str
    works: bool
    reason: str
    device: str = ""
    expected: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a back end describes itself: the registry finds it as ``ENTRY`` of a module of this folder.

    Attributes
    ----------
    name : str
        As users write it.
    rank : int
        The place among all, the fastest first: "auto" takes the first that works.
    probe : callable
        Says whether it works here; called once per process. It imports what the back end needs, the module does not.
    load : callable
        Makes the back end; called once per process.
    """

    name: str
    rank: int
    probe: Callable[[], Probe]
    load: Callable[[], Backend]


def cpu() -> str:
    """Return what a back end that computes on the CPU names as its device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.processor() or platform.machine()}, {cores} cores"
