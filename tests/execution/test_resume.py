"""A run that is killed at any moment can be continued, and the result is the same as without interruption."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from support.jobs import assert_same, finish, many, python, slow

import sweep
from sweep import Integration
from sweep.results.store import Store

RUN = "sweep.run(jobs.many(100), sys.argv[1])"


@pytest.fixture(scope="module")
def undisturbed() -> xr.Dataset:
    """Return the result of a run that is not interrupted."""
    return sweep.simulate(many(100))


def finished(path: Path) -> dict[int, int]:
    """Return when each finished block was written, by its number."""
    if not path.exists():
        return {}
    store = Store(path)
    done = sorted(set(range(len(store.job.blocks))) - set(store.pending()))
    return {number: (path / "status" / "c" / str(number)).stat().st_mtime_ns for number in done}


def wait_for(path: Path, process: subprocess.Popen[str], blocks: int) -> None:
    """Wait until a run has written this many blocks."""
    end = time.monotonic() + 30
    while len(list(path.glob("status/c/*"))) < blocks and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def test_a_run_that_is_killed_goes_on_where_it_stopped(path: Path, undisturbed: xr.Dataset) -> None:
    """Kill -9 at seven random moments: finished blocks are right and not computed again, and the final result is the same."""
    moments = random.Random(20101136)
    known: dict[int, int] = {}
    kills = 0
    for _ in range(7):
        process = python(RUN, path)
        wait_for(path, process, blocks=len(known) + moments.choice([0, 1, 5]))
        time.sleep(moments.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        kills += finish(process)[0] == -signal.SIGKILL
        now = finished(path)
        assert known.items() <= now.items()
        known = now
        if path.exists():
            part = sweep.open(path).compute()
            done = part.status.to_numpy() == 1
            assert set(np.flatnonzero(done)) == set(known)
            for name in ("r_mean", "x_final", "diverged_at"):
                assert part[name].to_numpy()[done].tobytes() == undisturbed[name].to_numpy()[done].tobytes()
    assert kills >= 6
    assert 0 < len(known)
    assert_same(sweep.run(many(100), path), undisturbed)
    assert known.items() <= finished(path).items()


def test_a_driver_that_is_killed_takes_its_workers_along(path: Path) -> None:
    """Kill -9 of the driver of two processes: they end by themselves, and the run goes on at once."""
    process = python("if __name__ == '__main__':\n sweep.run(jobs.slow(), sys.argv[1], workers=2)", path)
    wait_for(path, process, blocks=2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    finish(process)
    known = finished(path)
    assert 2 <= len(known) < 8
    assert_same(sweep.run(slow(), path), sweep.simulate(slow()))
    assert known.keys() <= finished(path).keys()
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize("workers", [None, 1])
def test_an_interrupt_stops_a_run_soon(path: Path, workers: int | None) -> None:
    """Ctrl-C ends a run quickly, even in long blocks, and the run can be continued."""
    code = """
if __name__ == "__main__":
    workers = int(sys.argv[2]) or None
    job = jobs.many(6, integration=sweep.Integration(dt=1.0, duration=24_000.0))
    try:
        sweep.run(job, sys.argv[1], workers=workers)
    except KeyboardInterrupt:
        print("interrupted")"""
    process = python(code, path, workers or 0)
    wait_for(path, process, blocks=2)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, said = finish(process)
    assert (status, "interrupted" in said) == (0, True), said
    assert time.monotonic() - start < 8
    store = Store(path)
    assert 0 < len(store.pending()) < 6
    assert store.counts()["failed"] == 0
    known = finished(path)
    sweep.run(many(6, integration=Integration(dt=1.0, duration=24_000.0)), path)
    assert store.pending() == []
    assert known.items() <= finished(path).items()


def test_a_finished_run_does_nothing_again(path: Path, undisturbed: xr.Dataset) -> None:
    """Running a finished job again opens the store and does not change it."""
    sweep.run(many(100), path)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    start = time.monotonic()
    assert_same(sweep.run(many(100), path), undisturbed)
    assert time.monotonic() - start < 5
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
