"""Run a job in memory, either now or when a part of its result is needed."""

from __future__ import annotations

import itertools
import math
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import psutil
import xarray as xr
from dask.highlevelgraph import HighLevelGraph
from dask.utils import format_bytes

from sweep.backends.protocol import Results
from sweep.backends.registry import choose, get_backend, provenance
from sweep.checks import checked
from sweep.design.design import Block, Blocks
from sweep.errors import JobError
from sweep.execution.plan import cores, positive
from sweep.execution.prepare import prepare, simulate_block
from sweep.execution.progress import Bar, Cancelled
from sweep.job import Job
from sweep.results import dataset
from sweep.results.journal import ranges
from sweep.results.reporting import check_job, warn_of_correlations, without_correlation

#: A share is the part of a job that one call simulates. It should have at least this many multiply-adds, and its result at
#: most this many bytes.
_SHARE_WORK, _SHARE_BYTES = 2 * 10**8, 2**26
#: If a thread has more multiply-adds than this, it gets several shares, at most so many. Then a thread that is done early can
#: take another share.
_LONG_SHARE_WORK, _MOST_SHARES = 5 * 10**9, 8
#: Up to this many times as many shares are tried if the shares of the threads are not equal.
_FINER = 4
#: The time of a unit-update besides one multiply-add for each weight, in multiply-adds, approximately.
_UPDATE_WORK = 12


@checked
def lazy(job: Job, backend: str = "auto", batch: int | None = None) -> xr.Dataset:
    """Return the result of a job as a lazy Dataset, without running it.

    Parameters
    ----------
    job : Job
        The job.
    backend : str
        ``"auto"`` for the fastest that works here, or the name of a back end.
    batch : int, optional
        The largest number of sets that the back end takes at once. It never changes a result.

    Returns
    -------
    xarray.Dataset
        Backed by Dask, with a chunk for each block. Computing any part of it simulates the blocks that this part needs, with
        the scheduler that Dask is set to.

    Raises
    ------
    BackendError
        If the back end cannot work here.
    JobError
        If the report of the job names what the result will not have.
    """
    batch = positive("batch", batch)
    check_job(job)
    # Imported here, because it imports half of SciPy, which a plan does not need. (xarray imports it with its first variable, so
    # creating and opening a store takes half a second longer the first time.)
    from dask.array.core import Array as DaskArray

    # The back end is chosen now, because the attributes name it. Whatever computes a block later must have it.
    chosen, blocks = choose(backend), job.blocks
    token = uuid.uuid4().hex
    work, given = f"simulate-{token}", f"job-{token}"
    corners = list(itertools.product(*map(range, blocks.counts)))
    # One layer simulates, and all variables share it. Their own layers only pick from its results.
    simulate_layer: dict[Any, Any] = {given: job}
    for number, corner in enumerate(corners):
        simulate_layer[(work, *corner)] = (_block_of, given, number, chosen.name, batch)
    arrays = {}
    sets = tuple(
        tuple(min(size, n - start) for start in range(0, n, size))
        for n, size in zip(job.design.shape, blocks.shape, strict=True)
    )
    for variable in job.variables:
        name = f"{variable.name}-{token}"
        zeros = (0,) * len(variable.shape)
        layer = {(name, *corner, *zeros): (_pick, (work, *corner), variable.name) for corner in corners}
        layers: dict[str, Any] = {work: simulate_layer, name: layer}
        graph = HighLevelGraph(layers, {work: set(), name: {work}})
        chunks = (*sets, *((size,) for size in variable.shape))
        arrays[variable.name] = DaskArray(graph, name, chunks, dtype=variable.dtype)
    return _labelled(job, arrays, backend)


def _labelled(job: Job, arrays: Mapping[str, Any], backend: str) -> xr.Dataset:
    by = {**provenance(backend, job), "blocks": ranges(range(len(job.blocks)))}
    return dataset.assemble(job, arrays, dataset.attributes(job) | dataset.provenance([by]))


def _block_of(job: Job, number: int, backend: str, batch: int | None) -> Results:
    """Simulate a block, and return its results ``(*shape of the block, ...)``, by variable."""
    block = job.blocks[number]
    results = simulate_block(get_backend(backend), job, block, batch)
    return {name: value.reshape((*block.shape, *value.shape[1:])) for name, value in results.items()}


def _pick(results: Results, name: str) -> np.ndarray:
    return results[name]


@checked
def simulate(job: Job, backend: str = "auto", batch: int | None = None, progress: bool = False) -> xr.Dataset:
    """Run a job in memory, on the threads of this process.

    Parameters
    ----------
    job : Job
        The job.
    backend : str
        ``"auto"`` for the fastest that works here, or the name of a back end.
    batch : int, optional
        The largest number of sets that the back end takes at once. It never changes a result.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        The labelled results. ``status`` says what became of each set.

    Raises
    ------
    BackendError
        If the back end cannot work here.
    JobError
        If the result would not fit in memory, or the report of the job names what it will not have.
    """
    batch, engine = positive("batch", batch), get_backend(backend)
    check_job(job)
    threads = engine.concurrency(cores())
    blocks = job.blocks if engine.devices() else _shares(job, threads, engine.least_units)
    # Blocks that are being simulated need memory for their own results.
    needed = (job.design.size + min(threads, len(blocks)) * math.prod(blocks.shape)) * job.bytes_per_set
    available = psutil.virtual_memory().available
    if needed > available:
        raise JobError(
            f"the result needs {format_bytes(needed)} and {format_bytes(available)} of memory are free: "
            "use run(job, store=...) and open the store, or observe less."
        )
    prepare(job, engine)
    engine.compile(job)
    arrays = {v.name: np.empty((*job.design.shape, *v.shape), dtype=v.dtype) for v in job.variables}
    stop = threading.Event()

    def report(set_steps: int) -> None:
        if stop.is_set():
            raise Cancelled
        bar.steps(set_steps)

    unknown: list[int] = []

    def one(block: Block) -> None:
        results = simulate_block(engine, job, block, batch, report)
        unknown.append(without_correlation(results))
        for name, values in results.items():
            arrays[name][block.slices or ...] = values.reshape((*block.shape, *values.shape[1:]))

    with Bar(job, done=0, show=progress) as bar, ThreadPoolExecutor(threads) as pool:
        try:
            for done in as_completed([pool.submit(one, block) for block in blocks]):
                done.result()
        except BaseException:
            # A thread cannot be stopped from outside, so it stops at its next report of progress.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    warn_of_correlations(sum(unknown), job.design.size)
    return _labelled(job, arrays, backend)


def _shares(job: Job, threads: int, least_units: int) -> Blocks:
    """Cut the sets of a job into shares, so that all threads get about equally many."""
    work = job.design.size * job.updates_per_set * (job.model.units + _UPDATE_WORK)
    most = min(job.design.size * job.model.units // least_units, work // _SHARE_WORK)
    busy = max(1, min(threads, most))
    count = busy * max(1, min(_MOST_SHARES, work // (busy * _LONG_SHARE_WORK), most // busy))
    fit = max(1, _SHARE_BYTES // job.bytes_per_set)
    # Shares are cut along the axes, so there may be a few more shares than threads need, and some threads get one more.
    cuts = [job.design.blocks(min(-(-job.design.size // (count * finer)), fit)) for finer in range(1, _FINER + 1)]
    longest = [-(-len(shares) // busy) * math.prod(shares.shape) for shares in cuts]
    return next(shares for shares, sets in zip(cuts, longest, strict=True) if sets <= 1.05 * min(longest))
