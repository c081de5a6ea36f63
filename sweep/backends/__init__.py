"""Back ends: who takes the Euler steps. Host arrays in, host arrays out."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from sweep.design import Block
from sweep.errors import BackendError, suggest
from sweep.job import Job
from sweep.parameters import Parameters

Results = dict[str, np.ndarray]


class Backend(Protocol):
    """What the rest of the engine knows of a back end."""

    name: str

    def concurrency(self, cores: int) -> int:
        """Return how many calls of :meth:`simulate` should run at once in a process that may use so many cores."""
        ...

    def prepare(self, job: Job) -> None:
        """Do what all blocks of a job share, such as sampling its targets; it is kept for the process.

        Raises
        ------
        JobError
            If the job cannot be run after all, for example because a target made by a model diverges.
        """
        ...

    def simulate(
        self,
        job: Job,
        parameters: Parameters,
        *,
        batch: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Results:
        """Simulate some sets of a job.

        Parameters
        ----------
        job : Job
            What all sets share. The design is not looked at.
        parameters : Parameters
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
    """Whether a back end works here, and why or why not."""

    name: str
    works: bool
    reason: str
    device: str = ""


def _probe_numpy() -> Probe:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = f"{platform.processor() or platform.machine()}, {cores} cores"
    return Probe(name="numpy", works=True, reason=f"NumPy {np.__version__}, on the CPU", device=device)


def _load_numpy() -> Backend:
    from sweep.backends.numpy import NumpyBackend

    return NumpyBackend()


#: Fastest first: "auto" takes the first that works.
_BACKENDS: Mapping[str, tuple[Callable[[], Probe], Callable[[], Backend]]] = {
    "numpy": (_probe_numpy, _load_numpy),
}
NAMES: tuple[str, ...] = ("auto", *_BACKENDS)


def probe() -> list[Probe]:
    """Say of every back end whether it works here."""
    return [look() for look, _ in _BACKENDS.values()]


def choose(name: str = "auto") -> Probe:
    """Choose a back end.

    Parameters
    ----------
    name : str
        ``"auto"``, the fastest that works here, or the name of one.

    Returns
    -------
    Probe
        The back end chosen, and why.

    Raises
    ------
    BackendError
        If there is no such back end, or it cannot work here: there is no falling back from an explicit choice.
    """
    if name not in NAMES:
        raise BackendError(f"backend = {name!r} does not exist. {suggest(str(name), NAMES)}")
    if name != "auto":
        found = _BACKENDS[name][0]()
        if not found.works:
            raise BackendError(f"backend = {name!r} cannot work here: {found.reason}. Use backend = 'auto'.")
        return found
    found = next(look for look in probe() if look.works)
    return dataclasses.replace(found, reason=f"the fastest that works here: {found.reason}")


@lru_cache(maxsize=8)
def _loaded(name: str) -> Backend:
    return _BACKENDS[name][1]()


def get_backend(name: str = "auto") -> Backend:
    """Return the back end of that name, one per process; see :func:`choose`."""
    return _loaded(choose(name).name)


def simulate_block(
    name: str, job: Job, block: Block, batch: int | None = None, progress: Callable[[int], None] | None = None
) -> Results:
    """Simulate the sets of a block; where memory does not suffice, in ever smaller batches.

    Parameters
    ----------
    name : str
        Of the back end.
    job : Job
        What all sets share.
    block : Block
        The sets.
    batch : int, optional
        Most sets to take at once.
    progress : callable, optional
        As :meth:`Backend.simulate` takes it.

    Returns
    -------
    dict of str to ndarray
        Every variable, ``(set, ...)``.

    Raises
    ------
    MemoryError
        If not even a single set fits.
    """
    backend, parameters = get_backend(name), job.parameters(block)
    while True:
        try:
            return backend.simulate(job, parameters, batch=batch, progress=progress)
        except MemoryError:
            if (batch or block.size) <= 1:
                raise
        # Outside the except clause, whose traceback would keep the arrays alive.
        batch = max(1, (batch or block.size) // 2)
