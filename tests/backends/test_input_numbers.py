"""Numbers of the input as axes of a design, on every back end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.jobs import Simulate, assert_same_bits
from support.reference import assert_agrees

import sweep
from sweep import Integration, Job, Model, Signal, Target, gaussian, grid, model_output, record, samples, sine, zipped
from sweep.backends.compiled import kernel
from sweep.backends.registry import get_backend
from sweep.signals.recordings import spikes
from sweep.signals.waveforms import constant, pulse, step, white_noise

PRECISIONS = ("float32", "float64")

RECORDED = np.random.default_rng(1).normal(size=400)

#: For every kind of input how it is made, what it has anyway, and values that its numbers may have together.
KINDS: dict[str, tuple[Callable[..., Signal], dict[str, float], dict[str, list[float]]]] = {
    "constant": (constant, {"value": 0.1}, {"value": [0.5, -1.0, 2.0]}),
    "step": (step, {"time": 1.0}, {"time": [3.0, 9.5, 0.0], "after": [1.0, 2.0, 0.3], "before": [0.0, 0.1, -0.4]}),
    "pulse": (
        pulse,
        {"start": 1.0, "width": 2.0},
        {"start": [0.0, 2.0, 5.0], "width": [1.0, 2.5, 3.0], "amplitude": [1.0, 0.2, 2.0], "period": [4.0, 5.0, 9.0]},
    ),
    "sine": (
        sine,
        {},
        {
            "amplitude": [1.0, 2.0, 0.1],
            "frequency": [3.0, 70.0, 11.0],
            "phase": [0.0, 1.0, 2.0],
            "offset": [0.0, 1.0, 0.2],
        },
    ),
    "white_noise": (
        white_noise,
        {"std": 0.7, "seed": 3, "interval": 0.5},
        {"std": [0.5, 1.0, 2.0], "seed": [0, 5, 2**40], "interval": [0.5, 2.0, 3.5]},
    ),
    "samples": (
        partial(samples, RECORDED),
        {"interval": 1.0},
        {"interval": [0.1, 2.0, 0.7], "start": [-3.0, 0.0, -0.7]},
    ),
    "spikes": (
        partial(spikes, [4.0, 6.2, 10.7, 11.0, 18.0]),
        {},
        {"window": [1.0, 4.0, 2.5], "start": [-3.0, 0.0, -1.5]},
    ),
}


def made(kind: str, **numbers: float) -> Signal:
    """Return an input of a kind with some of its numbers."""
    make, own, _ = KINDS[kind]
    return make(**(own | numbers))


def job(kind: str, numbers: dict[str, list[float]], units: int = 3, precision: str = "float32", **changes: Any) -> Job:
    """Return a noisy network whose input has these numbers, set by set."""
    columns = {f"input_{name}": values for name, values in numbers.items()}
    parts: dict[str, Any] = {
        "model": Model(units=units, weights=gaussian(units=units, seed=1), parameters={"noise": 0.2, "tau_s": 4.0}),
        "input": made(kind),
        "design": zipped("point", **columns) if columns else sweep.Design(()),
        "integration": Integration(dt=0.5, duration=20, transient=2, precision=precision),
        "observe": ["r_mean", "x_std", "r_max", record("r", every=4)],
        "seed": 5,
    }
    return Job(**(parts | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_agrees(simulate: Simulate, kind: str) -> None:
    """Every number of every kind of input varies as the plain loop says, also the noise of the sets."""
    one = job(kind, KINDS[kind][2], precision="float64")
    assert_agrees(simulate(one), one)


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_has_the_bits_of_the_job_whose_input_has_its_numbers(simulate: Simulate, kind: str) -> None:
    """Swept or given to the input itself is the same, as for every parameter; noise aside, which is of the set."""
    numbers = KINDS[kind][2]
    quiet = Model(units=3, weights=gaussian(units=3, seed=1), parameters={"tau_s": 4.0})
    swept = simulate(job(kind, numbers, model=quiet))
    for index in range(3):
        own = {name: values[index] for name, values in numbers.items()}
        alone = job(kind, {}, model=quiet, input=made(kind, **own))
        assert_same_bits(simulate(alone), swept, [index])


def test_a_number_that_the_input_has_anyway_changes_nothing(simulate: Simulate) -> None:
    """The set whose frequency is that of the input has its noise too: it is the job without the axis, bit for bit."""
    swept = job("sine", {"frequency": [1.0, 30.0]})
    assert_same_bits(simulate(job("sine", {})), simulate(swept), [0])
    first, other = swept.parameter_sets(swept.blocks[0]).stream
    assert first != other


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("channels", ["all", "each", "weighted"])
def test_channels_keep_their_own_numbers(simulate: Simulate, channels: str, precision: str) -> None:
    """A swept number is that of all channels; numbers that are not swept stay those of each channel."""
    count = {"all": 1, "each": 3, "weighted": 2}[channels]
    weights = np.random.default_rng(0).normal(size=(3, 2)) if channels == "weighted" else None
    one = Job(
        model=Model(units=3, input_weights=weights, parameters={"tau_s": 3.0}),
        input=sine(amplitude=[1.0, 2.0, -1.0][:count], frequency=[9.0, 20.0, 5.0][:count], phase=0.3),
        design=grid(input_frequency=[5.0, 40.0], input_phase=[0.0, 1.5], input_gain=[1.0, 0.5]),
        integration=Integration(dt=0.5, duration=20, precision=precision),
        observe=["x_final", "x_std", record("x")],
    )
    assert_agrees(simulate(one), one)


@pytest.mark.product
@settings(max_examples=15)
@given(
    frequencies=st.lists(st.floats(0.1, 900.0), min_size=1, max_size=30, unique=True),
    units=st.sampled_from([1, 5]),
    precision=st.sampled_from(PRECISIONS),
    room=st.sampled_from([1, 2, 8]),
    sets_per_block=st.integers(1, 40),
    batch=st.none() | st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_blocks_batches_order_and_room_change_nothing(
    simulate: Simulate,
    frequencies: list[float],
    units: int,
    precision: str,
    room: int,
    sets_per_block: int,
    batch: int | None,
    seed: int,
) -> None:
    """A set has the same bits whatever the blocks and batches, the order of sets, and how many stimuli a batch may have."""
    rng = np.random.default_rng(seed)
    own = {"frequency": np.array(frequencies), "amplitude": rng.choice([0.5, 2.0], len(frequencies))}
    whole = simulate(job("sine", own, units, precision, sets_per_block=100))
    order = rng.permutation(len(frequencies))
    mixed = job("sine", {name: v[order] for name, v in own.items()}, units, precision, sets_per_block=sets_per_block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_MOST_STIMULI", room)
        assert_same_bits(simulate(mixed, batch), whole, order)


def test_sets_of_a_stimulus_stay_together(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid with more stimuli than a batch may have gives every set its own, and some sets may diverge or be compensated."""
    monkeypatch.setattr(kernel, "_MOST_STIMULI", 4)
    one = Job(
        model=Model(units=2, weights=gaussian(units=2, seed=1), activation="linear", parameters={"noise": 0.1}),
        input=pulse(start=1.0, width=2.0, period=6.0),
        target=Target(samples(np.arange(30.0) % 7, interval=1.0), lags=[0, 2]),
        design=grid(tau_s=[2.0, 4000.0], input_width=[1.0, 3.0, 5.0], gain=[0.5, 1e30], input_start=[0.0, 2.0, 9.0]),
        integration=Integration(dt=0.5, duration=25, transient=2),
        observe=["r_mean", "r_std", "target_mse", record("x", every=5)],
    )
    results = simulate(one)
    assert (results["status"] == 2).sum() == 18
    for index in (0, 2, 7, 12, 25, 35):
        labels = one.design.labels(index)
        alone = Job(
            **{
                **{name: getattr(one, name) for name in ("model", "input", "target", "integration", "observe")},
                "design": grid(**{name: [value] for name, value in labels.items()}),
            }
        )
        assert_same_bits(simulate(alone), results, [index])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_teacher_hears_the_input_of_the_set(simulate: Simulate, precision: str) -> None:
    """For every input the mean squared difference is 0 at the teacher's parameters, and only there."""
    one = Job(
        model=Model(units=3, weights=gaussian(units=3, seed=1), parameters={"tau_r": 4.0}),
        input=sine(),
        target=Target(model_output({"tau_s": 5.0}), lags=[0, 2]),
        design=grid(input_frequency=[3.0, 20.0, 80.0], tau_s=[2.0, 5.0], input_amplitude=[0.5, 1.0]),
        integration=Integration(dt=1.0, duration=60.0, transient=10.0, precision=precision),
        observe=["target_mse", "x_final"],
    )
    results = simulate(one)
    mse = results["target_mse"][:, 0].reshape(3, 2, 2, 3)
    assert (mse[:, 1] == 0).all()
    assert (mse[:, 0] > 1e-9).all()
    assert_agrees(results, one)


class TestTransferFunction:
    """|H(f)| of a linear unit, from one sweep, and exact theory of the discrete equations (the z-transform)."""

    FREQUENCIES = (0.5, 1.0, 3.0, 10.0, 40.0, 125.0, 300.0)
    TAU_S = (0.0, 2.0, 10.0, 40.0)
    TAU_R = (0.0, 5.0, 25.0)

    def theory(self, scheme: str, dt: float) -> np.ndarray:
        """Return H ``(frequency, tau_s, tau_r)``: rates from input, both updates by Euler's method."""
        z = np.exp(2j * np.pi * np.array(self.FREQUENCIES) * dt / 1000)[:, None, None]
        alpha_s, alpha_r = (np.array([1.0 if t == 0 else dt / t for t in taus]) for taus in (self.TAU_S, self.TAU_R))
        current = alpha_s[:, None] / (z - 1 + alpha_s[:, None])
        # x after the step is z x before it, which is what r sees if the updates are sequential.
        return current * alpha_r / (z - 1 + alpha_r) * (z if scheme == "sequential" else 1)

    @pytest.mark.parametrize("scheme", ["sequential", "simultaneous"])
    @pytest.mark.parametrize(("precision", "near"), [("float64", 1e-12), ("float32", 2e-5)])
    def test_amplitude(self, simulate: Simulate, scheme: str, precision: str, near: float) -> None:
        """sqrt(2) r_std over whole periods is |H(f)|, for every time constant."""
        one = Job(
            model=Model(units=1, activation="linear"),
            input=sine(amplitude=1.0),
            design=grid(input_frequency=self.FREQUENCIES, tau_s=self.TAU_S, tau_r=self.TAU_R),
            integration=Integration(dt=1.0, duration=4000, transient=2000, scheme=scheme, precision=precision),
            observe=["r_std"],
        )
        found = np.sqrt(2) * simulate(one)["r_std"].reshape(one.design.shape)
        expected = np.abs(self.theory(scheme, 1.0))
        # Where nothing changes the rate is the input, one step later if r sees the old x.
        np.testing.assert_allclose(expected[:, 0, 0], 1)
        np.testing.assert_allclose(found, expected, rtol=near)

    def test_phase(self, simulate: Simulate) -> None:
        """Two phases of the input, a quarter of a period apart, give the real and the imaginary part of H at the last step."""
        one = Job(
            model=Model(units=1, activation="linear"),
            input=sine(amplitude=1.0),
            design=grid(
                input_frequency=self.FREQUENCIES, tau_s=self.TAU_S, tau_r=self.TAU_R, input_phase=[0, np.pi / 2]
            ),
            integration=Integration(dt=1.0, duration=2000, precision="float64"),
            observe=["r_final"],
        )
        sin, cos = np.moveaxis(simulate(one)["r_final"].reshape(one.design.shape), -1, 0)
        # The last step used u(1999 ms); the state after it is that of 2000 ms, where a phase of 0 has come back to 0.
        np.testing.assert_allclose(cos + 1j * sin, self.theory("sequential", 1.0), rtol=1e-9)


def test_memory_does_not_grow_with_the_design(backend: str) -> None:
    """A million points with stimuli of their own are planned at once, and a block needs no more than one of few points."""

    def of(n: int) -> Job:
        return Job(
            model=Model(units=1),
            input=sine(),
            design=sweep.sobol(n, seed=1, input_frequency=(1.0, 100.0), tau_s=(1.0, 100.0)),
            integration=Integration(dt=1.0, duration=2000),
            observe=["r_mean"],
            sets_per_block=2**14,
        )

    engine = get_backend(backend)
    small, large = of(2**14), of(2**20)
    assert len(large.blocks) == 64
    assert engine.working_bytes(large, 2**14) == engine.working_bytes(small, 2**14) < 2**28
