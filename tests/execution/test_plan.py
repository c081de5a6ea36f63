"""A plan says what a run will do, and holds nothing that grows with the number of sets."""

from __future__ import annotations

import dataclasses
import importlib
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.jobs import small

import sweep
from sweep import Integration, Job, Model, Target, gaussian, grid, latin_hypercube, record, sine
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob
from sweep.backends.registry import get_backend
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError, JobError
from sweep.execution.plan import Plan
from sweep.execution.prepare import prepare
from sweep.signals.recordings import samples
from sweep.signals.signal import Signal
from sweep.signals.targets import model_output


@pytest.fixture
def huge() -> Job:
    """Return a job of 10**8 sets."""
    return small(
        design=grid(tau_s=np.geomspace(1, 100, 1000), gain=np.linspace(0, 2, 1000)) * sweep.replicates(100),
        sets_per_block=None,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"design": sweep.Design(())},
        {"design": latin_hypercube(n=7, seed=1, gain=(0, 2)), "sets_per_block": 3},
        {"observe": ["r_mean", record("x", every=4, units=[0, 2])], "sets_per_block": None},
        {"target": [Target(sine(1.0, 5.0), lags=[-4, 0, 4])] * 2, "observe": ["target_correlation"]},
    ],
    ids=["grid", "one set", "samples", "record", "targets"],
)
def test_a_plan_says_what_a_run_writes(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Sets, blocks and bytes before compression are those of the store."""
    job = small(**changes)
    planned = sweep.plan(job)
    result = sweep.run(job, tmp_path / "out.zarr")
    assert planned.sets == result.status.size == job.design.size
    assert planned.shape == {dim: result.sizes[dim] for dim in job.design.dims}
    assert planned.disk == sum(result[variable.name].nbytes for variable in job.variables)
    files = [p for p in (tmp_path / "out.zarr" / "status").rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert planned.blocks == len(files)
    assert planned.sets_per_block == max(block.size for block in job.blocks)
    assert planned.updates == job.design.size * 3 * 40


def test_a_plan_prints_as_a_table(huge: Job) -> None:
    """Every row has a name and numbers for people."""
    planned = sweep.plan(huge, "numpy", workers=2)
    text = str(planned)
    rows = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert rows["sets"] == "100,000,000 (1000 tau_s x 1000 gain x 100 replicate)"
    assert rows["blocks"] == "50 of at most 2,000,000 sets"
    assert rows["disk"] == "3.07 GiB before compression"
    assert "per worker" in rows["memory"]
    assert "with 2 processes" in rows["time"]
    assert rows["method"] == get_backend("numpy").describe(huge)
    assert "numpy" in text
    assert repr(planned) == text


def test_a_plan_of_many_sets_takes_no_memory_and_no_time(huge: Job) -> None:
    """10**8 sets, in many or few blocks, are planned without an array of their size."""
    tracemalloc.start()
    try:
        start = time.perf_counter()
        planned = sweep.plan(huge)
        took = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert planned.sets == 10**8
    assert planned.blocks <= 10_000
    assert took < 5
    assert peak < 64 * 2**20


def test_the_memory_planned_is_that_of_the_blocks(huge: Job) -> None:
    """With ten times as many sets in blocks of the same size, a worker needs the same memory."""
    ten = small(design=huge.design * grid(bias=np.arange(10.0)), sets_per_block=5_000)
    few = small(design=grid(tau_s=np.geomspace(1, 100, 100), gain=np.linspace(0, 2, 1000)), sets_per_block=5_000)
    one, more = sweep.plan(few, workers=1), sweep.plan(ten, workers=1)
    assert one.memory == pytest.approx(more.memory, rel=0.5)
    assert more.memory < 100 * 2**20


@pytest.mark.parametrize("workers", [None, 1])
def test_the_time_planned_is_about_the_time_taken(workers: int | None) -> None:
    """The calibration finds the right order of magnitude."""
    job = small(
        model=Model(units=50, weights=gaussian(units=50, seed=1), activation="tanh"),
        design=grid(gain=np.linspace(0, 1, 400)),
        integration=Integration(dt=1.0, duration=1000.0),
        sets_per_block=None,
    )
    planned = sweep.plan(job, "numpy", workers=workers)
    start = time.perf_counter()
    if workers is None:
        sweep.simulate(job, "numpy")
    else:
        engine = get_backend("numpy")
        for block in job.blocks:
            engine.simulate(prepare(job), job.parameter_sets(block))
    took = time.perf_counter() - start
    assert planned.seconds == pytest.approx(took, rel=4)
    assert took == pytest.approx(planned.seconds, rel=4)


class _Clockwork(NumpyBackend):
    """A back end that takes 50 ms for 1000 sets, and 0.2 ms for a step of them."""

    def simulate(
        self, prepared: PreparedJob, parameters: ParameterSets, *, batch: int | None = None, progress: Any = None
    ) -> dict[str, np.ndarray]:
        time.sleep(parameters.size * (5e-5 + 2e-7 * prepared.job.integration.steps))
        return {}


@pytest.mark.parametrize("steps", [4, 10_000])
def test_what_a_set_costs_besides_its_steps_is_not_taken_for_steps(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The estimated time is that of the steps plus that of the sets, for any number of steps."""
    monkeypatch.setattr(importlib.import_module("sweep.execution.plan"), "get_backend", lambda name: _Clockwork())
    job = small(
        design=grid(gain=np.linspace(0, 2, 1000)),
        integration=Integration(dt=1.0, duration=float(steps)),
        sets_per_block=1000,
    )
    assert sweep.plan(job, "numpy").seconds == pytest.approx(5e-2 + 2e-4 * steps, rel=0.3)


@pytest.mark.parametrize("measured", [samples(np.ones(52), interval=1.0), samples(np.arange(9.0), interval=5.0)])
@pytest.mark.parametrize("lags", [(0.0,), (-8.0, 0.0), (-4.0, 12.0)])
def test_a_job_with_targets_lags_and_sparse_records_can_be_planned(lags: tuple[float, ...], measured: Signal) -> None:
    """The few steps of the calibration are enough for every observable, and for targets that are measured now and then."""
    targets = [Target(model_output({"gain": 0.5}), lags=lags), Target(measured, lags=lags)]
    job = small(target=targets, observe=[record("x", every=32), "target_mse"], input=samples(np.ones(52), interval=1.0))
    assert sweep.plan(job).sets == 12
    assert isinstance(sweep.plan(small(observe=[record("x", every=32)])), Plan)


def test_a_plan_names_what_is_wrong() -> None:
    """A back end that does not exist is an error here as in a run."""
    with pytest.raises(BackendError, match=r"backend = 'nunpy' does not exist\. Did you mean 'numpy'"):
        sweep.plan(small(), "nunpy")
    with pytest.raises(JobError, match="batch = 0"):
        sweep.plan(small(), batch=0)
    with pytest.raises(JobError, match="workers = -1"):
        sweep.plan(small(), workers=-1)


def test_numbers_are_written_for_people() -> None:
    """Bytes and seconds get the unit that suits them."""
    planned = dataclasses.replace(sweep.plan(small()), disk=1, memory=3 * 2**29, seconds=9000.0)
    rows = dict(planned.rows())
    assert rows["disk"] == "1 B before compression"
    assert rows["memory"] == "1.50 GiB per worker"
    assert rows["time"].startswith("about 2hr 30m with ")
