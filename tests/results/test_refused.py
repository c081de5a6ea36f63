"""Stores that are refused, replaced or locked: what is not ours is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.jobs import assert_same, finish, python, small
from support.stores import tree

import sweep
from sweep import (
    Integration,
    Model,
    gaussian,
    grid,
)
from sweep.errors import BackendError, JobError, StoreError


def test_nothing_is_written_for_bad_arguments(path: Path) -> None:
    """An error is raised before anything is written."""
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
    """If nothing can be written, the error names the folder and the remedy."""
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


# ------------------------------------------------------------------------------------------------- refused, untouched


def foreign(path: Path, kind: str) -> None:
    """Put something that is not a tausweep store at a path."""
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
    """Anything at the path that is not a tausweep store is refused and left untouched, even with overwrite."""
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
    """Opening a path without a store is an error that says so."""
    with pytest.raises(StoreError, match="there is no store at"):
        sweep.open(path)


def test_a_store_of_another_job_is_refused_with_the_differences(path: Path) -> None:
    """The message lists the differences key by key, and the store is unchanged."""
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
    """A store that was written by a later version is neither read nor changed."""
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
    """A run can be continued with another size of blocks, title or description; the store keeps its blocks."""
    sweep.run(small(), path)
    before = tree(path)
    sweep.run(small(sets_per_block=5, title="new", description="words"), path)
    assert tree(path) == before


# ---------------------------------------------------------------------------------------------------------- overwriting


def test_overwriting_replaces_the_store_and_nothing_else(path: Path) -> None:
    """The old store is removed completely, and other files next to it stay."""
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
    """A link to a store stays a link, and the store that it points to is overwritten."""
    sweep.run(small(), path)
    link = path.with_name("latest")
    link.symlink_to(path)
    job = small(seed=1)
    assert_same(sweep.run(job, link, overwrite=True), sweep.simulate(job))
    assert link.is_symlink()
    assert_same(sweep.open(path), sweep.simulate(job))


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_second_run_into_a_store_is_refused_at_once(path: Path) -> None:
    """While a process runs into a store, another one gets an error, by any path to it. After a kill the other one may write."""
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
