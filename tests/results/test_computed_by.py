"""A result says which back end computed which of its blocks, for every way to run it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
import xarray as xr
from distributed import LocalCluster
from support import fast
from support.jobs import assert_same, finish, python, slow, small
from support.stores import lose

import sweep
from sweep import Job, grid
from sweep.errors import BackendError, RunError
from sweep.results.journal import ranges
from sweep.results.store import Store, computed_by

PRELOAD = {"distributed.worker.preload": [fast.__file__]}


def blocks(result: xr.Dataset) -> dict[str, str]:
    """Return which blocks were computed by which back end."""
    return {part["backend"]: part["blocks"] for part in json.loads(result.attrs["backends"])}


@pytest.mark.usefixtures("two")
def test_a_store_goes_on_with_another_back_end(path: Path) -> None:
    """A run may go on with another back end: finished blocks stay, the other one computes the rest, and both are named."""
    sweep.run(small(), path, backend="numpy")
    before = {file: file.stat().st_mtime_ns for file in (path / "x_final" / "c").rglob("*") if file.is_file()}
    lose(path, 1, 4, 5)
    assert blocks(sweep.open(path)) == {"numpy": "0, 2-3"}
    result = sweep.run(small(), path, backend="fast")
    assert blocks(result) == {"numpy": "0, 2-3", "fast": "1, 4-5"}
    assert result.attrs["backend"] == "numpy; fast"
    assert result.attrs["method"].endswith("; in no time")
    after = {file: file.stat().st_mtime_ns for file in before}
    assert sum(after[file] != before[file] for file in before) == 3
    assert_same(result, sweep.simulate(small()))


@pytest.mark.usefixtures("two")
def test_a_block_computed_again_is_the_later_ones(path: Path) -> None:
    """Only what computed the present blocks counts; a store that was overwritten does not know the earlier one."""
    sweep.run(small(), path, backend="numpy")
    lose(path, 3)
    sweep.run(small(), path, backend="fast")
    lose(path, 3)
    assert blocks(sweep.open(path)) == {"numpy": "0-2, 4-5"}
    assert blocks(sweep.run(small(), path, backend="numpy")) == {"numpy": "0-5"}
    assert blocks(sweep.run(small(), path, backend="fast", overwrite=True)) == {"fast": "0-5"}


@pytest.mark.usefixtures("two")
def test_a_block_that_failed_is_nobodys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only finished blocks have a back end that computed them."""
    sweep.run(small(), path, backend="numpy")
    Store(path).write_failed(small().blocks[2], "ValueError: no")
    assert blocks(sweep.open(path)) == {"numpy": "0-1, 3-5"}


def test_others_who_read_a_store_see_it_too(path: Path) -> None:
    """At the end of a run the attributes on disk equal those that open() shows, and other metadata is unchanged."""
    result = sweep.run(small(), path)
    raw = xr.open_zarr(path, consolidated=True)
    assert raw.attrs == result.attrs
    assert_same(raw, result)
    (path / "journal.jsonl").unlink()
    assert sweep.open(path).attrs == result.attrs


def test_a_store_without_a_finished_block_has_no_back_end(path: Path) -> None:
    """An empty store names no back end."""
    sweep.run(small(), path)
    lose(path, *range(6))
    assert computed_by(path) == []
    attrs = sweep.open(path).attrs
    assert (attrs["backend"], attrs["backends"]) == ("", "[]")


@pytest.mark.usefixtures("two")
def test_a_run_killed_within_a_block_did_not_compute_it(path: Path) -> None:
    """If a run is killed between the journal's line and the status of a block, the next run is named for the block."""
    code = """
import os, signal, zarr
write = zarr.Array.__setitem__
def stop_before_status(array, selection, value):
    if array.name.endswith("status") and len(list(array.store.root.glob("status/c/*/*"))) >= 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(array, selection, value)
zarr.Array.__setitem__ = stop_before_status
sweep.run(jobs.small(), sys.argv[1], backend="numpy")"""
    assert finish(python(code, path))[0] == -signal.SIGKILL
    done = [2 * int(file.parent.name) + int(file.name) for file in sorted(path.glob("status/c/*/*"))]
    assert 2 <= len(done) < (path / "journal.jsonl").read_text().count('"computed"')
    assert blocks(sweep.open(path)) == {"numpy": ranges(done)}
    result = sweep.run(small(), path, backend="fast")
    assert blocks(result) == {"numpy": ranges(done), "fast": ranges(sorted(set(range(6)) - set(done)))}
    assert_same(result, sweep.simulate(small()))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], LocalCluster]]:
    """Return a way to start a cluster that is not the runner's own, whose two workers have the fast back end."""
    running = []

    def begin(why_broken: str | None) -> LocalCluster:
        with dask.config.set(PRELOAD), monkeypatch.context() as patch:
            if why_broken:
                patch.setenv(fast.BROKEN, why_broken)
            running.append(
                LocalCluster(
                    n_workers=2,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    worker_dashboard_address="127.0.0.1:0",
                )
            )
        return running[-1]

    yield begin
    for one in running:
        one.close()


@pytest.mark.usefixtures("only_numpy")
@pytest.mark.parametrize("name", ["auto", "fast"])
def test_the_workers_of_a_scheduler_choose(path: Path, cluster: Callable[..., LocalCluster], name: str) -> None:
    """A process without the back end can use workers that have it, and the result says what the workers report."""
    result = sweep.run(small(), path, backend=name, scheduler=cluster(None).scheduler_address)
    assert blocks(result) == {"fast": "0-5"}
    assert (result.attrs["device"], result.attrs["method"]) == (fast.device(), "in no time")
    assert_same(result, sweep.simulate(small()))


@pytest.mark.usefixtures("two")
def test_workers_without_the_back_end_are_named(path: Path, cluster: Callable[..., LocalCluster]) -> None:
    """A named back end must work on the workers, not here. Else there is an error, and nothing is written."""
    address = cluster("no card").scheduler_address
    with pytest.raises(BackendError, match=r"worker tcp://127\S*: backend = 'fast' cannot work here: no card"):
        sweep.run(small(), path, backend="fast", scheduler=address)
    assert not path.exists()
    result = sweep.run(small(), path, backend="auto", scheduler=address)
    assert blocks(result) == {"numpy": "0-5"}
    assert result.attrs["backend_reason"].startswith("fast does not work here: no card; using numpy: ")


@pytest.mark.usefixtures("two")
def test_a_process_that_lacks_the_back_end_stops_the_run(path: Path) -> None:
    """A broken back end is not the fault of the blocks: none is marked as failed, and another back end goes on."""
    with pytest.raises(
        RunError, match=r"block \d cannot be computed on \S+: backend = 'fast' does not exist.*run again"
    ):
        sweep.run(small(), path, backend="fast", workers=1)
    assert Store(path).counts()["not_run"] == 12
    assert blocks(sweep.run(small(), path, backend="numpy")) == {"numpy": "0-5"}


def test_processes_that_write_at_once_lose_no_note(path: Path) -> None:
    """Every finished block has its line in the journal, from whichever worker."""
    job: Job = small(design=grid(gain=[0.01 * n for n in range(60)]), sets_per_block=1)
    with dask.config.set(PRELOAD):
        result = sweep.run(job, path, workers=2)
    assert blocks(result) == {"fast": "0-59"}
    lines = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    assert sorted(line["block"] for line in lines if line["event"] == "computed") == list(range(60))


def test_a_driver_that_is_killed_leaves_notes_that_are_true(path: Path) -> None:
    """After kill -9 of everything and a run with another back end, each finished block names the back end that computed it."""
    code = "if __name__ == '__main__':\n sweep.run(jobs.slow(), sys.argv[1], workers=2, backend='numpy')"
    process = python(code, path)
    while len(list(path.glob("status/c/*"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    finish(process)
    first = blocks(sweep.open(path))
    assert set(first) == {"numpy"}
    with dask.config.set(PRELOAD):
        result = sweep.run(slow(), path, workers=1)
    assert set(blocks(result)) == {"numpy", "fast"}
    assert_same(result, sweep.simulate(slow(), backend="numpy"))
