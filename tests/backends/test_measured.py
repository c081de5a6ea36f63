"""Targets that were measured at some times or over windows: the law of recovery, and how measurements are chosen.

The law: a target that the model itself made, however it was sampled or counted, has mse 0 and correlation 1 at the truth and
nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from support import reference
from support.emulated import EmulatedBackend

import sweep
from sweep import Integration, Job, JobError, Model, Target, gaussian, grid, record, samples, spikes
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.native import NativeDevice
from sweep.backends.protocol import Results
from sweep.execution.prepare import prepare
from sweep.signals.measurements import instants, windows
from sweep.signals.signal import Signal
from sweep.signals.waveforms import white_noise

BACKENDS = ["numpy", pytest.param("native", marks=pytest.mark.slow)]
TAUS = [5.0, 8.0, 13.0, 20.0, 29.0]


def job(units: int, dt: float, steps: int, truth: float, precision: str = "float32", **fields: Any) -> Job:
    """Return a job of a small network that is driven by noise of its input."""
    model = Model(
        units=units,
        weights=gaussian(units=units, seed=1, std=0.3) if units > 1 else None,
        activation="tanh",
        parameters={"tau_s": truth, "tau_r": 3.0},
    )
    given: dict[str, Any] = {
        "input": white_noise(std=1.0, seed=3, interval=5 * dt),
        "integration": Integration(dt=dt, duration=steps * dt, precision=precision),
        "observe": ["target_correlation", "target_mse"],
    }
    return Job(model=model, **(given | fields))


def rates(backend: str, units: int, dt: float, steps: int, truth: float, precision: str) -> np.ndarray:
    """Return the rates of a network after every step, ``(unit, step)``."""
    made = job(units, dt, steps, truth, precision, observe=[record("r")])
    return sweep.simulate(made, backend).r.to_numpy().T


@pytest.mark.parametrize("backend", BACKENDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_the_model_made_itself_is_found_again(backend: str, data: st.DataObject) -> None:
    """At any interval, lag and step, by samples and by means, shared or for each unit, in both precisions."""
    draw = data.draw
    units, dt = draw(st.sampled_from([1, 3]), "units"), draw(st.sampled_from([0.1, 0.5, 1.0, 1 / 3]), "dt")
    precision = draw(st.sampled_from(["float32", "float64"]), "precision")
    steps, transient = draw(st.integers(300, 500), "steps"), draw(st.integers(0, 40), "transient")
    every, lag = draw(st.integers(1, 40), "steps of an interval"), draw(st.integers(-30, 30), "lag")
    begin, mean = draw(st.integers(0, 50), "start"), draw(st.booleans(), "mean")
    truth = 13.0 * dt
    made = rates(backend, units, dt, steps + 100, truth, precision).astype(np.float64)
    if mean:
        values = [made[:, k : k + every].mean(axis=1) for k in range(begin, made.shape[1] - every + 1, every)]
        kept = np.stack(values, axis=1)
    else:
        kept = made[:, begin::every]
    # Shifted by the lag: the response was measured later than it happened in the model.
    at = (begin + lag) * dt
    assume(at >= -1e-9)
    signal = samples(kept, every * dt, start=max(0.0, at), read="mean" if mean else "instant")
    wrong = lag + draw(st.sampled_from([-7, 9]), "a wrong lag")
    fitted = job(
        units,
        dt,
        steps,
        truth,
        precision,
        target=Target(signal, lags=[lag * dt, wrong * dt]),
        design=grid(tau_s=np.array(TAUS) * dt),
        integration=Integration(dt=dt, duration=steps * dt, transient=transient * dt, precision=precision),
    )
    found = sweep.simulate(fitted, backend)
    small = 1e-11 if precision == "float32" else 1e-25
    mse, correlation = (found[name].min("unit") for name in ("target_mse", "target_correlation"))
    right = {"tau_s": TAUS.index(13.0), "lag": 0}
    assert float(found.target_mse.isel(right).max()) < small
    assert float(correlation.isel(right)) > 1 - (1e-5 if precision == "float32" else 1e-9)
    elsewhere = ~((mse.lag == mse.lag[0]) & (mse.tau_s == mse.tau_s[right["tau_s"]]))
    assert float(mse.where(elsewhere).min()) > 1e3 * small
    assert float(correlation.where(elsewhere).max()) < float(correlation.isel(right))
    for number in range(2):
        np.testing.assert_allclose(
            found.target_mse.to_numpy()[number],
            reference.measure(fitted, number)["target_mse"],
            rtol=1e-4,
            atol=1e-6,
        )


@pytest.mark.parametrize("every", [1, 4, 7])
def test_a_record_is_a_target_as_it_is(every: int) -> None:
    """Its times are those after the steps, and a sample belongs to the step that begins at its time."""
    timing = Integration(dt=0.3, duration=150.0, transient=15.0, precision="float64")
    truth = sweep.simulate(job(2, 0.3, 500, 8.0, integration=timing, observe=[record("r", every=every)]), "numpy").r
    for own in (truth, truth.isel(time=slice(3, None, 2)), truth.transpose()):
        fitted = job(2, 0.3, 500, 5.0, integration=timing, design=grid(tau_s=TAUS), target=Target(samples(own)))
        found = sweep.simulate(fitted, "numpy").target_mse.sel(lag=0)
        assert float(found.sel(tau_s=8.0).max()) == 0.0
        assert float(found.drop_sel(tau_s=8.0).min()) > 1e-7


@pytest.mark.parametrize(("every", "held"), [(10, 27.6), (50, 61.7), (100, 79.0)])
def test_a_coarse_recording_gives_the_right_time_constant(every: int, held: float) -> None:
    """A linear unit of 20 ms, its own rate sampled every 10, 50 or 100 ms. Held values gave 27.6, 61.7 and the grid's end."""
    taus = np.round(np.arange(1.0, 79.1, 0.1), 1)

    def linear(**fields: Any) -> Job:
        model = Model(units=1, activation="linear", parameters={"tau_r": 0.0, "tau_s": 20.0})
        time = Integration(dt=1.0, duration=4000.0)
        return Job(model=model, input=white_noise(std=1.0, seed=1, interval=1.0), integration=time, **fields)

    own = sweep.simulate(linear(observe=[record("r")]), "numpy").r.to_numpy()[::every, 0]
    target = Target(samples(own, float(every)))
    found = sweep.simulate(linear(target=target, design=grid(tau_s=taus), observe=["target_mse"]), "numpy")
    assert float(found.target_mse.min()) < 1e-12
    assert float(found.tau_s[int(found.target_mse.squeeze().argmin("tau_s"))]) == 20.0
    as_held = samples(np.repeat(own, every), 1.0)
    before = sweep.simulate(linear(target=Target(as_held), design=grid(tau_s=taus), observe=["target_mse"]), "numpy")
    assert abs(float(taus[int(before.target_mse.squeeze().argmin("tau_s"))]) - held) < 0.3 * held


@given(
    dt=st.sampled_from([0.1, 0.25, 1 / 3, 1.0]),
    width=st.floats(1.0, 9.0).map(lambda x: round(x, 2)),
    start=st.floats(-20.0, 20.0).map(lambda x: round(x, 2)),
)
def test_every_step_belongs_to_the_window_in_which_it_begins(dt: float, width: float, start: float) -> None:
    """Windows follow each other without gaps; a step at an edge belongs to the window that begins there."""
    first, stop, number = windows(start, width, 30, dt)
    assert (first[1:] == stop[:-1]).all()
    assert (first >= 0).all()
    for low, high, k in zip(first, stop, number, strict=True):
        inside = np.arange(low, high) * dt
        assert (inside >= start + k * width - 1e-8).all()
        assert (inside < start + (k + 1) * width - 1e-9).all()
    at, after, kept = instants(start, width, 30, dt)
    assert (after == at + 1).all()
    assert (np.diff(at) > 0).all()
    times = start + kept * width
    assert ((at * dt <= times + 1e-8) & (times < (at + 1) * dt + 1e-9)).all()


def test_counts_are_compared_with_the_mean_of_the_rate_over_their_window() -> None:
    """Worked by hand: an integrator that ramps, windows of 4 steps, the last of which is not whole."""
    ramp = Job(
        model=Model(units=1, activation="linear", parameters={"tau_s": 0.0, "tau_r": 0.0}),
        input=samples(np.arange(30.0), 1.0),
        target=Target(spikes([0.5, 5.0, 5.5, 9.0, 9.1, 9.9], window=4.0), lags=[0.0, 4.0, 2.0]),
        integration=Integration(dt=1.0, duration=14.0, precision="float64"),
        observe=["target_mse", "target_correlation"],
    )
    found = sweep.simulate(ramp, "numpy").squeeze()
    counts = np.array([1.0, 2.0, 3.0, 0.0])
    # At lag 0 the windows 0-3, 4-7 and 8-11 lie in the run, at lag 4 those of the next counts, at lag 2 from step 2 on.
    expected = [(counts[:3], [1.5, 5.5, 9.5]), (counts[1:], [1.5, 5.5, 9.5]), (counts[1:], [3.5, 7.5, 11.5])]
    for lag, (y, rate) in enumerate(expected):
        assert float(found.target_mse[lag]) == pytest.approx(np.mean((y - np.array(rate)) ** 2))
        assert float(found.target_correlation[lag]) == pytest.approx(np.corrcoef(y, rate)[0, 1])


def long(steps: int, sets: int) -> Job:
    """Return a job with measurements that are longer than the first segments of a run, and many of them."""
    rng = np.random.default_rng(0)
    lags = [0.0, 1.0, 2.0, 13.0]
    targets = [
        Target(samples(rng.normal(size=steps // 5), 5.0, read="mean"), lags=lags),
        Target(spikes(rng.uniform(0, steps, steps // 9), window=41.0), lags=lags),
        Target(samples(rng.normal(size=steps // 7), 7.0), lags=lags),
    ]
    timing = Integration(dt=1.0, duration=steps - 100.0, transient=37.0)
    return job(1, 1.0, steps, 5.0, target=targets, integration=timing, design=grid(tau_s=np.linspace(2, 30, sets)))


def test_a_measurement_may_go_on_in_the_next_launch() -> None:
    """No bit depends on where a run is cut into launches."""
    made = long(3500, 70)
    (block,) = made.blocks

    def simulated(seconds: float | None) -> Results:
        device = NativeDevice()
        device.launch_seconds = seconds or device.launch_seconds
        return KernelBackend("native", device).simulate(prepare(made), made.parameter_sets(block))

    whole = simulated(None)
    for cut in (simulated(1e-6), simulated(2e-5)):
        for name in ("target_correlation", "target_mse"):
            np.testing.assert_array_equal(cut[name], whole[name])
    expected = sweep.simulate(made, "numpy")
    np.testing.assert_allclose(whole["target_correlation"], expected.target_correlation, atol=1e-6)
    np.testing.assert_allclose(whole["target_mse"], expected.target_mse, rtol=1e-5)


def test_the_kernels_of_a_gpu_measure_so_too() -> None:
    """Executed by the emulator, which cuts the run into launches."""
    made = long(1500, 3)
    (block,) = made.blocks
    found = EmulatedBackend().simulate(prepare(made), made.parameter_sets(block))
    expected = sweep.simulate(made, "numpy")
    np.testing.assert_allclose(found["target_correlation"], expected.target_correlation, atol=1e-6)
    np.testing.assert_allclose(found["target_mse"], expected.target_mse, rtol=1e-5)


@given(width=st.floats(1.0, 12.0).map(lambda x: round(x, 1)), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_scipy_agrees_on_counts_and_means(width: float, seed: int) -> None:
    """Counts and means in bins, and Pearson's r, are those of scipy.stats."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.0, 150.0, 60))
    timing = Integration(dt=0.5, duration=150.0, precision="float64")
    compared = job(2, 0.5, 300, 8.0, integration=timing, target=Target(spikes(times, window=width)))
    found = sweep.simulate(compared, "numpy").squeeze("lag")
    rate = sweep.simulate(job(2, 0.5, 300, 8.0, integration=timing, observe=[record("r")]), "numpy").r.to_numpy()
    edges = width * np.arange(int(150.0 / width + 1e-9) + 1)
    # A step belongs to the bin in which it begins. A thousandth of a ms keeps rounding out of the edges that lie on steps.
    begins = 0.5 * np.arange(300) + 1e-3
    counts = stats.binned_statistic(times, times, "count", edges).statistic
    for unit in range(2):
        means = stats.binned_statistic(begins, rate[:, unit], "mean", edges).statistic
        assert float(found.target_correlation[unit]) == pytest.approx(
            stats.pearsonr(counts, means).statistic, abs=1e-12
        )
        assert float(found.target_mse[unit]) == pytest.approx(np.mean((counts - means) ** 2), rel=1e-12)


@pytest.mark.parametrize(("window", "start"), [(1.0, -500.0), (1.5, -600.0), (2.0, -1200.0), (40.0, -3.6e6)])
def test_a_part_of_a_long_recording_is_counted_as_if_it_was_cut_out(window: float, start: float) -> None:
    """Whatever lies before 0 ms, even an hour."""
    times = np.sort(np.random.default_rng(0).uniform(0.0, 990.0, 700))
    timing = Integration(dt=1.0, duration=960.0)
    whole, cut = (
        sweep.simulate(job(1, 1.0, 960, 5.0, integration=timing, target=Target(signal)), "numpy")
        for signal in (spikes(times - start, window=window, start=start), spikes(times, window=window))
    )
    for name in ("target_mse", "target_correlation"):
        np.testing.assert_allclose(whole[name], cut[name], rtol=1e-6)


@pytest.mark.parametrize("width", [0.1, 0.3, 1.1])
def test_steps_are_those_of_their_times_far_into_a_recording(width: float) -> None:
    """After an hour times are rounded to a billionth of a ms, and no step may be lost by that."""
    begin = -round(3.6e6 / width) * width
    count = round(3.6e6 / width) + 400
    first, stop, number = windows(begin, width, count, 0.1)
    assert (stop - first == round(width / 0.1)).all()
    assert len(number) >= 400
    assert (np.diff(instants(begin, width, count, 0.1)[0]) == round(width / 0.1)).all()
    times = np.round(np.random.default_rng(0).integers(0, 10_000, 400) * 0.1, 1)
    far = spikes(np.round(times + 3.6e6, 1), start=-3.6e6)
    np.testing.assert_array_equal(far.sample(0, 10_000, 0.1), spikes(times).sample(0, 10_000, 0.1))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_constant_rates_have_no_correlation(backend: str, precision: str) -> None:
    """Not even one of rounding errors, which would be the best set of all."""
    target = Target(spikes(np.random.default_rng(0).uniform(0, 1000, 300), window=10.0))
    timing = Integration(dt=1.0, duration=1000.0, transient=400.0, precision=precision)
    flat = {"design": sweep.zipped("point", input_gain=[1.0, 0.0], bias=[0.0, 0.33]), "target": target}
    with pytest.warns(UserWarning, match="target_correlation is NaN for 1 of 2 sets"):
        found = sweep.simulate(job(1, 1.0, 1000, 5.0, integration=timing, **flat), backend)
    assert np.isnan(found.target_correlation.to_numpy().ravel()).tolist() == [False, True]
    assert sweep.best(found, sweep.Report(variable="target_correlation")).labels["point"] == 0


def test_a_recording_that_begins_after_the_run_is_refused() -> None:
    """None of it can be compared."""
    with pytest.raises(JobError, match=r"target \(samples\): at the lag 0 ms 0 of its 0 measurements"):
        job(1, 1.0, 60, 5.0, target=Target(samples(np.arange(50.0), 10.0, start=5000.0)))


def test_old_held_comparisons_do_not_go_on_as_todays() -> None:
    """The hash says where a target is compared, unless that is in every step, as it always was."""

    def compared(signal: Signal) -> Job:
        return job(1, 1.0, 60, 5.0, target=Target(signal))

    assert compared(samples(np.arange(60.0), 1.0)).identity().get("targets") is None
    assert compared(spikes([3.0, 8.0])).identity().get("targets") is None
    assert compared(samples(np.arange(30.0), 2.0)).identity()["targets"] == "where measured"
    assert compared(spikes([3.0, 8.0], window=4.0)).identity()["targets"] == "where measured"


def test_a_last_measurement_that_is_not_whole_may_be_missing() -> None:
    """Eight windows of 7 ms are all that 60 ms have."""
    own = np.zeros((1, 8))
    assert job(1, 1.0, 60, 5.0, target=Target(samples(own, 7.0, read="mean"))).comparisons.readings[0].count == 8
    with pytest.raises(JobError, match=r"target lasts 49 ms but integration\.duration = 60 ms"):
        job(1, 1.0, 60, 5.0, target=Target(samples(own[:, :7], 7.0, read="mean")))


def test_fewer_than_three_measurements_are_refused() -> None:
    """Two always lie on a line."""
    with pytest.raises(JobError, match=r"target \(spikes\): at the lag 0 ms 2 of its 2 measurements lie wholly"):
        job(1, 1.0, 60, 5.0, target=Target(spikes([3.0, 8.0], window=30.0)))
