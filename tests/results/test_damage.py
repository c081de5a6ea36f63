"""Chunks that are missing, empty or damaged: they are found, and computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from support.jobs import assert_same, finish, python, small
from support.stores import chunk, create

import sweep
from sweep import (
    Integration,
    Model,
    record,
)
from sweep.backends.registry import get_backend, provenance
from sweep.execution.prepare import prepare
from sweep.observables import STATUS
from sweep.results.store import Store, computed_by


def test_a_full_disk_stops_the_run_and_leaves_it_resumable(path: Path) -> None:
    """A store, and then a chunk, that does not fit is an error about the disk; with room the run goes on."""
    code = """
import resource
job = jobs.small(observe=["x_final", sweep.record("x")], integration=sweep.Integration(dt=1.0, duration=4000.0))
for limit in 10_000, 60_000:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, 60_000))
    try:
        sweep.run(job, sys.argv[1], backend="numpy")
    except (sweep.StoreError, sweep.RunError) as error:
        print(error)"""
    job = small(observe=["x_final", record("x")], integration=Integration(dt=1.0, duration=4000.0))
    status, said = finish(python(code, path))
    assert status == 0, said
    assert f"{path} cannot be created: File too large. Choose another path." in said
    assert f"could not be written to {path}: [Errno 27] File too large" in said
    assert "run again to go on" in said
    assert Store(path).pending() == list(range(6))
    assert_same(sweep.run(job, path, backend="numpy"), sweep.simulate(job, "numpy"))


def test_results_that_are_all_zero_or_all_nan_are_results(path: Path) -> None:
    """A silent network and one that diverges leave chunks, count as done, and are not computed again."""
    silent = Model(units=2, activation="linear")
    wild = Model(units=2, weights=np.eye(2) * 1e30, activation="linear", parameters={"r0": 1.0})
    for name, model, value in [("zero", silent, 0.0), ("nan", wild, np.nan)]:
        job = small(model=model)
        opened = sweep.run(job, path.with_name(name))
        np.testing.assert_array_equal(opened.r_mean, np.full((3, 4, 2), value))
        assert Store(path.with_name(name)).pending() == []
        assert set(np.unique(opened.status)) == {STATUS["ok" if value == 0 else "diverged"]}
    assert (opened.diverged_at > 0).all()


@pytest.mark.parametrize("damage", [Path.unlink, lambda chunk: chunk.write_bytes(b"")], ids=["deleted", "empty"])
@pytest.mark.parametrize("name", ["r_mean", "x_final", "diverged_at", "status"])
def test_a_chunk_that_is_gone_or_empty_makes_its_block_pending(
    path: Path, expected: xr.Dataset, name: str, damage: Callable[[Path], None]
) -> None:
    """If a chunk of any variable is missing, its block is computed again, and no other."""
    sweep.run(small(), path)
    before = {p: p.stat().st_mtime_ns for p in (path / "x_final" / "c").rglob("*") if p.is_file()}
    damage(chunk(path, name, 1, 1, *(0 for _ in expected[name].dims[2:])))
    assert Store(path).pending() == [3]
    assert_same(sweep.run(small(), path), expected)
    after = {p: p.stat().st_mtime_ns for p in (path / "x_final" / "c").rglob("*") if p.is_file()}
    assert [p for p in after if after[p] != before[p]] == [chunk(path, "x_final", 1, 1, 0)]


def test_every_byte_of_a_status_is_guarded(path: Path) -> None:
    """A bit flipped in any byte of the chunk: the block is pending, or its status still reads the same."""
    sweep.run(small(), path)
    store, file = Store(path), chunk(path, "status", 1, 1)
    whole = file.read_bytes()
    for byte in range(len(whole)):
        broken = bytearray(whole)
        broken[byte] ^= 1 << (5 * byte) % 8
        file.write_bytes(broken)
        assert store.pending() == [3] or store.counts()["ok"] == 12
        assert store.counts()["ok"] in (10, 12)
    file.write_bytes(whole[:-1])
    assert store.pending() == [3]
    file.write_bytes(whole)
    assert store.pending() == []


def test_data_that_is_damaged_cannot_be_read(path: Path) -> None:
    """A flipped bit in the data gives an error when it is read, and never a wrong number."""
    sweep.run(small(), path)
    file = chunk(path, "r_mean", 1, 1, 0)
    whole = file.read_bytes()
    good = sweep.open(path).r_mean.to_numpy()
    for byte in range(0, len(whole), 3):
        file.write_bytes(whole[:byte] + bytes([whole[byte] ^ 16]) + whole[byte + 1 :])
        try:
            read = sweep.open(path).r_mean.to_numpy()
        except (RuntimeError, ValueError):
            continue
        np.testing.assert_array_equal(read, good)


def test_what_killed_writers_left_is_removed(path: Path) -> None:
    """A temporary file of a writer that was killed is removed when the run is continued."""
    sweep.run(small(), path)
    leftover = chunk(path, "r_mean", 1, 1, 0).with_name("0.4711.partial")
    leftover.write_bytes(b"half a chu")
    sweep.run(small(), path)
    assert not leftover.exists()


def test_the_journal_may_be_torn(path: Path) -> None:
    """The journal is for people: nothing depends on a line that a full disk has cut short."""
    store = create(path, small())
    store.write_failed(store.job.blocks[1], "ValueError: no")
    with (path / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "fai{"event": "failed", "block": 2}\n[1]x\n1\n{"time": "2020", "event": "comp')
    assert [failure["block"] for failure in store.failures()] == [1]
    # The next line follows the cut-off line immediately, and is not lost.
    block = store.job.blocks[1]
    results = get_backend("numpy").simulate(prepare(store.job), store.job.parameter_sets(block))
    store.write(block, results, provenance("numpy", store.job))
    assert store.failures() == []
    assert [part["blocks"] for part in computed_by(path)] == ["1"]


def test_damaged_chunks_are_found_by_reading(path: Path) -> None:
    """A chunk with changed bytes is named; after deleting it and running again the store is complete."""
    sweep.run(small(), path)
    store = Store(path)
    assert store.damaged() == []
    chunk = sorted((path / store.job.variables[0].name / "c").rglob("*"))[-1]
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert store.damaged() == [chunk]
    chunk.unlink()
    assert_same(sweep.run(small(), path), sweep.simulate(small()))
    assert store.damaged() == []
