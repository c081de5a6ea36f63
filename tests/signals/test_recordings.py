"""Samples and spikes that were recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweep

TIMES = np.random.default_rng(1).uniform(0, 200, 300)
STEPS = st.sampled_from([0.1, 0.25, 0.3, 1.0, 2.0, 1 / 3])


@given(ratio=st.integers(1, 50), dt=STEPS)
def test_samples_are_held_for_their_interval(ratio: int, dt: float) -> None:
    """Zero-order hold: sample floor(t/interval) is used, however t = n dt is rounded."""
    values = np.arange(100.0)
    assert np.array_equal(sweep.samples(values, ratio * dt).sample(0, 100 * ratio, dt)[0], np.repeat(values, ratio))
    every = sweep.samples(np.arange(100.0 * ratio), dt).sample(0, 100, ratio * dt)[0]
    assert np.array_equal(every, values * ratio)


def test_samples_keep_channels_apart_and_know_their_duration() -> None:
    """A (channel, time) array has its channels, and lasts as long as its samples."""
    signal = sweep.samples([[1, 2, 3], [4, 5, 6]], interval=2.0)
    assert (signal.channels, signal.duration) == (2, 6.0)
    assert signal.sample(1, 4, 1.0).tolist() == [[1, 2, 2], [4, 5, 5]]


def test_standardized_samples_have_mean_0_and_deviation_1() -> None:
    """Each channel is standardised by itself."""
    signal = sweep.samples(np.random.default_rng(0).gamma(2.0, [[1.0], [9.0]], (2, 500)), 1.0, standardize=True)
    values = signal.sample(0, 500, 1.0)
    np.testing.assert_allclose(values.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=1), 1.0)


@given(times=st.lists(st.floats(0, 99.999), max_size=50), dt=st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_impulses_have_area_1(times: list[float], dt: float) -> None:
    """The integral of rho(t) is the number of spikes, coincident ones included."""
    values = sweep.spikes(times).sample(0, round(100 / dt), dt)
    assert values.sum() * dt == pytest.approx(len(times))


@given(number=st.integers(0, 10**6), dt=STEPS)
def test_spike_on_a_boundary_belongs_to_the_step_it_begins(number: int, dt: float) -> None:
    """A spike at n dt is in step n, however n dt is rounded."""
    values = sweep.spikes([float(f"{number * dt:.15g}")]).sample(max(number - 1, 0), number + 2, dt)[0]
    assert values.tolist() == pytest.approx([0.0] * (number > 0) + [1 / dt, 0.0])


@given(times=st.lists(st.floats(0, 99.999), max_size=50))
def test_rate_code_counts_the_spikes_of_each_window(times: list[float]) -> None:
    """The value of every step of a window is the number of spikes in it."""
    values = sweep.spikes(times, window=10.0).sample(0, 400, 0.25)[0].reshape(10, 40)
    assert np.all(values == values[:, :1])
    assert np.array_equal(values[:, 0], np.histogram(times, np.arange(0, 101, 10))[0])


def test_order_and_unit_of_spike_times_do_not_matter() -> None:
    """Times may come unsorted, and in us, ms or s."""
    expected = sweep.spikes([1.0, 2.5, 7.0]).sample(0, 20, 0.5)
    for times, unit in (([7.0, 1.0, 2.5], "ms"), ([1000, 2500, 7000], "us"), ([0.001, 0.0025, 0.007], "s")):
        assert np.array_equal(sweep.spikes(times, time_unit=unit).sample(0, 20, 0.5), expected)


def test_recorded_stimulus_has_a_sample_every_50_us() -> None:
    """The grasshopper's stimulus: 200,000 amplitudes in column 1 of the file, 10 s long, standardised."""
    pytest.importorskip("nitime")
    source = "nitime:data/grasshopper_stimulus1.txt"
    stimulus = sweep.samples(source, interval=0.05, column=1)
    assert (stimulus.channels, stimulus.duration) == (1, pytest.approx(10_000.0))
    assert stimulus.sample(0, 2, 0.05).tolist() == [[0.242911, 0.245464]]
    assert stimulus.sample(1, 2, 0.5)[0, 0] == stimulus.sample(10, 11, 0.05)[0, 0]
    assert stimulus.sample(199_999, 200_000, 0.05).shape == (1, 1)
    scaled = sweep.samples(source, interval=0.05, column=1, standardize=True)
    assert scaled.values.std() == pytest.approx(1.0)


def test_recorded_spikes_are_in_us() -> None:
    """The grasshopper's spikes: the first at 6.7 ms, and every spike once in the impulses and the rate code."""
    pytest.importorskip("nitime")
    source = "nitime:data/grasshopper_spike_times1.txt"
    train = sweep.spikes(source, duration=10_000.0, time_unit="us")
    assert train.times[0] == pytest.approx(6.7)
    values = train.sample(0, 200_000, 0.05)
    assert values.sum() * 0.05 == pytest.approx(train.times.size)
    assert np.flatnonzero(values)[0] == 134
    rate = sweep.spikes(source, window=5.0, duration=10_000.0, time_unit="us").sample(0, 20_000, 0.5)
    assert rate[0, ::10].sum() == train.times.size


def test_spike_file_of_one_column_needs_no_column(tmp_path: Path) -> None:
    """If there is only one column, it need not be named."""
    (tmp_path / "times.txt").write_text("3\n1\n")
    assert sweep.spikes(tmp_path / "times.txt").times.tolist() == [1.0, 3.0]
