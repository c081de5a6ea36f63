"""A job in memory: how it is divided among threads, and how it ends early."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import assert_same

import sweep
from sweep import Integration, Job, Model, grid
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob, Results
from sweep.design.arrays import ParameterSets
from sweep.errors import JobError
from sweep.execution.memory import _FINER, _MOST_SHARES, _SHARE_BYTES, _SHARE_WORK, _UPDATE_WORK, _shares

Simulate = Callable[..., Results]


LEAST = 2**10


def job(units: int = 1, sets: int = 7, steps: int = 9, **changes: Any) -> Job:
    """Return a job with this number of sets."""
    return Job(
        model=Model(units=units),
        design=grid(tau_s=np.linspace(1, 2, sets)),
        integration=Integration(dt=1.0, duration=float(steps)),
        observe=["r_mean"],
        **changes,
    )


@given(
    units=st.sampled_from([1, 2, 32, 512]),
    sets=st.integers(1, 10**6),
    steps=st.integers(1, 10**6),
    threads=st.integers(1, 64),
)
def test_threads_share_the_sets(units: int, sets: int, steps: int, threads: int) -> None:
    """Every set is in one share, no share is large, and if there is much to do each thread has some."""
    one = job(units, sets, steps)
    shares = list(_shares(one, threads, LEAST))
    assert shares[0].start == (0,)
    assert all(share.stop == after.start for share, after in itertools.pairwise(shares))
    assert shares[-1].stop == (sets,)
    assert max(share.size for share in shares) <= max(1, _SHARE_BYTES // one.bytes_per_set)
    work = sets * units * steps * (units + _UPDATE_WORK)
    worth = min(work // _SHARE_WORK, sets * units // LEAST)
    if worth >= threads:
        # Shares are of equal length, so there may be fewer than threads; never half as few.
        assert 2 * len(shares) > threads
    assert len(shares) <= max(
        1, _FINER * min(worth, threads * _MOST_SHARES), -(-sets * one.bytes_per_set // _SHARE_BYTES)
    )


@given(rows=st.integers(4, 40), threads=st.integers(1, 8))
def test_shares_of_a_grid_come_out_even(rows: int, threads: int) -> None:
    """If rows cannot be divided equally among threads, they are cut: no thread has more than a quarter more to do."""
    design = grid(tau_s=np.linspace(1, 2, rows), gain=np.linspace(0, 1, 20_000))
    shares = _shares(dataclasses.replace(job(units=1, steps=20_000), design=design), threads, LEAST)
    assert sum(share.size for share in shares) == design.size
    rounds = -(-len(shares) // threads)
    assert rounds * max(share.size for share in shares) <= 1.25 * design.size / threads


def test_the_result_is_that_of_one_share(monkeypatch: pytest.MonkeyPatch, only_numpy: None) -> None:
    """A job that several threads share has the bits and the labels of one that is not shared."""
    design = grid(tau_s=np.linspace(1, 2, 6), gain=np.linspace(0, 1, 5))
    one = dataclasses.replace(job(), design=design)
    whole = sweep.simulate(one)
    monkeypatch.setattr(NumpyBackend, "least_units", 1)
    monkeypatch.setattr("sweep.execution.memory._SHARE_WORK", 1)
    shared = sweep.simulate(one)
    assert_same(shared, whole)


def test_memory_is_asked_for_the_result_and_the_shares_under_way(
    monkeypatch: pytest.MonkeyPatch, only_numpy: None
) -> None:
    """A single share is computed once for any number of threads; a byte less of memory is an error."""
    one = job(sets=6)
    needed = 2 * one.design.size * one.bytes_per_set
    monkeypatch.setattr(NumpyBackend, "concurrency", lambda self, cores: 64)
    for available in (needed, needed - 1):
        free = SimpleNamespace(available=available)
        monkeypatch.setattr("sweep.execution.memory.psutil", SimpleNamespace(virtual_memory=lambda free=free: free))
        if available == needed:
            assert sweep.simulate(one).sizes["tau_s"] == 6
        else:
            with pytest.raises(JobError, match=r"the result needs .* of memory are free"):
                sweep.simulate(one)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_ends_the_other_threads(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch, only_numpy: None
) -> None:
    """An exception in one thread comes out, and the others end at their next report of progress."""
    ended, both = [], threading.Barrier(2, timeout=30)

    def simulate(self: NumpyBackend, prepared: PreparedJob, parameters: ParameterSets, **options: Any) -> Results:
        both.wait()
        if 1.0 in parameters.values["tau_s"]:
            raise error("a reason")
        try:
            for _ in range(6000):
                time.sleep(0.01)
                options["progress"](0)
        except BaseException:
            ended.append(True)
            raise
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(NumpyBackend, "least_units", 1)
    monkeypatch.setattr("sweep.execution.memory._SHARE_WORK", 1)
    monkeypatch.setattr(NumpyBackend, "simulate", simulate)
    monkeypatch.setattr(NumpyBackend, "concurrency", lambda self, cores: 2)
    start = time.monotonic()
    with pytest.raises(error, match="a reason"):
        sweep.simulate(job(sets=2))
    assert ended == [True]
    assert time.monotonic() - start < 30


def test_the_time_of_a_divergence_is_a_decimal(only_numpy: None) -> None:
    """A set that diverges after some steps of 0.1 ms has a time that is written with one digit; the others have none."""
    job = Job(
        model=Model(units=1, weights=[[1.0]], activation="linear", parameters={"tau_s": 0.2, "tau_r": 0.2, "x0": 1.0}),
        design=grid(gain=np.geomspace(1e-3, 1e9, 60)),
        integration=Integration(dt=0.1, duration=20.0),
        observe=["r_final"],
    )
    times = sweep.simulate(job).diverged_at.to_numpy()
    lost = times[np.isfinite(times)]
    assert 0 < len(set(lost)) < len(times)
    assert lost.tolist() == [round(float(time), 1) for time in lost]
    assert any(steps * 0.1 not in lost and round(steps * 0.1, 1) in lost for steps in range(1, 201))
