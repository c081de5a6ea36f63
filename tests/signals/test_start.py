"""Recordings that begin later than the simulation, or earlier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signals import STEPS

import sweep
from sweep import Integration, Job, JobError, Model, Target
from sweep.signals.recorded import heard
from sweep.signals.signal import Signal
from sweep.spec import encode

VALUES = np.random.default_rng(5).normal(size=(2, 300))
TIMES = np.random.default_rng(6).uniform(0, 100, 80)


def recordings(start: float, dt: float) -> list[Signal]:
    """Return one of each: samples slower and faster than the steps, impulses, counts."""
    return [
        sweep.samples(VALUES, 2.5 * dt, start=start),
        heard(sweep.samples(VALUES, 0.4 * dt, start=start)),
        sweep.spikes(TIMES, start=start, duration=100.0),
        sweep.spikes(TIMES, start=start, duration=100.0, window=3 * dt),
    ]


@given(dt=STEPS, shift=st.integers(-20, 20))
def test_a_shifted_recording_is_itself_read_elsewhere(dt: float, shift: int) -> None:
    """What is read at t is what the unshifted one has at t - start, whatever is rounded."""
    first = max(shift, 0)
    for plain, shifted in zip(recordings(0.0, dt), recordings(float(f"{shift * dt:.12g}"), dt), strict=True):
        np.testing.assert_allclose(
            shifted.sample(first, first + 20, dt), plain.sample(first - shift, first - shift + 20, dt), atol=1e-12
        )
        assert shifted.duration == pytest.approx(plain.duration + shift * dt)


def test_a_start_may_lie_within_a_step_and_carry_a_unit() -> None:
    """The sample that holds when a step begins is its value; a mean takes what lies in the step."""
    assert sweep.samples([1, 2, 3, 4], 1.0, start=-0.5).sample(0, 3, 1.0).tolist() == [[1, 2, 3]]
    fast = heard(sweep.samples([1, 2, 3, 4, 5], 0.5, start=-0.25))
    assert fast.sample(0, 2, 1.0).tolist() == [[0.25 * 1 + 0.5 * 2 + 0.25 * 3, 0.25 * 3 + 0.5 * 4 + 0.25 * 5]]
    assert sweep.samples([1, 2], 1.0, start=np.timedelta64(1, "s")).start == 1000.0


@pytest.mark.parametrize("number", range(4))
def test_what_was_not_recorded_is_not_made_up(number: int) -> None:
    """Steps before the beginning are refused with the remedy; there is no zero, no count of 0 and no first value."""
    signal = recordings(5.0, 1.0)[number]
    with pytest.raises(JobError, match=r"begins at 5 ms, but is needed from 4 ms. Give an earlier start.*transient"):
        signal.sample(4, 6, 1.0)
    with pytest.raises(JobError, match=r"begins at 5 ms, but is needed from 0 ms"):
        Job(
            model=Model(units=1, input_weights=np.ones((1, signal.channels))),
            input=signal,
            integration=Integration(dt=1.0, duration=10.0),
            observe=["r_mean"],
        )


def test_a_target_may_begin_after_what_is_observed() -> None:
    """What was measured is compared, at each lag what then lies in the observed part."""

    def job(start: float) -> Job:
        return Job(
            model=Model(units=1),
            target=Target(sweep.samples(np.arange(100.0), 1.0, start=start), lags=[-2.0, 3.0]),
            integration=Integration(dt=1.0, duration=40.0, transient=10.0),
            observe=["target_mse"],
        )

    for start in (8.0, 9.0, 30.0):
        moved = sweep.simulate(job(start), "numpy").target_mse
        values = [np.arange(max(10.0 + lag - start, 0.0), 40.0 + lag - start) for lag in (-2, 3)]
        np.testing.assert_allclose(moved.to_numpy().ravel(), [np.mean(each**2) for each in values], rtol=1e-6)
    with pytest.raises(JobError, match=r"at the lag -2 ms 2 of its 7 measurements lie wholly in the observed part"):
        job(36.0)


def test_a_recording_that_is_over_is_refused() -> None:
    """Nothing of it is left for the simulation."""
    with pytest.raises(JobError, match=r"samples\.start = -10 ms: so the recording ends at -5 ms.*Give a later start"):
        sweep.samples(np.ones(5), 1.0, start=-10.0)
    with pytest.raises(JobError, match=r"spikes\.start = -100 ms: so the recording ends at 0 ms"):
        sweep.spikes(TIMES, duration=100.0, start=-100.0)
    assert sweep.spikes([1.0], start=-100.0).sample(0, 5, 1.0).tolist() == [[0.0] * 5]


def test_without_a_start_nothing_is_stored_of_it() -> None:
    """So the hash of a job from before is what it was."""
    for signal in recordings(0.0, 1.0)[::2]:
        assert "start" not in encode(signal, {})
    assert encode(sweep.samples([1, 2], 1.0, start=-1), {})["start"] == -1.0


def test_a_job_file_has_a_start(tmp_path: Path) -> None:
    """The same words as in Python."""
    (tmp_path / "job.toml").write_text("""
observe = ["target_mse"]
[model]
units = 1
[input]
kind = "samples"
values = [[1.0, 2.0, 3.0, 4.0]]
interval = 1.0
start = -1.0
[target]
kind = "spikes"
times = [0.5, 2.5]
start = 1
[integration]
dt = 1.0
duration = 3.0
transient = 1.0
""")
    job = sweep.load(tmp_path / "job.toml")
    assert job.inputs[0].sample(0, 3, 1.0).tolist() == [[2.0, 3.0, 4.0]]
    assert job.targets[0].signal.sample(1, 4, 1.0).tolist() == [[1.0, 0.0, 1.0]]
