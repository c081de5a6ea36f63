"""Teachers: models that make a target. On every back end the set that equals its teacher has no error, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.jobs import Simulate, assert_same_bits
from support.reference import assert_agrees

import sweep
from sweep import Integration, Job, Model, Target, grid, model_output, sine, white_noise
from sweep.signals.targets import ModelOutput

COMPARISONS = ["target_mse", "target_correlation"]


def job(units: int, coupled: str = "network", target: Any = None, **changes: Any) -> Job:
    """Return a job whose sets differ in what a teacher follows and in what it does not."""
    design = grid(stimulus=[0, 1]) * grid(tau_s=[2.0, 5.0], input_gain=[0.7, 0.9])
    matrices = np.stack([sweep.gaussian(units=units, seed=seed) for seed in range(3)])
    if coupled == "network":
        design = grid(network=[0, 1, 2]) * design
    if coupled == "entry":
        design = design * grid(**{"W[0,0]": [matrices[0, 0, 0], 0.3]})
    parts = {
        "model": Model(
            units=units,
            weights={"network": matrices, "none": None}.get(coupled, matrices[0]),
            parameters={"tau_r": 4.0, "bias": np.linspace(-0.1, 0.2, units)},
        ),
        "input": [white_noise(1.0, seed=1, interval=1.0), sine(1.0, 20.0)],
        "target": target or Target(model_output({"tau_s": 5.0, "input_gain": 0.9}), lags=[-3, 0, 2]),
        "design": design,
        "integration": Integration(dt=1.0, duration=60.0, transient=10.0),
        "observe": [*COMPARISONS, "x_final"],
    }
    return Job(**(parts | changes))


def labels(of: Job) -> dict[str, np.ndarray]:
    """Return every swept parameter ``(set,)``."""
    return of.design.values(of.design.blocks(of.design.size)[0])


@pytest.mark.product(quick=2)
@pytest.mark.parametrize(
    ("units", "coupled"),
    [(3, "network"), (20, "one"), (1, "none"), (40, "network"), (20, "entry"), (3, "entry"), (1, "one"), (40, "none")],
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_set_that_equals_the_teacher_it_follows_has_no_error(
    simulate: Simulate, units: int, coupled: str, precision: str
) -> None:
    """For every input and network the mean squared difference is 0 at the teacher's parameters, and only there."""
    this = job(units, coupled, integration=Integration(dt=1.0, duration=60.0, transient=10.0, precision=precision))
    results, own = simulate(this), labels(this)
    truth = (own["tau_s"] == 5.0) & (own["input_gain"] == 0.9)
    if coupled == "entry":
        truth &= own["W[0,0]"] != 0.3
    mse = results["target_mse"][:, 1]  # at lag 0
    assert (mse[truth] == 0).all()
    assert (mse[~truth].max(axis=-1) > 1e-4).all()
    np.testing.assert_allclose(results["target_correlation"][truth, 1], 1.0, atol=1e-6)
    assert_agrees(results, this)


def test_blocks_batches_and_order_change_no_bit(simulate: Simulate) -> None:
    """What is compared with one teacher is simulated together, and comes back to its place."""
    this = job(3)
    expected = simulate(this)
    for sets in (1, 5):
        assert_same_bits(simulate(this.changed(sets_per_block=sets)), expected)
    assert_same_bits(simulate(this, batch=3), expected)
    order = np.random.default_rng(0).permutation(this.design.size)
    shuffled = sweep.zipped("row", **{name: column[order] for name, column in labels(this).items()})
    assert_same_bits(simulate(this.changed(design=shuffled)), expected, order)


@pytest.mark.parametrize(
    ("output", "heard", "had"),
    [
        (model_output({"network": 2}), (0, 1), (2, 2, 2)),
        (model_output({"stimulus": 1}), (1, 1), (0, 1, 2)),
        (model_output({}, weights=sweep.gaussian(units=3, seed=1)), (0, 1), (1, 1, 1)),
        (ModelOutput({}), (0, 0), (0, 0, 0)),
    ],
    ids=["own network", "own stimulus", "own weights", "of an older store"],
)
def test_what_a_teacher_has_itself_it_does_not_follow(
    output: ModelOutput, heard: tuple[int, ...], had: tuple[int, ...]
) -> None:
    """Its own network, stimulus or weights are those of all its sets."""
    this = job(3, target=Target(output), design=grid(network=[0, 1, 2], stimulus=[0, 1]))
    found = sweep.simulate(this, backend="numpy").target_mse.max("unit")
    for network, own_network in enumerate(had):
        for stimulus, own_stimulus in enumerate(heard):
            equal = (network, stimulus) == (own_network, own_stimulus)
            assert (found.sel(network=network, stimulus=stimulus) == 0) == equal, (network, stimulus)


def test_teachers_beside_each_other_follow_each_what_it_follows(simulate: Simulate) -> None:
    """One has a network of its own, one follows both, one target is recorded."""
    outputs = [model_output({"tau_s": 5.0, "network": 1}), model_output({"input_gain": 0.9}), sine(0.5, 20.0)]
    this = job(3, target=[Target(one, lags=[0, 1]) for one in outputs])
    assert_agrees(simulate(this), this)
