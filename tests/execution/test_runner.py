"""Results do not depend on how a job is run: threads, processes, a cluster, blocks, batches, failures."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
import xarray as xr
from distributed import LocalCluster
from support.jobs import assert_same, finish, many, python, slow, small

import sweep
from sweep import Design, Model, Target, gaussian, grid, latin_hypercube, record, replicates, sine, zipped
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob, Results
from sweep.backends.registry import get_backend
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError, RunError
from sweep.execution.prepare import prepare
from sweep.results.store import Store

JOBS: dict[str, dict[str, Any]] = {
    "grid": {},
    "one set": {"design": Design(())},
    "samples": {"design": latin_hypercube(n=11, seed=1, tau_s=(2, 50, "log"), gain=(0, 2))},
    "product": {"design": latin_hypercube(n=3, seed=1, gain=(0, 2)) * replicates(3) * grid(bias=[0.0, 0.5])},
    "per unit": {"design": zipped("case", threshold=np.arange(12.0).reshape(4, 3), tau_r=[1.0, 2.0, 3.0, 4.0])},
    "networks": {
        "model": Model(units=3, weights=gaussian(units=3, seed=1, networks=2)),
        "design": grid(**{"network": [0, 1], "W[0,1]": [0.0, 1.0]}),
    },
    "records": {"observe": ["r_std", record("x", every=4, units=[0, 2]), record("r", every=4, units=[0, 2])]},
    "targets": {
        "target": [Target(sine(1.0, 20.0), lags=[-4, 0]), Target(sine(1.0, 30.0), lags=[-4, 0])],
        "observe": ["target_correlation", "target_mse"],
    },
}

Simulate = Callable[..., Results]


@pytest.fixture
def spoil(
    monkeypatch: pytest.MonkeyPatch, only_numpy: None
) -> Callable[[Callable[[ParameterSets, int | None], None]], None]:
    """Return a function that lets something happen before sets are simulated."""
    original = NumpyBackend.simulate

    def put(happen: Callable[[ParameterSets, int | None], None]) -> None:
        def simulate(self: NumpyBackend, prepared: PreparedJob, parameters: ParameterSets, **options: Any) -> Results:
            happen(parameters, options.get("batch"))
            return original(self, prepared, parameters, **options)

        monkeypatch.setattr(NumpyBackend, "simulate", simulate)

    return put


# ------------------------------------------------------------------------------------------------------- same results


@pytest.mark.parametrize("name", JOBS)
def test_memory_store_and_lazy_give_the_same_bits(path: Path, name: str) -> None:
    """In whichever way a job is run, every bit and every label of the result is the same."""
    job = small(**JOBS[name])
    result = sweep.simulate(job)
    assert (result.status == 1).all()
    assert_same(sweep.run(job, path), result)
    assert_same(sweep.lazy(job), result)
    assert_same(sweep.open(path), result)


@pytest.mark.parametrize("name", ["grid", "product", "records", "targets"])
def test_blocks_and_batches_change_nothing(path: Path, name: str) -> None:
    """Blocks of one set or of all, batches of one or of many: the same bits."""
    result = sweep.simulate(small(**JOBS[name]))
    for sets_per_block, batch in [(1, None), (3, 1), (5, 2), (1000, None), (None, 7)]:
        job = small(**JOBS[name], sets_per_block=sets_per_block)
        assert_same(sweep.simulate(job, batch=batch), result)
    assert_same(sweep.run(small(**JOBS[name], sets_per_block=7), path, batch=2), result)


def test_processes_give_the_same_bits(path: Path) -> None:
    """Two processes give the same bits as the threads of this one."""
    job = small(**JOBS["records"])
    assert_same(sweep.run(job, path, workers=2), sweep.simulate(job))


def test_a_part_of_a_lazy_result_runs_only_the_blocks_it_needs(
    spoil: Callable[[Callable[[ParameterSets, int | None], None]], None],
) -> None:
    """Nothing runs until a result is needed; then each block is computed once for all variables."""
    sizes: list[int] = []
    spoil(lambda parameters, batch: sizes.append(parameters.size))
    lazily = sweep.lazy(small())
    assert sizes == []
    part = lazily.sel(tau_s=10.0, gain=[0.5, 1.0]).compute(scheduler="synchronous")
    assert sizes == [2]
    assert_same(part, sweep.simulate(small()).sel(tau_s=10.0, gain=[0.5, 1.0]))


def test_a_lazy_result_has_a_chunk_per_block() -> None:
    """The chunks along the design's dimensions are the blocks."""
    job = small(design=grid(tau_s=[2.0, 3.0, 4.0], gain=np.arange(5.0)))
    assert sweep.lazy(job).r_mean.chunks == ((1, 1, 1), (2, 2, 1), (3,))


@pytest.mark.parametrize("batch", [None, 1, 100])
@pytest.mark.parametrize("weight", [1.0, 1e30], ids=["stable", "diverging"])
def test_progress_adds_up_to_all_set_steps(batch: int | None, weight: float) -> None:
    """A back end reports every step of every set once, those of sets that diverge as well."""
    model = Model(units=2, weights=np.eye(2) * weight, activation="linear", parameters={"r0": 1.0})
    job = small(model=model, sets_per_block=100)
    reported: list[int] = []
    get_backend("numpy").simulate(
        prepare(job), job.parameter_sets(job.blocks[0]), batch=batch, progress=reported.append
    )
    assert sum(reported) == 12 * 40
    assert min(reported) > 0


@pytest.mark.parametrize("workers", [None, 1])
def test_the_bar_ends_at_the_number_of_sets(
    path: Path, capsys: pytest.CaptureFixture[str], workers: int | None
) -> None:
    """The bar starts at what is already done, and ends full."""
    sweep.run(small(), path)
    for number in (0, 4):
        Store(path).discard(small().blocks[number])
    sweep.run(small(), path, workers=workers, progress=True)
    last = capsys.readouterr().err.replace("\n", "\r").strip("\r").split("\r")[-1]
    assert "100%" in last
    assert "12/12 sets" in last


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_block_that_raises_fails_alone(
    path: Path, spoil: Callable[[Callable[[ParameterSets, int | None], None]], None]
) -> None:
    """The sets of that block are marked as failed, the journal says why, and running again completes the result."""

    def fail(parameters: ParameterSets, batch: int | None) -> None:
        if (parameters.values["tau_s"] == 10.0).all() and (parameters.values["gain"] >= 1.5).all():
            raise ZeroDivisionError("no such luck")

    expected = sweep.simulate(small())
    spoil(fail)
    with pytest.warns(UserWarning, match=r"1 of 6 blocks failed: .*journal\.jsonl says why"):
        result = sweep.run(small(), path).compute()
    np.testing.assert_array_equal(result.status, [[1, 1, 1, 1], [1, 1, 3, 3], [1, 1, 1, 1]])
    assert np.isnan(result.r_mean.where(result.status == 3, drop=True)).all()
    assert_same(result.isel(tau_s=[0, 2]), expected.isel(tau_s=[0, 2]))
    store = Store(path)
    assert store.pending() == [3]
    (failure,) = store.failures()
    assert (failure["block"], failure["first_set"], failure["error"]) == (3, [1, 2], "ZeroDivisionError: no such luck")
    spoil(lambda parameters, batch: None)
    assert_same(sweep.run(small(), path), expected)
    assert store.failures() == []


def test_many_failures_in_a_row_stop_the_run(
    path: Path, spoil: Callable[[Callable[[ParameterSets, int | None], None]], None]
) -> None:
    """If everything fails, the run stops early, says why, and can be continued later."""

    def fail(parameters: ParameterSets, batch: int | None) -> None:
        raise ZeroDivisionError("no such luck")

    spoil(fail)
    with pytest.raises(RunError, match="8 blocks in a row failed, the last with ZeroDivisionError: no such luck"):
        sweep.run(many(40), path)
    assert Store(path).counts()["failed"] == 8
    spoil(lambda parameters, batch: None)
    assert_same(sweep.run(many(40), path), sweep.simulate(many(40)))


def test_memory_that_runs_out_halves_the_batch(
    path: Path, spoil: Callable[[Callable[[ParameterSets, int | None], None]], None]
) -> None:
    """A block that does not fit the memory is simulated in smaller parts, down to one set, with the same result."""
    tried: list[int | None] = []

    def fill(parameters: ParameterSets, batch: int | None) -> None:
        tried.append(batch)
        if (batch or parameters.size) > 2:
            raise MemoryError

    job = small(sets_per_block=12)
    expected = sweep.simulate(job)
    spoil(fill)
    assert_same(sweep.run(job, path), expected)
    assert tried == [None, 6, 3, 1]


def test_a_set_that_does_not_fit_fails(
    path: Path, spoil: Callable[[Callable[[ParameterSets, int | None], None]], None]
) -> None:
    """If not even one set fits, its block fails and the others do not."""

    def fill(parameters: ParameterSets, batch: int | None) -> None:
        if (parameters.values["gain"] == 2.0).any():
            raise MemoryError("not even one")

    spoil(fill)
    with pytest.warns(UserWarning, match="3 of 6 blocks failed"):
        result = sweep.run(small(), path)
    assert int((result.status == 3).sum()) == 6


KILLER = """
import os, signal
from sweep.backends.numpy import NumpyBackend

def deadly(original):
    def simulate(self, prepared, parameters, **options):
        if parameters.values["gain"].min() == 1.0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, prepared, parameters, **options)
    simulate.deadly = True
    return simulate

if not hasattr(NumpyBackend.simulate, "deadly"):
    NumpyBackend.simulate = deadly(NumpyBackend.simulate)
"""


def test_a_block_that_kills_every_worker_fails_alone(path: Path) -> None:
    """The block fails after it has killed two workers; the other blocks of these workers are computed."""
    job = small(design=grid(gain=np.arange(12.0)), sets_per_block=1)
    preload = path.with_name("killer.py")
    preload.write_text(KILLER)
    with (
        dask.config.set({"distributed.worker.preload": [str(preload)]}),
        pytest.warns(UserWarning, match="1 of 12 blocks failed"),
    ):
        result = sweep.run(job, path, workers=2, backend="numpy")
    np.testing.assert_array_equal(result.status, [1, 3, *[1] * 10])
    (failure,) = Store(path).failures()
    assert failure["block"] == 1
    assert failure["error"].startswith("KilledWorker")
    assert_same(sweep.run(job, path, backend="numpy"), sweep.simulate(job, backend="numpy"))


# ----------------------------------------------------------------------------------------------- workers and schedulers


def listening() -> set[str]:
    """Return the addresses at which this process and its children listen."""
    me = psutil.Process()
    found = set()
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            connections = process.net_connections(kind="inet")
            found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def workers() -> list[int]:
    """Return the worker processes of this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [process.pid] if "spawn_main" in " ".join(process.cmdline()) else []
    return found


class Watch(threading.Thread):
    """Watches a running job until it has seen something."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.over = path, threading.Event()
        self.addresses: set[str] = set()
        self.killed: int | None = None

    def run(self) -> None:
        """Note the addresses; kill a worker process once some blocks are done, if there are worker processes."""
        while not self.over.wait(0.2):
            self.addresses |= listening()
            if self.killed is None and len(list(self.path.glob("status/c/*"))) >= 3 and (alive := workers()):
                self.killed = alive[0]
                os.kill(self.killed, signal.SIGKILL)

    def __enter__(self) -> Watch:
        """Start to look."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop looking."""
        self.over.set()
        self.join()


def test_a_worker_that_is_killed_is_replaced(path: Path) -> None:
    """After kill -9 of a worker process in the middle of a run the run completes; it listens only on loopback."""
    job = slow()
    with Watch(path) as watch:
        result = sweep.run(job, path, workers=2)
    assert watch.killed
    assert watch.addresses <= {"127.0.0.1", "::1"}
    assert watch.addresses
    assert_same(result, sweep.simulate(job))


def test_threads_listen_on_loopback_alone(path: Path) -> None:
    """A run in the threads of this process opens no port to the outside."""
    with Watch(path) as watch:
        sweep.run(slow(4), path)
    assert watch.addresses <= {"127.0.0.1", "::1"}


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Run a cluster of two processes that is not the runner's own."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster


def test_a_cluster_of_the_user_does_the_work(
    path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a scheduler's address its workers simulate and write, and the scheduler keeps running."""
    expected = sweep.simulate(small(**JOBS["records"]))
    monkeypatch.chdir(path.parent)
    assert_same(sweep.run(small(**JOBS["records"]), path.name, scheduler=cluster.scheduler_address), expected)
    # The same workers get another job at the same path, and must not confuse it with the first one.
    job = small(seed=1)
    result = sweep.run(job, path, scheduler=cluster.scheduler_address, overwrite=True)
    assert_same(result, sweep.simulate(job))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_cannot_be_reached_is_an_error_in_seconds(
    path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the address and the remedy; nothing hangs."""
    monkeypatch.setattr("sweep.execution.cluster._CONNECT", "1s")
    start = time.monotonic()
    with pytest.raises(BackendError, match=rf"scheduler = '{address}' cannot be reached: .* Start one with"):
        sweep.run(small(), path, scheduler=address)
    assert time.monotonic() - start < 5


def test_a_scheduler_that_dies_stops_the_run(path: Path) -> None:
    """The run ends with a remedy, marks no set as failed, and can be continued in another way."""
    code = """
from distributed import LocalCluster
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp://",
                  dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0") as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()"""
    server = python(code, stdin=subprocess.PIPE)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()

        def kill() -> None:
            while len(list(path.glob("status/c/*"))) < 2:
                time.sleep(0.02)
            server.send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            pytest.raises(RunError, match="scheduler was lost"),
        ):
            sweep.run(slow(6), path, scheduler=address)
        killer.join()
    finally:
        finish(server)
    counts = Store(path).counts()
    assert counts["failed"] == 0
    assert 2 <= counts["ok"] < 6
    assert_same(sweep.run(slow(6), path), sweep.simulate(slow(6)))


# ------------------------------------------------------------------------------------------------------------- memory


def test_memory_is_bounded_by_the_block(tmp_path: Path) -> None:
    """Four times as many blocks need no more memory, and far less than the size of the results."""
    code = """
import tracemalloc
import numpy as np
def job(sets):
    return jobs.small(design=sweep.grid(gain=np.linspace(0, 1, sets)), sets_per_block=64,
                      observe=[sweep.record("x")], integration=sweep.Integration(dt=1.0, duration=500.0))
sweep.run(job(128), sys.argv[1] + "0")
for sets in (320, 1280):
    tracemalloc.start()
    sweep.run(job(sets), sys.argv[1] + str(sets))
    print(tracemalloc.get_traced_memory()[1], job(sets).bytes_per_set * 64)
    tracemalloc.stop()"""
    status, said = finish(python(code, tmp_path / "out"), timeout=120)
    assert status == 0, said
    (few, block), (many_blocks, _) = (map(int, line.split()) for line in said.splitlines())
    # The peaks of two threads may or may not coincide.
    assert many_blocks < 1.5 * few + 2 * block
    assert many_blocks < 20 * block


def test_warnings_of_the_cluster_do_not_reach_the_user(path: Path) -> None:
    """A successful run prints nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result: xr.Dataset = sweep.run(small(), path)
    assert (result.status == 1).all()
