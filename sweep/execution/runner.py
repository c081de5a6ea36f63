"""Run a job into a store, over the threads, processes and machines of Dask."""

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
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import xarray as xr

from sweep.backends.registry import get_backend, provenance
from sweep.errors import BackendError, JobError, RunError, StoreError
from sweep.execution.cluster import join, start
from sweep.execution.plan import cores, positive
from sweep.execution.prepare import prepare, simulate_block
from sweep.execution.progress import Bar, Cancelled
from sweep.job import Job
from sweep.results.store import Store, lock, open_dataset, open_or_create

if TYPE_CHECKING:
    from distributed import Client, Future

Path_ = str | os.PathLike[str]

#: Blocks on their way per worker thread: one in work, and one waiting so that it never idles.
_AHEAD = 2
#: So many failures in a row mean that the machine is at fault, not the sets.
_FAILURES_IN_A_ROW = 8


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
    """Run a job into a store; running it again goes on where it stopped.

    Parameters
    ----------
    job : Job
        What to run.
    store : path
        A folder that does not exist yet, or a store with the same job.
    backend : str
        ``"auto"``, the fastest that works where a block is computed, or the name of a back end.
    batch : int, optional
        Most sets that the back end takes at once. It never changes a result.
    workers : int, optional
        Run in so many processes of this machine instead of the threads of this one, with a GPU each where the back
        end uses them. A script that asks for them needs ``if __name__ == "__main__":``, for the processes import it.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://host:port``, whose workers see the store at the same path.
    overwrite : bool
        Delete a store that is there first. Nothing but a store is ever deleted.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        The store, opened lazily. Blocks that failed have the status ``failed``; running again tries them again.

    Raises
    ------
    BackendError
        If the back end cannot work here, or on a worker of the scheduler.
    StoreError
        If the store holds another job, is being written by another run, is no store, or cannot be created.
    RunError
        If the run stopped before its end: blocks cannot be written, or fail one after the other, or a worker lacks
        the back end.
    """
    # Whatever links lead to a store, it has one lock, and is itself what is overwritten.
    path = Path(store).resolve()
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
    # Whatever can be wrong with the job or the cluster shows before anything is written. A device is for those who
    # compute: this process leaves it alone where others do.
    prepare(job)
    if workers is None and scheduler is None:
        engine.compile(job)
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
    """One run: a sliding window of blocks on their way."""

    def __init__(self, store: Store, client: Client, backend: str, batch: int | None, bar: Bar) -> None:
        self._store, self._client, self._bar = store, client, bar
        self._task = (str(store.path), backend, batch)
        self._token = uuid.uuid4().hex
        self._flying: dict[Future[_Outcome], int] = {}
        self._suspects: list[int] = []
        self._failed = self._in_a_row = 0
        self._check_interrupt: Callable[[], None] = lambda: None

    def work_off(self, pending: list[int]) -> None:
        """Compute the blocks; come back when all are done or have failed."""
        from distributed.comm.core import CommClosedError

        _LISTENERS[self._token] = self._bar.steps
        try:
            with _interrupts() as self._check_interrupt:
                self._fly(pending, alone=False)
                # A worker that dies takes the blame to all blocks it had. One at a time, only those that kill it fail.
                self._in_a_row = 0
                self._fly(self._suspects, alone=True)
        except (CancelledError, CommClosedError) as error:
            raise RunError(f"the scheduler was lost: {error}. Start one and run again to go on.") from error
        finally:
            # A thread cannot be stopped from outside: its next report of progress will find nobody, and end it.
            del _LISTENERS[self._token]
            self._client.cancel(list(self._flying))
        if self._failed:
            warnings.warn(
                f"{self._failed} of {len(pending)} blocks failed: {self._store.path / 'journal.jsonl'} says why, and "
                "running again tries them again.",
                UserWarning,
                stacklevel=3,
            )

    def _fly(self, numbers: list[int], alone: bool) -> None:
        """Keep a window of blocks on their way until all have landed."""
        from distributed import as_completed

        waiting = iter(numbers)
        landed = as_completed(self._launch(waiting, alone), loop=self._client.loop, raise_errors=False)
        for future in landed:
            self._check_interrupt()
            self._land(future, self._flying.pop(future), alone)
            for launched in self._launch(waiting, alone):
                landed.add(launched)

    def _launch(self, waiting: Iterator[int], alone: bool) -> list[Future[_Outcome]]:
        """Fill the window, which grows with a cluster."""
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
            # A worker tells of its errors in its outcome: this is one of Dask itself.
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
    """What a worker says of a block: a few numbers, or what went wrong, as text, which always travels.

    What stops the run is not to blame on the block's sets.
    """

    sets: int
    reported: int
    error: str | None = None
    stop: bool = False


#: Who is told of progress, by run. Workers in other processes find nobody here, and the bar advances block by block.
_LISTENERS: dict[str, Callable[[int], None]] = {}


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Give what raises KeyboardInterrupt if Ctrl-C was pressed and got lost.

    Python drops an exception in a finaliser, and Dask's futures have some just when a block lands.
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
    # Opened anew by every run: the store of an earlier one at this path may have been overwritten.
    return Store(path)


def _run_block(path: str, backend: str, batch: int | None, number: int, token: str) -> _Outcome:
    """Simulate a block and write it: runs in a worker, which is given only a path and a number."""
    reported = 0

    def report(set_steps: int) -> None:
        nonlocal reported
        if token not in _LISTENERS:
            raise Cancelled
        reported += set_steps
        _LISTENERS[token](set_steps)

    try:
        # One thread opens it for all: the cache alone would let each of them open its own.
        with _opening:
            store = _opened(path, token)
        block = store.job.blocks[number]
        listener = report if token in _LISTENERS else None
        results = simulate_block(get_backend(backend), prepare(store.job), block, batch, listener)
        store.write(block, results, provenance(backend, store.job))
    except BackendError as error:
        told = f"block {number} cannot be computed on {platform.node()}: {error} Then run again to go on."
        return _Outcome(0, reported, told, stop=True)
    except (RunError, StoreError) as error:
        return _Outcome(0, reported, str(error), stop=True)
    except Exception as error:
        return _Outcome(0, reported, f"{type(error).__name__}: {error}")
    return _Outcome(block.size, reported)
