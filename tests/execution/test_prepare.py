"""What all sets share is made once per process: the targets, and the models that make them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fast import look
from support.jobs import assert_same, small

import sweep
from sweep import Job, Model, Target, grid, model_output, sine
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob, Results
from sweep.design.arrays import ParameterSets
from sweep.errors import JobError, RunError
from sweep.execution import prepare as subject
from sweep.results.store import Store, computed_by


class Counting(NumpyBackend):
    """NumPy's back end, which counts the sets of the teachers that it simulates."""

    name = "fast"

    def __init__(self) -> None:
        self.teachers: list[int] = []

    def simulate(self, prepared: PreparedJob, parameters: ParameterSets, **options: Any) -> Results:
        """Count, and simulate."""
        if prepared.job.records:
            self.teachers.append(parameters.size)
        return super().simulate(prepared, parameters, **options)


@pytest.fixture
def counting(before_numpy: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Make the counting back end the first one, and forget what this process has kept."""
    engine = Counting()
    monkeypatch.setattr(subject, "_kept", {})
    before_numpy(fast=(look, lambda: engine))
    return engine


def compared(**changes: Any) -> Job:
    """Return a job with two inputs and a teacher."""
    parts = {
        "model": Model(units=3, weights=sweep.gaussian(units=3, seed=1), parameters={"tau_s": 4.0}),
        "input": [sine(1.0, 20.0), sine(1.0, 30.0)],
        "target": Target(model_output({"tau_r": 7.0})),
        "design": grid(gain=[0.5, 1.0, 1.5, 2.0]),
        "observe": ["target_mse"],
    }
    return small(**(parts | changes))


def test_generations_of_an_optimiser_share_a_teacher(counting: Counting) -> None:
    """Jobs that differ in the values of their sets alone simulate their teacher once, and with other parts again."""
    for seed in range(5):
        sweep.simulate(compared(design=sweep.random(n=8, seed=seed, gain=(0.5, 2.0), tau_r=(1.0, 9.0))))
    assert counting.teachers == [1]
    again = compared(design=sweep.random(n=8, seed=1, gain=(0.5, 2.0), tau_r=(1.0, 9.0)))
    sweep.simulate(again, backend="numpy")
    assert counting.teachers == [1]
    sweep.simulate(again.changed(target=Target(model_output({"tau_r": 8.0}))))
    sweep.simulate(again.changed(input=sine(1.0, 20.0)))
    assert counting.teachers == [1, 1, 1]


def test_threads_and_blocks_share_a_teacher(counting: Counting, path: Path) -> None:
    """However many blocks ask at the same time, what they follow is simulated once."""
    job = compared(design=grid(gain=np.linspace(0, 2, 8)) * grid(stimulus=[0, 1]), sets_per_block=4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: subject.simulate_block(counting, job, block), job.blocks))
    assert counting.teachers == [2]
    sweep.run(job, path)
    assert sum(counting.teachers) == 2


@pytest.mark.parametrize(("kept", "at_a_time"), [(0, 2**26), (2**28, 0), (0, 0)])
def test_little_memory_changes_no_bit(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, kept: int, at_a_time: int
) -> None:
    """With room for few series they are made in parts and more often."""
    job = compared(design=grid(gain=[0.5, 1.5]) * grid(stimulus=[0, 1], tau_s=[2.0, 3.0]), sets_per_block=4)
    expected = sweep.simulate(job)
    subject._kept.clear()
    monkeypatch.setattr(subject, "_MOST_KEPT", kept)
    monkeypatch.setattr(subject, "_AT_A_TIME", at_a_time)
    assert_same(sweep.simulate(job), expected)
    assert len(subject._kept) == (1 if kept == 0 else 2)


def test_the_back_ends_of_a_run_have_teachers_of_their_own(counting: Counting) -> None:
    """A result of NumPy is compared with NumPy's teacher, whoever has simulated the same job before."""
    job = compared()
    sweep.simulate(job)
    sweep.simulate(job, backend="numpy")
    assert [name for _, name, _ in subject._kept] == ["fast", "numpy"]


DIVERGING: dict[str, Any] = {
    "model": Model(
        units=2, weights=np.stack([np.eye(2), 1e30 * np.eye(2)]), activation="linear", parameters={"r0": 1.0}
    ),
    "design": grid(network=[0, 1], gain=[0.5, 0.0]),
}


def test_a_teacher_that_diverges_for_some_sets_is_named(counting: Counting) -> None:
    """The message says what the sets have that it follows."""
    with pytest.raises(JobError, match=r"target \(model\): the model with network = 1 diverges.*Lower its gain"):
        sweep.simulate(compared(**DIVERGING))


def test_a_run_stops_at_a_teacher_that_diverges(counting: Counting, path: Path) -> None:
    """It says why, and keeps the blocks that it has."""
    job = compared(**DIVERGING)
    with pytest.raises(RunError, match=r"target \(model\): the model with network = 1 diverges"):
        sweep.run(job, path)
    assert Store(path).counts()["failed"] == 0


def test_a_store_goes_on_with_another_back_end_and_its_teacher(counting: Counting, path: Path) -> None:
    """Every block is compared with the teacher of the back end that has computed it."""
    job = compared(design=grid(tau_r=[7.0, 9.0], stimulus=[0, 1]), sets_per_block=1)
    sweep.run(job, path, backend="numpy")
    for number in (0, 1):
        Store(path).discard(job.blocks[number])
    found = sweep.run(job, path)
    assert counting.teachers == [1, 1]
    assert (found.target_mse.sel(tau_r=7.0) == 0).all()
    assert (found.target_mse.sel(tau_r=9.0) > 0).all()
    assert {part["backend"] for part in computed_by(path)} == {"numpy", "fast"}
