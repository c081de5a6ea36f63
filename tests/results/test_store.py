"""A store is whole or not there, a block is finished or pending, and nothing that is not ours is touched."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import assert_same, finish, python, small, tree

import sweep
from sweep import (
    Design,
    Integration,
    Job,
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
from sweep.errors import BackendError, JobError, RunError, StoreError
from sweep.execution.prepare import prepare
from sweep.observables import STATUS
from sweep.results.creation import lock, open_or_create
from sweep.results.journal import ranges
from sweep.results.store import Store, computed_by
from sweep.signals.targets import model_output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a place for a store."""
    return tmp_path / "out.zarr"


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    """Return what the small job results in."""
    return sweep.simulate(small())


def create(path: Path, job: Job) -> Store:
    """Return a new store without any results."""
    with lock(path):
        return open_or_create(path, job, overwrite=False)


def chunk(path: Path, name: str, *index: int) -> Path:
    """Return the file of a chunk."""
    return path.joinpath(name, "c", *map(str, index))


# ------------------------------------------------------------------------------------------------------------ creation


def test_a_store_is_not_there_until_it_is_whole(path: Path, expected: xr.Dataset) -> None:
    """Killed while it creates a store, a run leaves none, and the next one clears the rest away."""
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
    """A store that another run is creating stays, even where one name begins like the other."""
    other = path.with_name(".out.zarr.second.creating")
    other.mkdir()
    sweep.run(small(), path)
    sweep.run(small(), path.with_name("out"))
    sweep.run(small(), path.with_name("*"))
    assert other.exists()


@pytest.mark.parametrize("name", ["out[1].zarr", "results of June", "a.b.c", "σ=1"])
def test_a_store_may_have_any_name(tmp_path: Path, expected: xr.Dataset, name: str) -> None:
    """Brackets, blanks, dots and Greek letters are names like others, in folders that do not exist yet."""
    assert_same(sweep.run(small(), tmp_path / "new" / name), expected)


@pytest.mark.parametrize("dim", ["job", "c", "zarr", "journal", "coordinates"])
def test_a_dimension_may_be_called_like_a_part_of_the_store(path: Path, dim: str) -> None:
    """No name that a dimension may have is in the way of the store's own parts."""
    job = small(design=zipped(dim, tau_s=[2.0, 3.0], gain=[1.0, 2.0]))
    assert_same(sweep.run(job, path), sweep.simulate(job))


def test_every_job_comes_back_as_it_was(tmp_path: Path) -> None:
    """A store holds all that its job is made of: opened again, the job has the same hash and layout."""
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


def test_nothing_is_written_for_bad_arguments(path: Path) -> None:
    """What is wrong is said before anything is on the disk."""
    for arguments, error in [
        ({"backend": "nmupy"}, BackendError),
        ({"batch": 0}, JobError),
        ({"workers": 0}, JobError),
        ({"workers": True}, JobError),
        ({"workers": 1, "scheduler": "tcp://127.0.0.1:1"}, JobError),
    ]:
        with pytest.raises(error, match=next(iter(arguments))):
            sweep.run(small(), path, **arguments)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_at_once(path: Path) -> None:
    """Where nothing can be written the error names the folder and the remedy."""
    path.parent.chmod(0o555)
    code = """
import os
os.chdir(sys.argv[1])
# What is imported when it is first used may lie where another user cannot read.
sweep.simulate(jobs.small(), "numpy"), sweep.run, sweep.StoreError
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
try:
    sweep.run(jobs.small(), "out.zarr", backend="numpy")
except sweep.StoreError as error:
    print(error)"""
    status, said = finish(python(code, path.parent))
    assert "cannot be written" in said
    assert "Choose another folder" in said
    assert status == 0
    assert list(path.parent.iterdir()) == []


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


# -------------------------------------------------------------------------------------------------------------- blocks


def test_a_block_is_one_chunk_of_every_variable(path: Path) -> None:
    """There is a file per block and variable, in the place that the block's number says, and no other."""
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
    """Killed between the data and the status of a block, a run leaves the block pending."""
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
    """A block that is written a second time is pending from its first moment to its last."""
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
    """A block lacks a chunk of any variable: it is computed again, and it alone."""
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
    """A flipped bit in the data is an error on reading, never a wrong number."""
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


def test_two_writers_of_a_block_leave_the_same_bytes(path: Path) -> None:
    """A block that is written twice at once is as if it had been written once."""
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


def test_what_killed_writers_left_is_removed(path: Path) -> None:
    """A temporary file of a writer that was killed goes when the run goes on."""
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
    # What is noted next follows the torn line at once, and is not lost with it.
    block = store.job.blocks[1]
    results = get_backend("numpy").simulate(prepare(store.job), store.job.parameter_sets(block))
    store.write(block, results, provenance("numpy", store.job))
    assert store.failures() == []
    assert [part["blocks"] for part in computed_by(path)] == ["1"]


@given(st.sets(st.integers(0, 60)))
def test_numbers_are_written_as_ranges(numbers: set[int]) -> None:
    """Read back, the text has the numbers it was made of, and neighbours are drawn together."""
    text = ranges(sorted(numbers))
    runs = [tuple(map(int, run.split("-"))) for run in text.split(", ") if run]
    assert {n for run in runs for n in range(run[0], run[-1] + 1)} == numbers
    assert all(after[0] - before[-1] > 1 for before, after in itertools.pairwise(runs))


# ------------------------------------------------------------------------------------------------- refused, untouched


def foreign(path: Path, kind: str) -> None:
    """Put something that is not our store at a path."""
    if kind == "file":
        path.write_text("the only copy")
    elif kind == "folder":
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "thesis.tex").write_text("the only copy")
    elif kind == "empty folder":
        path.mkdir()
    elif kind == "foreign store":
        zarr.create_group(path, attributes={"job": "{}"}).create_array("data", data=np.arange(3))
    elif kind == "not JSON":
        path.mkdir()
        (path / "zarr.json").write_text("[]")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["file", "folder", "empty folder", "foreign store", "not JSON"])
def test_what_is_not_a_store_is_left_alone(path: Path, kind: str, overwrite: bool) -> None:
    """Anything at the path that is not ours is refused and untouched, even if it may be overwritten."""
    foreign(path, kind)
    before = tree(path.parent)
    with pytest.raises(StoreError, match="not a store of tausweep: it was left untouched"):
        sweep.run(small(), path, overwrite=overwrite)
    with pytest.raises(StoreError, match="not a store of tausweep"):
        sweep.open(path)
    after = tree(path.parent)
    after.pop(path.with_name(".out.zarr.lock"), None)
    assert after == before


def test_a_store_that_is_not_there_cannot_be_opened(path: Path) -> None:
    """Opening nothing says so."""
    with pytest.raises(StoreError, match="there is no store at"):
        sweep.open(path)


def test_a_store_of_another_job_is_refused_with_the_differences(path: Path) -> None:
    """The message lists key by key what is different, and the store stays as it is."""
    sweep.run(small(), path)
    before = tree(path)
    changed = small(
        model=Model(units=3, weights=gaussian(units=3, seed=2), parameters={"noise": 0.2, "bias": 1.0}),
        integration=Integration(dt=0.5, duration=40.0, transient=8.0),
        observe=["r_mean"],
        seed=1,
    )
    with pytest.raises(StoreError, match="holds another job, and was left untouched") as caught:
        sweep.run(changed, path)
    said = str(caught.value)
    for line in ("integration.dt: 1.0 -> 0.5", "seed: 0 -> 1", "model.parameters.noise: 0.1 -> 0.2"):
        assert line in said
    for key in ("model.weights: array(3, 3)", "model.parameters.bias", "observe: "):
        assert key in said
    assert "integration.duration" not in said
    assert tree(path) == before


def test_a_store_of_a_newer_format_is_left_alone(path: Path) -> None:
    """A store that a later version has written is neither read nor touched."""
    sweep.run(small(), path)
    meta = json.loads((path / "zarr.json").read_text())
    meta["attributes"]["tausweep_format"] = 2
    (path / "zarr.json").write_text(json.dumps(meta))
    before = tree(path)
    for overwrite in (False, True):
        with pytest.raises(StoreError, match="store format 2, and this version reads format 1"):
            sweep.run(small(), path, overwrite=overwrite)
    assert tree(path) == before


def test_blocks_and_words_are_not_part_of_the_identity(path: Path) -> None:
    """A run goes on with other blocks, a new title or description asked for; the store keeps its blocks."""
    sweep.run(small(), path)
    before = tree(path)
    sweep.run(small(sets_per_block=5, title="new", description="words"), path)
    assert tree(path) == before


# ---------------------------------------------------------------------------------------------------------- overwriting


def test_overwriting_replaces_the_store_and_nothing_else(path: Path) -> None:
    """The old store goes with all that was in it, and its neighbours stay."""
    neighbour = path.with_name("out.zarr.png")
    neighbour.write_text("a figure")
    sweep.run(small(), path)
    (path / "note.txt").write_text("put into the store by hand")
    job = small(seed=1)
    assert_same(sweep.run(job, path, overwrite=True), sweep.simulate(job))
    assert {p.name for p in path.parent.iterdir()} <= {"out.zarr", "out.zarr.png", ".out.zarr.lock"}
    assert not (path / "note.txt").exists()


def test_a_process_that_overwrites_a_store_forgets_the_old_one(path: Path) -> None:
    """Runs of different jobs into one path, one after the other in one process, each give their own results."""
    for gain in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]):
        job = small(design=grid(gain=gain))
        assert_same(sweep.run(job, path, overwrite=True), sweep.simulate(job))


def test_overwriting_follows_a_link(path: Path) -> None:
    """A link to a store stays a link, and what it leads to is overwritten."""
    sweep.run(small(), path)
    link = path.with_name("latest")
    link.symlink_to(path)
    job = small(seed=1)
    assert_same(sweep.run(job, link, overwrite=True), sweep.simulate(job))
    assert link.is_symlink()
    assert_same(sweep.open(path), sweep.simulate(job))


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_second_run_into_a_store_is_refused_at_once(path: Path) -> None:
    """While a process runs into a store, another is told so, however it is called; when it is killed, it may."""
    code = """
from pathlib import Path
from sweep.results.creation import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()"""
    first = python(code, path, stdin=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        link = path.with_name("link")
        path.mkdir()
        link.symlink_to(path)
        path.rmdir()
        for other in (path, link, os.path.relpath(path)):
            with pytest.raises(StoreError, match="being written by another run"):
                sweep.run(small(), other)
        assert not path.exists()
        first.send_signal(signal.SIGKILL)
    finally:
        finish(first)
    sweep.run(small(), path)


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
    """An error of the disk stops the run; no set is marked as failed for it."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "discard", full)
    with pytest.raises(RunError, match="No space left on device"):
        sweep.run(small(), path)
    assert Store(path).counts()["failed"] == 0


def test_statuses_are_read_part_by_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sets there are, few are read at once, and none of parts in which no block can be finished."""
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


def test_damaged_chunks_are_found_by_reading(path: Path) -> None:
    """A chunk whose bytes have changed is named; deleted and run again, the store is whole."""
    sweep.run(small(), path)
    store = Store(path)
    assert store.damaged() == []
    chunk = sorted((path / store.job.variables[0].name / "c").rglob("*"))[-1]
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert store.damaged() == [chunk]
    chunk.unlink()
    assert_same(sweep.run(small(), path), sweep.simulate(small()))
    assert store.damaged() == []
