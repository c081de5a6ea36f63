"""u(t) and targets: the same values however they are asked for, and the laws each signal promises."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import sweep
from sweep.errors import JobError
from sweep.files import is_resource, read_numbers
from sweep.signals import waveforms as signals
from sweep.signals.signal import Signal
from sweep.signals.targets import Target

TIMES = np.random.default_rng(1).uniform(0, 200, 300)
EXAMPLES: dict[str, Signal] = {
    "constant": signals.constant([1.0, -2.0]),
    "step": signals.step(33.3, after=[1.0, 2.0]),
    "pulse": signals.pulse(7.1, 5.0, amplitude=2.0),
    "pulse train": signals.pulse([0.0, 3.0], 5.0, period=17.3),
    "sine": signals.sine(amplitude=[1.0, 2.0], frequency=[5.0, 41.0], phase=0.3, offset=1.0),
    "white noise": signals.white_noise(2.0, seed=5, channels=3),
    "held white noise": signals.white_noise(2.0, seed=5, channels=1, interval=3.7),
    "samples": sweep.samples(np.random.default_rng(2).normal(size=(2, 5000)), interval=0.05),
    "impulses": sweep.spikes(TIMES),
    "rate code": sweep.spikes(TIMES, window=5.0, duration=250.0),
}
STEPS = st.sampled_from([0.1, 0.25, 0.3, 1.0, 2.0, 1 / 3])


@pytest.mark.parametrize("name", EXAMPLES)
@given(dt=STEPS, cuts=st.lists(st.integers(0, 100), min_size=0, max_size=4))
def test_pieces_have_the_same_bits_as_the_whole(name: str, dt: float, cuts: list[int]) -> None:
    """Where a run is cut does not change a bit of its input."""
    signal = EXAMPLES[name]
    whole = signal.sample(0, 100, dt)
    edges = sorted([0, 100, *cuts])
    pieces = [signal.sample(a, b, dt) for a, b in itertools.pairwise(edges)]
    assert whole.shape == (signal.channels, 100)
    assert whole.dtype == np.float64
    assert np.concatenate(pieces, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_signal_is_a_frozen_signal(name: str) -> None:
    """Every signal offers the interface, cannot be changed, and is rebuilt from its own fields."""
    signal = EXAMPLES[name]
    assert isinstance(signal, Signal)
    first = dataclasses.fields(signal)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(signal, first, 0.0)
    again = type(signal)(**{field.name: getattr(signal, field.name) for field in dataclasses.fields(signal)})
    assert np.array_equal(again.sample(0, 50, 1.0), signal.sample(0, 50, 1.0))


def test_arrays_of_a_signal_are_copies_that_cannot_change() -> None:
    """Changing the caller's array later does not change a job."""
    mine = np.ones(4)
    signal = sweep.samples(mine, 1.0)
    mine[:] = 2.0
    assert np.array_equal(signal.sample(0, 4, 1.0), np.ones((1, 4)))
    with pytest.raises(ValueError, match="read-only"):
        signal.values[0, 0] = 3.0


def test_constant_has_a_value_per_channel() -> None:
    """A number makes one channel, a list one channel each."""
    assert np.array_equal(signals.constant(3).sample(0, 2, 0.1), [[3.0, 3.0]])
    assert np.array_equal(signals.constant([1, 2]).sample(5, 7, 0.1), [[1.0, 1.0], [2.0, 2.0]])
    assert signals.constant(3).duration == math.inf


@given(number=st.integers(0, 10**6), dt=STEPS)
def test_step_changes_at_the_first_step_at_its_time(number: int, dt: float) -> None:
    """A time of n dt changes step n and not step n - 1, however n dt rounds."""
    for time in (number * dt, float(f"{number * dt:.15g}")):
        signal = signals.step(time, after=5.0, before=-1.0)
        assert signal.sample(number, number + 2, dt).tolist() == [[5.0, 5.0]]
        assert number == 0 or signal.sample(number - 1, number, dt).tolist() == [[-1.0]]


@given(
    start=st.integers(0, 40), width=st.integers(1, 20), rest=st.integers(0, 20), dt=STEPS, origin=st.integers(0, 10**5)
)
def test_pulse_train_repeats_exactly(start: int, width: int, rest: int, dt: float, origin: int) -> None:
    """On the grid of steps a train has `width` steps on in each period, no more and no less, at any time."""
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
    """Above half the rate of the steps a sine would turn into a slower one without a word."""
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
    """Equal seeds give equal noise whatever the scale, other seeds other noise."""
    first = signals.white_noise(1.0, seed=2**64 - 1).sample(0, 50, 0.5)
    assert np.array_equal(2 * first, signals.white_noise(2.0, seed=2**64 - 1).sample(0, 50, 0.5))
    assert not np.array_equal(first, signals.white_noise(1.0, seed=0).sample(0, 50, 0.5))


@given(ratio=st.integers(1, 20), dt=STEPS)
def test_white_noise_is_held_for_its_interval(ratio: int, dt: float) -> None:
    """An interval of k steps repeats each number k times, so a finer dt sees the same noise."""
    held = signals.white_noise(1.0, seed=1, interval=ratio * dt).sample(0, 5 * ratio, dt)
    assert np.array_equal(held, np.repeat(signals.white_noise(1.0, seed=1).sample(0, 5, 1.0), ratio, axis=1))


@given(ratio=st.integers(1, 50), dt=STEPS)
def test_samples_are_held_for_their_interval(ratio: int, dt: float) -> None:
    """Zero-order hold: sample floor(t/interval) is used, however t = n dt rounds."""
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
    """A spike at n dt is in step n, however n dt rounds."""
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


def test_package_of_a_resource_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a package's data runs none of its code."""
    package = tmp_path / "explosive"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "times.txt").write_text("1\n2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert read_numbers("explosive:data/times.txt", column=0).tolist() == [1.0, 2.0]
    assert "explosive" not in sys.modules


def test_paths_and_resources_are_told_apart() -> None:
    """A drive letter or a path object is no package."""
    assert is_resource("nitime:data/x.txt")
    assert not any(map(is_resource, ("data/x.txt", "C:\\data\\x.txt", "./a:b.txt", Path("nitime:data/x.txt"))))


@pytest.mark.parametrize(
    ("suffix", "text"), [(".txt", "1  2\n3 4\n"), (".csv", "1,2\n3,4\n"), (".tsv", "1\t2\n3\t4\n")]
)
def test_rows_of_a_file_are_samples_and_columns_are_channels(tmp_path: Path, suffix: str, text: str) -> None:
    """The extension says how columns are separated; a comment is no data; .npy is read alike."""
    path = tmp_path / f"table{suffix}"
    path.write_text("# time course\n" + text)
    np.save(tmp_path / "table.npy", np.array([[1, 2], [3, 4]]))
    for file in (path, str(path), tmp_path / "table.npy"):
        assert sweep.samples(file, 1.0).sample(0, 2, 1.0).tolist() == [[1, 3], [2, 4]]
        assert sweep.samples(file, 1.0, column=1).sample(0, 2, 1.0).tolist() == [[2, 4]]


def test_spike_file_of_one_column_needs_no_column(tmp_path: Path) -> None:
    """Where there is one column there is nothing to choose."""
    (tmp_path / "times.txt").write_text("3\n1\n")
    assert sweep.spikes(tmp_path / "times.txt").times.tolist() == [1.0, 3.0]


def test_model_output_keeps_its_parameters_and_has_no_values() -> None:
    """A teacher is described by parameters and weights; it has a channel per unit and cannot be sampled."""
    teacher = sweep.model_output({"tau_s": 5.0, "bias": [0.0, 1.0]}, weights=np.eye(2))
    assert isinstance(teacher, Signal)
    assert (teacher.kind, teacher.channels, teacher.duration) == ("model", 0, math.inf)
    assert teacher.parameters["tau_s"] == 5.0
    assert np.array_equal(teacher.parameters["bias"], [0.0, 1.0])
    with pytest.raises(JobError, match=r"model_output: has no values of its own.*Target"):
        teacher.sample(0, 1, 1.0)
    assert Target(teacher).signal is teacher


def test_target_takes_any_signal_and_its_lags() -> None:
    """Lags are kept in the order given, as numbers in ms; without any there is the lag 0."""
    assert Target(signals.sine()).lags == (0.0,)
    assert Target(signals.sine(), lags=[0, 2, 1]).lags == (0.0, 2.0, 1.0)
    assert Target(signals.sine(), np.arange(3)).lags == (0.0, 1.0, 2.0)


@pytest.mark.parametrize("signal", [sweep.samples(np.ones(10), 1.0), sweep.spikes([1.0], duration=10.0)])
def test_signal_that_is_too_short_is_refused_with_both_durations(signal: Signal) -> None:
    """What lasts 10 ms can be sampled to 10 ms and no further."""
    assert signal.sample(0, 100, 0.1).shape == (1, 100)
    with pytest.raises(JobError, match=r"lasts 10 ms, but is needed until 10.1 ms.*Shorten"):
        signal.sample(0, 101, 0.1)
    with pytest.raises(JobError, match=r"begins at 0 ms, but is needed from -0.1 ms"):
        signal.sample(-1, 5, 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signals.constant(np.nan), r"constant.value = nan: every number must be finite"),
        (lambda: signals.constant("high"), r"constant.value = 'high': must be a number"),
        (lambda: signals.constant([]), r"constant.value = \[\]: must be a number or a list"),
        (lambda: signals.constant([[1.0]]), r"constant.value = \[\[1.0\]\]: must be a number or a list"),
        (lambda: signals.sine([1, 2], [1, 2, 3]), r"sine: .*2 of amplitude, 3 of frequency, 1 of phase"),
        (lambda: signals.step(np.inf), r"step.time = inf: every number must be finite"),
        (lambda: signals.pulse(0, 0), r"pulse.width = 0 ms: must be above 0"),
        (lambda: signals.pulse(0, 3, period=2), r"pulse.period = .*2.* ms: must be at least the width"),
        (
            lambda: signals.pulse(0, 0.1).sample(0, 9, 0.5),
            r"pulse.width = 0.1 ms: must be at least a step, dt = 0.5 ms",
        ),
        (lambda: signals.white_noise(-1, 0), r"white_noise.std = -1: must be at least 0"),
        (lambda: signals.white_noise([1], 0), r"white_noise.std = \[1\]: must be a number. Give one"),
        (lambda: signals.white_noise(1, -1), r"white_noise.seed = -1: must be a whole number of at least 0 and below"),
        (lambda: signals.white_noise(1, 1.5), r"white_noise.seed = 1.5: must be a whole number"),
        (lambda: signals.white_noise(1, 1, 0), r"white_noise.channels = 0: must be a whole number of at least 1"),
        (lambda: signals.white_noise(1, 1, interval=0), r"white_noise.interval = 0: must be above 0"),
        (
            lambda: signals.white_noise(1, 1, interval=0.1).sample(0, 9, 0.5),
            r"white_noise.interval = 0.1 ms: must be at least a step, dt = 0.5 ms. Leave it out",
        ),
        (lambda: sweep.samples(np.ones((1, 1, 1)), 1), r"samples.array: must be \(time,\).*shape \(1, 1, 1\)"),
        (lambda: sweep.samples([], 1), r"samples.array: .*not empty.*\(0,\)"),
        (lambda: sweep.samples([1, np.nan], 1), r"samples.array = nan at \[1\]: every number must be finite"),
        (lambda: sweep.samples([1, 2], -1), r"samples.interval = -1: must be above 0"),
        (lambda: sweep.samples([1, 2], 1, column=0), r"samples.array: column = 0 .* only a file has columns"),
        (
            lambda: sweep.samples([[1, 2], [3, 3]], 1, standardize=True),
            r"standardize = True: channel 1 never changes",
        ),
        (lambda: sweep.spikes([[1.0]]), r"spikes.times: must be a list of times.*\(1, 1\)"),
        (lambda: sweep.spikes([-1.0]), r"spikes.times: -1 ms is outside of 0 to inf ms"),
        (lambda: sweep.spikes([5.0], duration=4), r"spikes.times: 5 ms is outside of 0 to 4 ms"),
        (lambda: sweep.spikes([5.0], duration=0), r"spikes.duration = 0: must be above 0"),
        (lambda: sweep.spikes([5.0], window=0), r"spikes.window = 0: must be above 0"),
        (
            lambda: sweep.spikes([5.0], window=0.1).sample(0, 9, 1.0),
            r"spikes.window = 0.1 ms: must be at least a step, dt = 1 ms. Leave it out",
        ),
        (
            lambda: sweep.spikes([5.0], time_unit="sec"),
            r"spikes.time_unit = 'sec' does not exist. Known: us, ms, s",
        ),
        (lambda: sweep.model_output({"tau": 1}), r"'tau' does not exist. Did you mean"),
        (lambda: sweep.model_output({"tau_s": -1}), r"tau_s = -1: "),
        (lambda: sweep.model_output({}, np.ones((2, 3))), r"model_output.weights: must be \(unit, unit\).*\(2, 3\)"),
        (lambda: Target(np.ones(3)), r"target.signal is a ndarray: must be a signal. Wrap"),
        (lambda: Target(signals.sine(), [0, 1, 1]), r"target.lags: 1 ms is there twice"),
        (lambda: Target(signals.sine(), []), r"target.lags = \[\]: must be a number or a list"),
        (lambda: Target(signals.sine(), [np.inf]), r"target.lags = inf at \[0\]: every number must be finite"),
    ],
)
def test_bad_signal_is_refused_with_its_rule(call: Callable[[], object], message: str) -> None:
    """The error names the key, its value and the rule."""
    with pytest.raises(JobError, match=message):
        call()


@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("missing.txt", None, r"there is no file 'missing.txt'. Correct the path"),
        ("table.xlsx", None, r"the extension '.xlsx' is not one that is read. Save .*\.csv"),
        ("words.csv", None, r"every entry must be a number, but .*'a'.*Mark lines"),
        ("empty.txt", None, r"must hold at least one number"),
        ("objects.npy", None, r"every entry must be a number.*allow_pickle"),
        ("complex.npy", None, r"every entry must be a number.*complex128"),
        ("good.csv", 2, r"column = 2: must be .* below 2. The file 'good.csv' has columns 0 to 1. Choose"),
        ("good.csv", -1, r"column = -1: .*columns 0 to 1"),
        ("good.csv", "x", r"column = 'x': .*columns 0 to 1"),
        ("line.npy", 0, r"column = 0: .*shape \(3,\) and no columns. Leave column out"),
        ("nosuchpackage:x.txt", None, r"no installed package 'nosuchpackage'.*pip install nosuchpackage"),
        ("math:x.txt", None, r"no installed package 'math'"),
        ("numpy:nosuch.txt", None, r"there is no file '.*nosuch.txt'"),
        ("numpy:../secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:..\\secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:/etc/secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:C:/secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy.linalg:x.txt", None, r"must be a top-level one. Write 'numpy:linalg/x.txt'"),
    ],
)
def test_bad_file_is_refused_with_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, column: int | None, message: str
) -> None:
    """The error names the file, what is wrong with it and the remedy."""
    monkeypatch.chdir(tmp_path)
    Path("words.csv").write_text("a,b\n1,2\n")
    Path("good.csv").write_text("1,2\n3,4\n")
    Path("empty.txt").write_text("# nothing\n")
    np.save("objects.npy", np.array([{}], dtype=object))
    np.save("complex.npy", np.array([1j]))
    np.save("line.npy", np.ones(3))
    with pytest.raises(JobError, match=message):
        read_numbers(source, column)


def test_dotted_package_is_not_located_by_importing_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would import the parent to find a subpackage; we refuse before that."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("parent") is not None
    with pytest.raises(JobError, match="top-level"):
        read_numbers("parent.child:x.txt")
