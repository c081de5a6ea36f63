"""Run a job into a store, with threads, processes or machines through Dask."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import xarray as xr

from sweep.backends.registry import get_backend, provenance
from sweep.checks import checked
from sweep.checks.paths import local
from sweep.errors import BackendError, JobError, RunError, StoreError
from sweep.execution.cluster import join, start
from sweep.execution.plan import cores, positive
from sweep.execution.prepare import prepare, simulate_block
from sweep.execution.progress import Bar, Cancelled
from sweep.job import Job
from sweep.results.creation import lock, open_or_create
from sweep.results.reporting import check_job, warn_of_correlations, without_correlation
from sweep.results.store import Store, open_dataset

if TYPE_CHECKING:
    from distributed import Client, Future

Path_ = str | os.PathLike[str]

#: Blocks submitted for each worker thread: one that it computes, and one that waits, so that the thread is never idle.
_AHEAD = 2
#: If this many blocks in a row fail, the cause is the machine and not the sets.
_FAILURES_IN_A_ROW = 8


@checked
def run(
    job: Job,
    store: Path_,
    *,
    backend: str = "auto",
    batch: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> xr.Dataset:
    """Run a job into a store. If a run was interrupted, running it again continues it.

    Parameters
    ----------
    job : Job
        The job.
    store : path
        A folder that does not exist yet, or a store with the same job.
    backend : str
        ``"auto"`` for the fastest that works where a block is computed, or the name of a back end. A store may go on with
        another one. Its blocks then agree to rounding, and each is compared with a teacher of its own back end.
    batch : int, optional
        The largest number of sets that the back end takes at once. It never changes a result.
    workers : int, optional
        Number of processes on this machine, used instead of the threads of this process. If the back end uses GPUs, each
        process gets one. A script that sets this needs ``if __name__ == "__main__":``, because the processes import it.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://host:port``. Its workers must see the store at the same path.
    overwrite : bool
        Whether to delete an existing store first. Only a store is ever deleted.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        The store, opened lazily. The sets of blocks that failed have the status ``failed``; another run tries them again.

    Raises
    ------
    BackendError
        If the back end cannot work here, or on a worker of the scheduler.
    StoreError
        If the store holds another job, is being written by another run, is not a store, or cannot be created.
    JobError
        If the report of the job names what the result will not have.
    RunError
        If the run stops early: because blocks cannot be written, many fail one after the other, a worker does not have
        the back end, or a teacher diverges that follows what some sets have.
    """
    # Links are resolved, so that a store has one lock, and so that overwriting replaces the store and not a link.
    path = local("store", store, StoreError).resolve()
    positive("batch", batch)
    positive("workers", workers)
    if workers is not None and scheduler is not None:
        raise JobError(
            f"workers = {workers} and scheduler = {scheduler!r}: give one of the two, the scheduler has its workers."
        )
    crew: Callable[[], contextlib.AbstractContextManager[Client]]
    if scheduler is None:
        engine = get_backend(backend)
        threads = engine.concurrency(1 if workers else cores())
        crew = functools.partial(start, workers, threads, engine.devices() if workers else ())
    else:
        crew = functools.partial(join, scheduler, backend)
    # Anything that is wrong with the job or the cluster is found before something is written. If other processes compute, this
    # one does not touch the device.
    check_job(job)
    if workers is None and scheduler is None:
        prepare(job, engine)
        engine.compile(job)
    else:
        prepare(job)
    with lock(path), contextlib.ExitStack() as stack:
        client = stack.enter_context(crew()) if scheduler is not None else None
        opened = open_or_create(path, job, overwrite=overwrite)
        pending = opened.pending()
        if pending:
            opened.note("started", backend=backend, pending=len(pending))
            blocks = opened.job.blocks
            done = opened.job.design.size - sum(blocks[number].size for number in pending)
            bar = stack.enter_context(Bar(opened.job, done, progress))
            _Run(opened, client or stack.enter_context(crew()), backend, batch, bar).work_off(pending)
            opened.note("finished", **opened.counts())
            opened.sign()
    return open_dataset(path)


class _Run:
    """One run, with a sliding window of submitted blocks."""

    def __init__(self, store: Store, client: Client, backend: str, batch: int | None, bar: Bar) -> None:
        self._store, self._client, self._bar = store, client, bar
        self._task = (str(store.path), backend, batch)
        self._token = uuid.uuid4().hex
        self._flying: dict[Future[_Outcome], int] = {}
        self._suspects: list[int] = []
        self._failed = self._in_a_row = self._unknown = self._done = 0
        self._check_interrupt: Callable[[], None] = lambda: None

    def work_off(self, pending: list[int]) -> None:
        """Compute the blocks. Returns when all of them are done or have failed."""
        from distributed.comm.core import CommClosedError

        _LISTENERS[self._token] = self._bar.steps
        try:
            with _interrupts() as self._check_interrupt:
                self._fly(pending, alone=False)
                # If a worker dies, any of its blocks may be the cause. Now these run one by one, so only those that kill a
                # worker fail.
                self._in_a_row = 0
                self._fly(self._suspects, alone=True)
        except (CancelledError, CommClosedError) as error:
            raise RunError(f"the scheduler was lost: {error}. Start one and run again to go on.") from error
        finally:
            # A thread cannot be stopped from outside. It ends when its next report of progress finds no listener.
            del _LISTENERS[self._token]
            self._client.cancel(list(self._flying))
        warn_of_correlations(self._unknown, self._done)
        if self._failed:
            warnings.warn(
                f"{self._failed} of {len(pending)} blocks failed: {self._store.path / 'journal.jsonl'} says why, and "
                "running again tries them again.",
                UserWarning,
                stacklevel=3,
            )

    def _fly(self, numbers: list[int], alone: bool) -> None:
        """Submit blocks in a sliding window until all have finished."""
        from distributed import as_completed

        waiting = iter(numbers)
        landed = as_completed(self._launch(waiting, alone), loop=self._client.loop, raise_errors=False)
        for future in landed:
            self._check_interrupt()
            self._land(future, self._flying.pop(future), alone)
            for launched in self._launch(waiting, alone):
                landed.add(launched)

    def _launch(self, waiting: Iterator[int], alone: bool) -> list[Future[_Outcome]]:
        """Submit blocks until the window is full. The window grows with the number of workers."""
        window = 1 if alone else _AHEAD * max(1, sum(self._client.nthreads().values()))
        launched = []
        for number in itertools.islice(waiting, max(0, window - len(self._flying))):
            key = f"block-{number}-{uuid.uuid4().hex}"
            future = self._client.submit(_run_block, *self._task, number, self._token, key=key, pure=False)
            self._flying[future] = number
            launched.append(future)
        return launched

    def _land(self, future: Future[_Outcome], number: int, alone: bool) -> None:
        from distributed import KilledWorker

        lost = future.exception()
        if lost is not None and not isinstance(lost, KilledWorker):
            # A worker reports its errors in its outcome, so this is an error of Dask itself.
            raise lost
        if isinstance(lost, KilledWorker):
            self._in_a_row += 1
            if not alone:
                self._suspects.append(number)
                return
            error = f"KilledWorker: {lost}"
        else:
            outcome = future.result()
            if outcome.error is None:
                self._in_a_row = 0
                self._unknown += outcome.unknown
                self._done += outcome.sets
                self._bar.block(outcome.sets, outcome.reported)
                return
            self._in_a_row += 1
            error = outcome.error
            if outcome.stop:
                raise RunError(error)
        self._failed += 1
        self._store.write_failed(self._store.job.blocks[number], error)
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            raise RunError(
                f"{self._in_a_row} blocks in a row failed, the last with {error}. Correct the cause and run again to go on."
            )


@dataclass(frozen=True)
class _Outcome:
    """What a worker reports of a block: a few numbers, or an error as text, because text can always be sent.

    Attributes
    ----------
    sets : int
        Number of finished sets.
    reported : int
        Set-steps that the progress bar has counted already.
    error : str or None
        What went wrong; None if nothing.
    unknown : int
        Number of sets whose correlation with a target is NaN.
    stop : bool
        Whether the error stops the whole run, because its cause is not in the sets of the block.
    """

    sets: int
    reported: int
    error: str | None = None
    unknown: int = 0
    stop: bool = False


#: The functions that count progress, by run. In other processes there are none, and the bar moves block by block.
_LISTENERS: dict[str, Callable[[int], None]] = {}


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Ctrl-C was pressed.

    It is needed because the exception may get lost: Python drops exceptions in finalisers, and Dask's futures have finalisers
    that run when a block is done.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return
    handler, asked = before, threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()
        handler(number, frame)

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


_opening = threading.Lock()


@functools.lru_cache(maxsize=2)
def _opened(path: str, token: str) -> Store:
    # Every run opens the store again, because the store of an earlier run at this path may have been overwritten.
    return Store(path)


def _run_block(path: str, backend: str, batch: int | None, number: int, token: str) -> _Outcome:
    """Simulate a block and write it. This runs in a worker, which gets only the path of the store and a number."""
    reported = 0

    def report(set_steps: int) -> None:
        nonlocal reported
        if token not in _LISTENERS:
            raise Cancelled
        reported += set_steps
        _LISTENERS[token](set_steps)

    try:
        # One thread opens the store for all. Without this lock each of them would open its own.
        with _opening:
            store = _opened(path, token)
        block = store.job.blocks[number]
        listener = report if token in _LISTENERS else None
        results = simulate_block(get_backend(backend), store.job, block, batch, listener)
        store.write(block, results, provenance(backend, store.job))
    except BackendError as error:
        told = f"block {number} cannot be computed on {platform.node()}: {error} Then run again to go on."
        return _Outcome(0, reported, told, stop=True)
    except (JobError, RunError, StoreError) as error:
        return _Outcome(0, reported, str(error), stop=True)
    except Exception as error:
        return _Outcome(0, reported, f"{type(error).__name__}: {error}")
    return _Outcome(block.size, reported, unknown=without_correlation(results))
