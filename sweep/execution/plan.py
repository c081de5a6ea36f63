"""The plan of a job: its sets, blocks, disk, memory and time, known before anything is written."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sweep.backends.protocol import Backend
from sweep.backends.registry import choose, get_backend
from sweep.checks import Count, checked, whole
from sweep.execution.prepare import prepare
from sweep.job import Job
from sweep.job.teachers import stand_ins
from sweep.observables import Record

#: A run of the calibration is long enough if it takes this many seconds.
_LONG_ENOUGH = 0.05
_FIRST_STEPS = 16
_TRIES = 2
#: The longer of the two runs of the calibration takes at least this many times as long as the shorter one.
_APART = 1.5


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a job: how much there is to do, and what it needs.

    Attributes
    ----------
    sets, blocks, sets_per_block : int
        Number of sets and of blocks, and the largest number of sets in a block.
    shape : mapping of str to int
        Number of sets along each dimension of the design.
    updates : int
        Number of unit-updates: sets times units times steps.
    disk : int
        Bytes of the results before compression.
    memory : int
        Bytes of memory that one worker needs, approximately.
    backend, reason : str
        The chosen back end, and the reason for it.
    method : str
        How the back end simulates the job.
    workers, threads : int
        Number of processes, and of blocks that each computes at a time.
    seconds : float
        Estimated time, from a short calibration.
    """

    sets: int
    blocks: int
    sets_per_block: int
    shape: dict[str, int]
    updates: int
    disk: int
    memory: int
    backend: str
    reason: str
    method: str
    workers: int
    threads: int
    seconds: float

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for people, a pair for each row of a table."""
        # Imported here, because cores() must work without Dask.
        from dask.utils import format_bytes, format_time

        shape = " x ".join(f"{n} {dim}" for dim, n in self.shape.items())
        who = _counted(self.workers, "process", "processes") if self.workers > 1 else _counted(self.threads, "thread")
        return [
            ("sets", f"{self.sets:,}" + (f" ({shape})" if shape else "")),
            ("blocks", f"{self.blocks:,} of at most {_counted(self.sets_per_block, 'set')}"),
            ("work", f"{self.updates:.3g} unit-updates"),
            ("disk", f"{format_bytes(self.disk)} before compression"),
            ("memory", f"{format_bytes(self.memory)} per worker"),
            ("back end", f"{self.backend}, {self.reason}"),
            ("method", self.method),
            ("time", f"about {format_time(self.seconds)} with {who}"),
        ]

    def __str__(self) -> str:
        """Return the rows as aligned text."""
        return "\n".join(f"{name:<10}{value}" for name, value in self.rows())

    __repr__ = __str__


@checked
def plan(job: Job, backend: str = "auto", *, batch: int | None = None, workers: int | None = None) -> Plan:
    """Return the plan of a job, without running it.

    Parameters
    ----------
    job : Job
        The job. It may have any size: 10**8 sets are planned as fast as ten.
    backend : str
        ``"auto"`` for the fastest that works here, or the name of a back end.
    batch : int, optional
        The largest number of sets that the back end takes at once.
    workers : int, optional
        Number of processes; by default the threads of this process are used.

    Returns
    -------
    Plan
        The plan, which prints as a table.

    Raises
    ------
    BackendError
        If the back end cannot work here.
    JobError
        If ``batch`` or ``workers`` is not a whole number of at least 1, or the report of the job names what the result will
        not have.
    """
    batch, workers = positive("batch", batch), positive("workers", workers)
    from sweep.results.reporting import check_job  # here: it takes xarray, which a benchmark does without

    check_job(job)
    chosen = choose(backend)
    engine = get_backend(chosen.name)
    blocks = job.blocks
    largest = math.prod(blocks.shape)
    threads = min(engine.concurrency(1 if workers else cores()), len(blocks))
    at_once = min((workers or 1) * threads, len(blocks))
    pace = _calibrate(job, engine, threads, batch)
    # Parameters are float64, a few for each set.
    parameters = largest * 8 * (len(job.design.swept) + 2)
    per_block = largest * job.bytes_per_set + parameters + engine.working_bytes(job, largest, batch)
    return Plan(
        sets=job.design.size,
        blocks=len(blocks),
        sets_per_block=largest,
        shape=dict(zip(job.design.dims, job.design.shape, strict=True)),
        updates=job.design.size * job.updates_per_set,
        disk=job.design.size * job.bytes_per_set,
        memory=threads * per_block,
        backend=chosen.name,
        reason=chosen.reason,
        method=engine.describe(job),
        workers=workers or 1,
        threads=threads,
        seconds=job.design.size * (pace.set + pace.step * job.integration.steps) * threads / at_once,
    )


def positive(name: str, value: int | None) -> int | None:
    """Return ``value``, checked to be None or a whole number of at least 1."""
    return None if value is None else whole(name, value, Count)


@dataclass(frozen=True)
class _Pace:
    """Seconds that a set takes besides its steps, and seconds of one of its steps, while all threads work."""

    set: float
    step: float


def _calibrate(job: Job, backend: Backend, threads: int, batch: int | None) -> _Pace:
    """Measure the pace with ``threads`` threads, with the first sets and a few steps."""
    block = job.blocks[0]
    parameters = job.parameter_sets(block)
    sets = min(block.size, batch or block.size, max(64, 2**16 // job.model.units))
    parameters = parameters.take(np.arange(sets))

    def seconds(short: Job) -> float:
        """Return the seconds that a set takes: the shortest of some tries, because others may use the machine."""
        prepared = prepare(short)
        backend.simulate(prepared, parameters, batch=batch)
        tries = []
        for _ in range(_TRIES):
            start = time.perf_counter()
            for done in [pool.submit(backend.simulate, prepared, parameters, batch=batch) for _ in range(threads)]:
                done.result()
            tries.append(time.perf_counter() - start)
        return min(tries) / (threads * sets)

    with ThreadPoolExecutor(threads) as pool:
        few, least = None, 0.0
        steps = min(_FIRST_STEPS, job.integration.steps)
        while True:
            short = _shortened(job, steps)
            taken = seconds(short)
            if short.integration.steps == job.integration.steps:
                return _Pace(taken, 0.0)
            elapsed = taken * threads * sets
            # From two lengths follow the time of a step and the rest, if the two times differ by more than chance.
            if few is None and elapsed < _LONG_ENOUGH:
                few, least = short, taken
            elif few is None:
                few = _shortened(job, 1)
                least = seconds(few)
            if elapsed >= _LONG_ENOUGH and taken >= _APART * least:
                break
            grow = min(16.0, max(2.0, 2 * _LONG_ENOUGH / elapsed))
            steps = min(round(steps * grow), job.integration.steps)
    step = (taken - least) / (short.integration.steps - few.integration.steps)
    return _Pace(max(0.0, taken - step * short.integration.steps), step)


def _shortened(job: Job, steps: int) -> Job:
    """Return a job that does the same, but with few steps.

    So few steps may have no measurement of a target. Then targets with a value for every step take their place, which are
    compared at least as often.
    """
    timing = job.integration
    if not job.comparisons.every_step:
        job = job.changed(target=stand_ins(job.targets, timing.dt))
    ahead = max(0.0, -min((0.0, *job.lags)))
    duration = min(timing.duration, ahead + steps * timing.dt)
    observe = tuple(item for item in job.observe if not isinstance(item, Record) or item.every <= steps)
    return job.changed(
        integration=dataclasses.replace(timing, duration=duration, transient=min(ahead, duration - timing.dt)),
        observe=observe or ("r_final",),
        report=None,
    )


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
