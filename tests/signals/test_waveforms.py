"""u(t) and targets: values do not depend on how they are sampled, and each signal keeps its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.signals import STEPS

from sweep.errors import JobError
from sweep.signals import waveforms as signals


def test_constant_has_a_value_per_channel() -> None:
    """A number makes one channel, a list one channel each."""
    assert np.array_equal(signals.constant(3).sample(0, 2, 0.1), [[3.0, 3.0]])
    assert np.array_equal(signals.constant([1, 2]).sample(5, 7, 0.1), [[1.0, 1.0], [2.0, 2.0]])
    assert signals.constant(3).duration == math.inf


@given(number=st.integers(0, 10**6), dt=STEPS)
def test_step_changes_at_the_first_step_at_its_time(number: int, dt: float) -> None:
    """A change at time n dt affects step n and not step n - 1, however n dt is rounded."""
    for time in (number * dt, float(f"{number * dt:.15g}")):
        signal = signals.step(time, after=5.0, before=-1.0)
        assert signal.sample(number, number + 2, dt).tolist() == [[5.0, 5.0]]
        assert number == 0 or signal.sample(number - 1, number, dt).tolist() == [[-1.0]]


@given(
    start=st.integers(0, 40), width=st.integers(1, 20), rest=st.integers(0, 20), dt=STEPS, origin=st.integers(0, 10**5)
)
def test_pulse_train_repeats_exactly(start: int, width: int, rest: int, dt: float, origin: int) -> None:
    """On the grid of steps a pulse train is on for exactly `width` steps in each period."""
    period = width + rest
    signal = signals.pulse(start * dt, width * dt, amplitude=3.0, period=period * dt)
    steps = np.arange(origin, origin + 200)
    expected = np.where((steps >= start) & ((steps - start) % period < width), 3.0, 0.0)
    assert np.array_equal(signal.sample(origin, origin + 200, dt)[0], expected)


def test_single_pulse_has_its_area() -> None:
    """One pulse lasts for its width and does not come back."""
    values = signals.pulse(10.0, 2.5, amplitude=4.0).sample(0, 10000, 0.1)
    assert values.sum() * 0.1 == pytest.approx(10.0)
    assert np.flatnonzero(values[0])[[0, -1]].tolist() == [100, 124]


@given(
    amplitude=st.floats(-5, 5), frequency=st.floats(0, 500), phase=st.floats(-7, 7), offset=st.floats(-5, 5), dt=STEPS
)
def test_sine_is_the_formula(amplitude: float, frequency: float, phase: float, offset: float, dt: float) -> None:
    """Frequency is in Hz while times are in ms."""
    frequency = min(frequency, 500 / dt)
    time = np.arange(100, 200) * dt
    expected = offset + amplitude * np.sin(2 * np.pi * frequency * time / 1000 + phase)
    values = signals.sine(amplitude, frequency, phase, offset).sample(100, 200, dt)[0]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


def test_sine_that_the_steps_cannot_show_is_refused() -> None:
    """Above half the rate of the steps a sine would silently become a slower one, so it is refused."""
    signals.sine(frequency=500.0).sample(0, 2, 1.0)
    with pytest.raises(JobError, match=r"sine.frequency = 501 Hz: steps of dt = 1 ms show at most 500 Hz"):
        signals.sine(frequency=501.0).sample(0, 2, 1.0)


def test_white_noise_is_standard_normal_and_channels_are_independent() -> None:
    """Held values have the moments of N(0, std^2), and neither channels nor steps are correlated."""
    values = signals.white_noise(3.0, seed=1, channels=2).sample(0, 20000, 1.0) / 3.0
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    assert np.abs(values.mean(axis=1)).max() < 0.03
    np.testing.assert_allclose(values.std(axis=1), 1.0, atol=0.03)
    assert abs(np.corrcoef(values)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[0, 1:], values[0, :-1])[0, 1]) < 0.03


def test_white_noise_depends_on_seed_alone() -> None:
    """Equal seeds give equal noise at every scale, and other seeds other noise."""
    first = signals.white_noise(1.0, seed=2**64 - 1).sample(0, 50, 0.5)
    assert np.array_equal(2 * first, signals.white_noise(2.0, seed=2**64 - 1).sample(0, 50, 0.5))
    assert not np.array_equal(first, signals.white_noise(1.0, seed=0).sample(0, 50, 0.5))


@given(ratio=st.integers(1, 20), dt=STEPS)
def test_white_noise_is_held_for_its_interval(ratio: int, dt: float) -> None:
    """An interval of k steps repeats each number k times, so a finer dt sees the same noise."""
    held = signals.white_noise(1.0, seed=1, interval=ratio * dt).sample(0, 5 * ratio, dt)
    assert np.array_equal(held, np.repeat(signals.white_noise(1.0, seed=1).sample(0, 5, 1.0), ratio, axis=1))
