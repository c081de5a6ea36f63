"""What holds for every signal: pieces have the bits of the whole, and bad arguments are refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signals import EXAMPLES, STEPS

import sweep
from sweep.errors import JobError
from sweep.signals import waveforms as signals
from sweep.signals.signal import Signal
from sweep.signals.targets import Target


@pytest.mark.parametrize("name", EXAMPLES)
@given(dt=STEPS, cuts=st.lists(st.integers(0, 100), min_size=0, max_size=4))
def test_pieces_have_the_same_bits_as_the_whole(name: str, dt: float, cuts: list[int]) -> None:
    """Cutting a run into parts changes no bit of its input."""
    signal = EXAMPLES[name]
    whole = signal.sample(0, 100, dt)
    edges = sorted([0, 100, *cuts])
    pieces = [signal.sample(a, b, dt) for a, b in itertools.pairwise(edges)]
    assert whole.shape == (signal.channels, 100)
    assert whole.dtype == np.float64
    assert np.concatenate(pieces, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_signal_is_a_frozen_signal(name: str) -> None:
    """Every signal has the protocol, cannot be changed, and can be rebuilt from its fields."""
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


@pytest.mark.parametrize("signal", [sweep.samples(np.ones(10), 1.0), sweep.spikes([1.0], duration=10.0)])
def test_signal_that_is_too_short_is_refused_with_both_durations(signal: Signal) -> None:
    """A signal of 10 ms can be sampled up to 10 ms and not further."""
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
        (lambda: sweep.spikes(np.ones((2, 1))), r"spikes.times: must be a list of times.*\(2, 1\)"),
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
