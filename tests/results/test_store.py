"""A store is complete or missing, a block is finished or pending, and files that are not ours are never changed."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from support.jobs import assert_same, finish, python, small
from support.stores import chunk, create, tree

import sweep
from sweep import (
    Design,
    Model,
    Target,
    gaussian,
    grid,
    record,
    replicates,
    samples,
    sine,
    spikes,
    zipped,
)
from sweep.backends.registry import get_backend, provenance
from sweep.errors import RunError
from sweep.execution.prepare import prepare
from sweep.observables import STATUS
from sweep.results.creation import lock
from sweep.results.store import Store
from sweep.signals.targets import model_output

# ------------------------------------------------------------------------------------------------------------ creation


def test_a_store_is_not_there_until_it_is_whole(path: Path, expected: xr.Dataset) -> None:
    """If a run is killed while it creates a store, there is no store, and the next run removes the rest."""
    code = """
import os, signal, zarr
zarr.consolidate_metadata = lambda store: os.kill(os.getpid(), signal.SIGKILL)
sweep.run(jobs.small(), sys.argv[1])"""
    assert finish(python(code, path))[0] == -signal.SIGKILL
    assert not path.exists()
    assert [p.suffix for p in path.parent.iterdir() if p.is_dir()] == [".creating"]
    assert_same(sweep.run(small(), path), expected)
    assert [p for p in path.parent.iterdir() if p.is_dir()] == [path]


def test_clearing_up_spares_the_stores_next_to_it(path: Path) -> None:
    """A store that another run is creating is not removed, even if one name begins like the other."""
    other = path.with_name(".out.zarr.second.creating")
    other.mkdir()
    sweep.run(small(), path)
    sweep.run(small(), path.with_name("out"))
    sweep.run(small(), path.with_name("*"))
    assert other.exists()


@pytest.mark.parametrize("name", ["out[1].zarr", "results of June", "a.b.c", "σ=1"])
def test_a_store_may_have_any_name(tmp_path: Path, expected: xr.Dataset, name: str) -> None:
    """Brackets, blanks, dots and Greek letters are allowed in names, also in folders that do not exist yet."""
    assert_same(sweep.run(small(), tmp_path / "new" / name), expected)


@pytest.mark.parametrize("dim", ["job", "c", "zarr", "journal", "coordinates"])
def test_a_dimension_may_be_called_like_a_part_of_the_store(path: Path, dim: str) -> None:
    """No possible name of a dimension collides with the store's own parts."""
    job = small(design=zipped(dim, tau_s=[2.0, 3.0], gain=[1.0, 2.0]))
    assert_same(sweep.run(job, path), sweep.simulate(job))


def test_every_job_comes_back_as_it_was(tmp_path: Path) -> None:
    """A store contains its whole job: the job read from it has the same hash and layout."""
    model = Model(
        units=4,
        weights=gaussian(units=4, seed=1, networks=2),
        input_weights=np.eye(4)[:, :1],
        parameters={"bias": np.arange(4.0), "noise": 0.1},
    )
    rng = np.random.default_rng(1)
    rich = {
        "input": [samples(rng.normal(size=60), interval=1.0), spikes([3.0, 5.5], window=2.0)],
        "target": [Target(sine(1.0, 5.0), lags=[0, 1]), Target(model_output({"gain": 0.5}), lags=[0, 1])],
        "observe": ["target_correlation", record("x", every=4, units=[1, 3])],
        "design": grid(network=[0, 1], stimulus=[0, 1]) * sweep.sobol(n=4, seed=1, tau_s=(5, 50)) * replicates(2),
        "seed": 2**64 - 1,
    }
    for number, job in enumerate([small(), small(design=Design(())), small(model=model, **rich)]):
        store = create(tmp_path / f"{number}.zarr", job)
        assert store.job.hash == job.hash
        assert store.job.blocks == job.blocks
        assert store.pending() == list(range(len(job.blocks)))


# -------------------------------------------------------------------------------------------------------------- blocks


def test_a_block_is_one_chunk_of_every_variable(path: Path) -> None:
    """There is exactly one file for each block and variable, at the place that follows from the block's number."""
    job = small(observe=["r_mean", record("x", every=8)], design=grid(tau_s=[2.0, 3.0, 4.0], gain=np.arange(5.0)))
    opened = sweep.run(job, path)
    blocks = job.blocks
    corners = {tuple(a // n for a, n in zip(block.start, blocks.shape, strict=True)) for block in blocks}
    assert blocks.shape == (1, 2)
    assert len(corners) == len(blocks) == 9
    for variable in job.variables:
        rest = (0,) * len(variable.shape)
        files = {p for p in (path / variable.name / "c").rglob("*") if p.is_file()}
        assert files == {chunk(path, variable.name, *corner, *rest) for corner in corners}
        assert opened[variable.name].data.chunksize == (*blocks.shape, *variable.shape)


def test_a_finished_block_has_no_set_without_a_status(path: Path) -> None:
    """Status is written for every set and is never 0."""
    store = create(path, small())
    assert store.counts() == {"not_run": 12, "ok": 0, "diverged": 0, "failed": 0}
    assert (sweep.open(path).status == 0).all()
    sweep.run(small(), path)
    assert store.counts() == {"not_run": 0, "ok": 12, "diverged": 0, "failed": 0}


def test_status_is_written_last(path: Path, expected: xr.Dataset) -> None:
    """If a run is killed between the data and the status of a block, the block is pending."""
    code = """
import os, signal, zarr
write = zarr.Array.__setitem__
def stop_before_status(array, selection, value):
    if array.name.endswith("status"):
        os.kill(os.getpid(), signal.SIGKILL)
    write(array, selection, value)
zarr.Array.__setitem__ = stop_before_status
sweep.run(jobs.small(), sys.argv[1])"""
    assert finish(python(code, path))[0] == -signal.SIGKILL
    assert [p for p in (path / "r_mean" / "c").rglob("*") if p.is_file()]
    assert [p for p in (path / "diverged_at" / "c").rglob("*") if p.is_file()]
    assert not (path / "status" / "c").exists()
    assert Store(path).pending() == list(range(6))
    assert_same(sweep.run(small(), path), expected)


def test_a_block_loses_its_status_before_it_is_written_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a block is written a second time, it is pending."""
    sweep.run(small(), path)
    store, block = Store(path), small().blocks[3]
    results = get_backend("numpy").simulate(prepare(small()), small().parameter_sets(block))
    seen = []
    write = zarr.Array.__setitem__

    def look(array: zarr.Array, selection: object, value: np.ndarray) -> None:
        seen.append(Store(path).pending())
        write(array, selection, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", look)
    store.write(block, results, provenance("numpy", small()))
    assert seen == [[3]] * len(small().variables)
    assert store.pending() == []


def test_two_writers_of_a_block_leave_the_same_bytes(path: Path) -> None:
    """If a block is written twice at the same time, the result is the same as if it was written once."""
    store, block = create(path, small()), small().blocks[0]
    results = get_backend("numpy").simulate(prepare(small()), small().parameter_sets(block))
    by = provenance("numpy", small())
    store.write(block, results, by)
    once = {p: content for p, content in tree(path).items() if "c" in p.parts}

    def write() -> None:
        mine = Store(path)
        for _ in range(10):
            mine.write(block, results, by)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {p: content for p, content in tree(path).items() if "c" in p.parts} == once
    assert store.pending() == [1, 2, 3, 4, 5]


def test_a_store_can_be_read_while_it_is_written(path: Path) -> None:
    """An unfinished store opens: what was not run has the status 0 and NaN."""
    store = create(path, small())
    block = store.job.blocks[2]
    results = get_backend("numpy").simulate(prepare(store.job), store.job.parameter_sets(block))
    store.write(block, results, provenance("numpy", store.job))
    with lock(path):
        opened = sweep.open(path).compute()
    assert int((opened.status == STATUS["ok"]).sum()) == block.size
    assert np.isnan(opened.r_mean.where(opened.status == 0)).all()
    assert np.isfinite(opened.r_mean.where(opened.status == 1, drop=True)).all()


def test_a_failure_to_write_is_not_a_failure_of_the_sets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk stops the run, but marks no set as failed."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "discard", full)
    with pytest.raises(RunError, match="No space left on device"):
        sweep.run(small(), path)
    assert Store(path).counts()["failed"] == 0


def test_statuses_are_read_part_by_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of sets only few statuses are read at once, and none in parts without finished blocks."""
    job = small()
    sweep.run(job, path)
    read: list[int] = []
    take = zarr.Array.__getitem__

    def counting(array: Any, selection: Any) -> Any:
        values = take(array, selection)
        read.append(np.size(values))
        return values

    monkeypatch.setattr("sweep.results.store._STATUSES", 4)
    store = Store(path)
    monkeypatch.setattr(zarr.Array, "__getitem__", counting)
    assert store.pending() == []
    assert read == [4, 4, 4]
    store.discard(job.blocks[1])
    store.discard(job.blocks[2])
    store.discard(job.blocks[3])
    assert store.counts() == {"not_run": 6, "ok": 6, "diverged": 0, "failed": 0}
    read.clear()
    assert store.pending() == [1, 2, 3]
    assert read == [4, 4]
