"""Recordings as inputs: what is faster than the steps is averaged over them, what is slower is held."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweep
from sweep import Integration, Job, JobError, Model, Target, samples
from sweep.checks.caution import silence
from sweep.signals.recorded import Samples, heard


def job(values: np.ndarray, interval: float, dt: float, duration: float = 100.0) -> Job:
    """Return a job of a unit that does nothing but hear a recording."""
    return Job(
        model=Model(units=1, activation="linear", parameters={"tau_s": 0.0, "tau_r": 0.0}),
        input=samples(values, interval),
        integration=Integration(dt=dt, duration=duration, precision="float64"),
        observe=["x_mean", "x_std", sweep.record("x")],
    )


def test_a_fast_tone_has_the_mean_that_it_has() -> None:
    """A cosine of 1 kHz recorded at 10 kHz averages out at dt = 1 ms, and is itself at dt = 0.1 ms."""
    tone = np.cos(2 * np.pi * np.arange(1000) / 10)
    slow = sweep.simulate(job(tone, 0.1, 1.0), "numpy")
    assert abs(float(slow.x_mean[0])) < 1e-13
    assert float(slow.x_std[0]) < 1e-13
    fast = sweep.simulate(job(tone, 0.1, 0.1), "numpy")
    np.testing.assert_allclose(fast.x[:, 0], tone, rtol=0, atol=1e-15)


@given(
    interval=st.sampled_from([0.1, 0.3, 0.03125, 1 / 44.1, 0.7, 1.0, 2.5]),
    dt=st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 99),
)
def test_an_input_is_averaged_by_overlap_or_held(interval: float, dt: float, seed: int) -> None:
    """In exact fractions: the mean over each step of what is held, or the value at its start."""
    steps = 20
    values = np.random.default_rng(seed).normal(size=(2, round(steps * dt / interval) + 2))
    found = heard(samples(values, interval)).sample(0, steps, dt)
    h, width = Fraction(repr(interval)), Fraction(repr(dt))
    for n in range(steps):
        begin, end = n * width, (n + 1) * width
        if h >= width:
            expected = values[:, int(begin / h)]
        else:
            first, last = int(begin / h), int(end / h)
            overlap = [min(end, (k + 1) * h) - max(begin, k * h) for k in range(first, last + 1)]
            expected = sum(float(part / width) * values[:, k] for k, part in enumerate(overlap, first))
        np.testing.assert_allclose(found[:, n], expected, rtol=0, atol=1e-9)


@given(
    interval=st.sampled_from([0.1, 1 / 44.1, 0.03, 1.0]),
    cut=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted),
    level=st.floats(-1e3, 1e3),
)
def test_pieces_have_the_bits_of_the_whole(interval: float, cut: list[int], level: float) -> None:
    """A piece of a run hears what the whole run hears in these steps; a constant is exactly constant."""
    values = np.random.default_rng(3).normal(size=(3, round(50 / interval) + 1))
    signal = heard(samples(values, interval))
    start, stop = cut
    whole = signal.sample(0, 50, 1.0)
    np.testing.assert_array_equal(signal.sample(start, stop, 1.0), whole[:, start:stop])
    constant = heard(samples(np.full(len(values[0]), level), interval)).sample(0, 50, 1.0)
    assert (constant == level).all()


def test_a_fast_target_is_averaged_only_if_it_says_so() -> None:
    """What drives the model is averaged. What it is compared with is an instant, unless it is read as a mean."""

    def of(fast: Samples) -> Job:
        return Job(
            model=Model(units=1),
            input=fast,
            target=Target(fast),
            integration=Integration(dt=1.0, duration=10.0),
            observe=["target_mse"],
        )

    def squares(made: Job) -> float:
        return float(sweep.simulate(dataclasses.replace(made, input=None), "numpy").target_mse.item())

    fast = samples(np.arange(100.0), 0.1)
    with pytest.warns(
        UserWarning, match=r"a sample every 0\.1 ms, but a step is dt = 1 ms\. Of the samples in a step only"
    ):
        made = of(fast)
    with silence():
        assert squares(made) == pytest.approx(np.mean(np.arange(0, 100, 10) ** 2))
    assert squares(of(samples(np.arange(100.0), 0.1, read="mean"))) == pytest.approx(
        np.mean(np.arange(4.5, 100, 10) ** 2)
    )
    assert made.targets[0].signal is fast
    assert made.inputs[0].sample(0, 2, 1.0).tolist() == [[4.5, 14.5]]
    assert made.input is fast


def test_a_recording_that_is_too_short_is_refused() -> None:
    """The mean over a step needs all of the step."""
    with pytest.raises(JobError, match=r"input lasts 9\.9 ms but integration\.duration = 10 ms"):
        job(np.zeros(99), 0.1, 1.0, duration=10.0)
    with pytest.raises(JobError, match="samples: lasts 10 ms, but is needed until 11 ms"):
        heard(samples(np.zeros(100), 0.1)).sample(0, 11, 1.0)
