"""Which back end is taken, who is told why, and what a result says of who computed which of its blocks."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
import xarray as xr
from distributed import LocalCluster
from support import fast
from support.jobs import assert_same, finish, python, slow, small

import sweep
from sweep import Job, Model, cli, gaussian, grid
from sweep.backends.protocol import Probe
from sweep.backends.registry import choose, get_backend, provenance
from sweep.errors import BackendError, RunError
from sweep.results.journal import ranges
from sweep.results.store import Store, computed_by

Table = Callable[..., None]
PRELOAD = {"distributed.worker.preload": [fast.__file__]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a place for a store."""
    return tmp_path / "out.zarr"


@pytest.fixture
def two(before_numpy: Table) -> None:
    """Let there be two back ends in this process."""
    before_numpy(fast=(fast.look, fast.load))


def blocks(result: xr.Dataset) -> dict[str, str]:
    """Return which blocks were computed by which back end."""
    return {part["backend"]: part["blocks"] for part in json.loads(result.attrs["backends"])}


def lose(path: Path, *numbers: int) -> None:
    """Delete the status of some blocks, as if the run had been killed before they were finished."""
    store = Store(path)
    for number in numbers:
        store._chunk("status", store.job.blocks[number]).unlink()


# ------------------------------------------------------------------------------------------------------------- choice


@pytest.mark.usefixtures("two")
def test_auto_takes_the_first_that_works() -> None:
    """The fastest stands first; it is taken without a word."""
    assert choose() == Probe(
        name="fast", works=True, reason="the fastest that works here: made up", device=fast.device(), note=""
    )
    assert get_backend().name == "fast"


@pytest.mark.usefixtures("two")
def test_a_faster_one_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one would expect it to work, auto says that it does not, why not, and what it takes instead."""
    monkeypatch.setenv(fast.BROKEN, "the driver is too old")
    chosen = choose()
    assert (chosen.name, chosen.works) == ("numpy", True)
    assert chosen.note == "fast does not work here: the driver is too old; using numpy"
    assert chosen.reason.startswith(f"{chosen.note}: NumPy ")


def test_one_that_nobody_expects_is_not_named(before_numpy: Table) -> None:
    """What is not installed is no fault: auto is silent about it."""
    absent = Probe(name="fast", works=False, reason="not installed", expected=False)
    before_numpy(fast=(lambda: absent, fast.load))
    assert choose().note == ""
    assert choose().reason.startswith("the fastest that works here: NumPy ")


@pytest.mark.usefixtures("two")
def test_an_explicit_choice_never_falls_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end named and broken is an error with the reason, before anything is written."""
    monkeypatch.setenv(fast.BROKEN, "the driver is too old")
    calls: list[Callable[[], object]] = [
        lambda: choose("fast"),
        lambda: sweep.plan(small(), "fast"),
        lambda: sweep.simulate(small(), "fast"),
        lambda: sweep.lazy(small(), "fast"),
        lambda: sweep.run(small(), path, backend="fast"),
        lambda: sweep.run(small(), path, backend="fast", workers=1),
    ]
    for call in calls:
        with pytest.raises(BackendError, match="backend = 'fast' cannot work here: the driver is too old"):
            call()
    assert not path.exists()


def test_a_back_end_that_works_is_asked_once(before_numpy: Table) -> None:
    """Every block asks for it, and a driver may be slow to answer."""
    asked = []

    def look() -> Probe:
        asked.append(1)
        return fast.look()

    before_numpy(fast=(look, fast.load))
    sweep.simulate(small())
    assert len(asked) == 1


@pytest.mark.parametrize("arguments", [("plan", "job.toml"), ("run", "job.toml", "--quiet")], ids=["plan", "run"])
def test_the_command_line_tells_of_a_broken_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before_numpy: Table,
    arguments: tuple[str, ...],
) -> None:
    """One line on the error stream, with auto alone; and none where nothing is broken."""
    monkeypatch.chdir(tmp_path)
    Path("job.toml").write_text(
        'observe = ["r_mean"]\n[model]\nunits = 1\n[integration]\ndt = 1.0\nduration = 9.0\n', encoding="utf-8"
    )
    note = "note: fast does not work here: the driver is too old; using numpy\n"
    for why, options, said in [
        ("the driver is too old", (), note),
        ("the driver is too old", ("--backend", "numpy"), ""),
        (None, (), ""),
    ]:
        before_numpy(fast=(fast.look, fast.load))
        with monkeypatch.context() as patch:
            if why:
                patch.setenv(fast.BROKEN, why)
            patch.setattr(sys, "argv", ["sweep", *arguments, *options])
            with pytest.raises(SystemExit, match="0"):
                cli.main()
        assert capsys.readouterr().err == said


# --------------------------------------------------------------------------------------------------------- provenance


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "tiles of at most 64 sets, float32, W r elementwise"),
        ({"model": Model(units=2)}, "tiles of at most 64 sets, float32, no W"),
        ({"model": Model(units=2), "design": grid(**{"W[0,1]": [1.0]})}, "W r elementwise"),
        ({"model": Model(units=40, weights=gaussian(units=40, seed=1))}, r"W r in products of \d+ columns"),
    ],
    ids=["few units", "uncoupled", "a weight", "many units"],
)
def test_numpy_says_how_it_goes_about_a_job(changes: dict[str, object], method: str) -> None:
    """The width of its tiles and the way it makes W r are in its words."""
    assert re.search(method, get_backend("numpy").describe(small(**changes)))


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", ["auto", "numpy"])
def test_every_way_to_run_says_who_did_it(path: Path, name: str) -> None:
    """In memory, lazily, in a store: back end, reason, device and method are attributes; a plan has them as rows."""
    expected = provenance(name, small())
    assert expected["backend"] == ("fast" if name == "auto" else "numpy")
    for result in (sweep.simulate(small(), name), sweep.lazy(small(), name), sweep.run(small(), path, backend=name)):
        assert {key: result.attrs[key] for key in expected} == expected
        assert json.loads(result.attrs["backends"]) == [{**expected, "blocks": "0-5"}]
    rows = dict(sweep.plan(small(), name).rows())
    assert rows["back end"] == f"{expected['backend']}, {expected['backend_reason']}"
    assert rows["method"] == expected["method"]


@pytest.mark.usefixtures("two")
def test_a_store_goes_on_with_another_back_end(path: Path) -> None:
    """The job is the same whoever computes it: what is done stays, the rest is done by the other, and both are named."""
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
    """What counts is who computed what is there, and a store begun anew knows nothing of what it replaced."""
    sweep.run(small(), path, backend="numpy")
    lose(path, 3)
    sweep.run(small(), path, backend="fast")
    lose(path, 3)
    assert blocks(sweep.open(path)) == {"numpy": "0-2, 4-5"}
    assert blocks(sweep.run(small(), path, backend="numpy")) == {"numpy": "0-5"}
    assert blocks(sweep.run(small(), path, backend="fast", overwrite=True)) == {"fast": "0-5"}


@pytest.mark.usefixtures("two")
def test_a_block_that_failed_is_nobodys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is finished has somebody who computed it."""
    sweep.run(small(), path, backend="numpy")
    Store(path).write_failed(small().blocks[2], "ValueError: no")
    assert blocks(sweep.open(path)) == {"numpy": "0-1, 3-5"}


def test_others_who_read_a_store_see_it_too(path: Path) -> None:
    """When a run ends the attributes on the disk say what ours say, and the rest of the metadata is as it was."""
    result = sweep.run(small(), path)
    raw = xr.open_zarr(path, consolidated=True)
    assert raw.attrs == result.attrs
    assert_same(raw, result)
    (path / "journal.jsonl").unlink()
    assert sweep.open(path).attrs == result.attrs


def test_a_store_without_a_finished_block_has_no_back_end(path: Path) -> None:
    """Nobody computed what is not there."""
    sweep.run(small(), path)
    lose(path, *range(6))
    assert computed_by(path) == []
    attrs = sweep.open(path).attrs
    assert (attrs["backend"], attrs["backends"]) == ("", "[]")


@pytest.mark.usefixtures("two")
def test_a_run_killed_within_a_block_did_not_compute_it(path: Path) -> None:
    """Killed between the note and the status of a block, the run does not count as who computed it; the next does."""
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


# ------------------------------------------------------------------------------------------------- workers, schedulers


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
                    dashboard_address=None,
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
    """A driver without the back end drives workers that have it, and the result says what the workers say."""
    result = sweep.run(small(), path, backend=name, scheduler=cluster(None).scheduler_address)
    assert blocks(result) == {"fast": "0-5"}
    assert (result.attrs["device"], result.attrs["method"]) == (fast.device(), "in no time")
    assert_same(result, sweep.simulate(small()))


@pytest.mark.usefixtures("two")
def test_workers_without_the_back_end_are_named(path: Path, cluster: Callable[..., LocalCluster]) -> None:
    """Asked for by name, it must work where the work is done, whatever works here: an error, and nothing is written."""
    address = cluster("no card").scheduler_address
    with pytest.raises(BackendError, match=r"worker tcp://127\S*: backend = 'fast' cannot work here: no card"):
        sweep.run(small(), path, backend="fast", scheduler=address)
    assert not path.exists()
    result = sweep.run(small(), path, backend="auto", scheduler=address)
    assert blocks(result) == {"numpy": "0-5"}
    assert result.attrs["backend_reason"].startswith("fast does not work here: no card; using numpy: ")


@pytest.mark.usefixtures("two")
def test_a_process_that_lacks_the_back_end_stops_the_run(path: Path) -> None:
    """Its blocks are not to blame: none is marked as failed, and another back end goes on."""
    with pytest.raises(
        RunError, match=r"block \d cannot be computed on \S+: backend = 'fast' does not exist.*run again"
    ):
        sweep.run(small(), path, backend="fast", workers=1)
    assert Store(path).counts()["not_run"] == 12
    assert blocks(sweep.run(small(), path, backend="numpy")) == {"numpy": "0-5"}


def test_processes_that_write_at_once_lose_no_note(path: Path) -> None:
    """Every finished block has its line, whichever of the workers wrote it."""
    job: Job = small(design=grid(gain=[0.01 * n for n in range(60)]), sets_per_block=1)
    with dask.config.set(PRELOAD):
        result = sweep.run(job, path, workers=2)
    assert blocks(result) == {"fast": "0-59"}
    lines = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    assert sorted(line["block"] for line in lines if line["event"] == "computed") == list(range(60))


def test_a_driver_that_is_killed_leaves_notes_that_are_true(path: Path) -> None:
    """Kill -9 of driver and workers, then another back end: each finished block is said to be of who computed it."""
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
