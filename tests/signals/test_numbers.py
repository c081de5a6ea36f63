"""The numbers of an input that a design can vary, and signals that have several values of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import JobError, Signal, grid, sine
from sweep.checks.units import Milliseconds
from sweep.signals import numbers
from sweep.signals.numbers import INPUT_NUMBERS, Varied, names_of, own_number, register
from sweep.signals.recordings import RECORDINGS, samples, spikes
from sweep.signals.signal import Numbers
from sweep.signals.waveforms import WAVEFORMS, Formula, pulse, white_noise


@pytest.mark.parametrize(
    ("signal", "names"),
    [
        (sine(), ["amplitude", "frequency", "phase", "offset"]),
        (pulse(start=0, width=1), ["start", "width", "amplitude", "period"]),
        (white_noise(1.0, seed=1), ["std", "seed", "interval"]),
        (samples([1.0, 2.0], 1.0), ["interval", "start"]),
        (spikes([1.0]), ["window", "start"]),
    ],
)
def test_every_number_that_can_vary_has_a_name(signal: Signal, names: list[str]) -> None:
    """These are all arguments that are numbers, but not the number of channels or the length."""
    assert list(names_of(signal)) == [f"input_{name}" for name in names]


def test_names_say_what_is_counted_in_what() -> None:
    """The units are those of the arguments."""
    units = {name.removeprefix("input_"): row.units for name, row in INPUT_NUMBERS.items()}
    assert {name for name, unit in units.items() if unit == "Hz"} == {"frequency"}
    assert {name for name, unit in units.items() if unit == "1"} == {
        *("value", "after", "before", "amplitude", "phase", "offset", "std", "seed")
    }
    assert {name for name, row in INPUT_NUMBERS.items() if row.integer} == {"input_seed"}
    assert INPUT_NUMBERS["input_frequency"].long_name == "frequency of the input"


def test_every_kind_of_signal_has_numbers() -> None:
    """No function that makes signals is left out."""
    for maker in (*WAVEFORMS.values(), *RECORDINGS.values()):
        made = numbers.made_by(maker)
        assert numbers._OF_KIND[made], made


@dataclass(frozen=True)
class Ramp(Formula):
    """A new kind of signal: u(t) = slope t."""

    kind: ClassVar[str] = "ramp"
    steepness: Numbers
    onset: Annotated[Numbers, Milliseconds]

    def sample(self, start: int, stop: int, dt: float) -> np.ndarray:
        """Return the values of steps."""
        own = self._columns
        return own["steepness"] * (np.arange(start, stop) * dt - own["onset"])


def ramp(steepness: Numbers, onset: Numbers = 0.0) -> Ramp:
    """Make one."""
    return Ramp(steepness, onset)


def test_a_new_kind_of_signal_has_its_numbers_without_more_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its function and its fields say is enough."""
    monkeypatch.setattr(numbers, "_OF_KIND", dict(numbers._OF_KIND))
    monkeypatch.setitem(INPUT_NUMBERS, "input_steepness", INPUT_NUMBERS["input_value"])  # so that both are taken back
    monkeypatch.delitem(INPUT_NUMBERS, "input_steepness")
    monkeypatch.setitem(INPUT_NUMBERS, "input_onset", INPUT_NUMBERS["input_start"])
    monkeypatch.delitem(INPUT_NUMBERS, "input_onset")
    register(ramp)
    assert names_of(ramp(1.0)) == ("input_steepness", "input_onset")
    assert grid(input_onset=[1.0, 2.0]).coordinates()["input_onset"][2]["units"] == "ms"
    several = Varied(ramp(2.0), {"input_onset": np.array([0.0, 3.0])})
    assert several.sample(0, 3, 1.0).tolist() == [[[0.0, 2.0, 4.0]], [[-6.0, -4.0, -2.0]]]


@dataclass(frozen=True)
class Clash(Formula):
    """A signal whose numbers have names that are taken."""

    kind: ClassVar[str] = "clash"
    gain: Numbers = 1.0
    width: Numbers = 1.0

    def sample(self, start: int, stop: int, dt: float) -> np.ndarray:
        """Return nothing of interest."""
        return np.zeros((1, stop - start))


def of_gain(gain: Numbers) -> Clash:
    """Make one with a number that would be called as a parameter is."""
    return Clash(gain)


def of_width(width: Numbers) -> Clash:
    """Make one with a number that another kind counts in ms."""
    return Clash(width=width)


@pytest.mark.parametrize(("maker", "name"), [(of_gain, "input_gain"), (of_width, "input_width")])
def test_a_name_means_one_thing(maker: object, name: str) -> None:
    """A kind of signal whose numbers would be mixed up with others is refused where it is written."""
    with pytest.raises(ValueError, match=f"{name} is the name of something else"):
        register(maker)


def test_the_number_that_a_signal_has() -> None:
    """It is one number if all channels share it."""
    assert own_number(sine(frequency=3.0), "input_frequency") == 3.0
    assert own_number(sine(frequency=[3.0, 3.0]), "input_frequency") == 3.0
    assert np.isnan(own_number(sine(frequency=[3.0, 4.0]), "input_frequency"))
    assert np.isnan(own_number(pulse(start=0, width=1), "input_period"))
    assert own_number(white_noise(1.0, seed=7), "input_seed") == 7.0


@given(
    values=st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 400), st.floats(-9, 9)), min_size=1, max_size=40),
    channels=st.integers(1, 3),
    start=st.integers(0, 100),
    count=st.integers(0, 70),
)
def test_several_formulas_at_once_have_the_bits_of_each(
    values: list[tuple[float, float, float]], channels: int, start: int, count: int
) -> None:
    """However many stimuli are computed together, each is the signal that is made with its numbers."""
    base = sine(offset=[0.1, -0.3, 2.0][:channels], frequency=[1.0, 2.0, 3.0][:channels])
    columns = dict(zip(("input_amplitude", "input_frequency", "input_phase"), np.array(values).T, strict=True))
    several = Varied(base, columns)
    found = several.sample(start, start + count, 1.0)
    assert found.shape == (len(values), channels, count)
    for one, (amplitude, frequency, phase) in zip(found, values, strict=True):
        alone = sine(amplitude, [frequency] * channels, phase, base.offset)
        assert alone.sample(start, start + count, 1.0).tobytes() == one.tobytes()
    assert [each.sample(0, 9, 1.0).tobytes() for each in several.each()] == [
        one.tobytes() for one in several.sample(0, 9, 1.0)
    ]


def test_a_value_that_a_signal_cannot_have_is_refused() -> None:
    """The rule is that of the signal itself."""
    with pytest.raises(JobError, match=r"sine\.frequency = 900 Hz: .*at most 500 Hz"):
        Varied(sine(), {"input_frequency": np.array([1.0, 900.0])}).sample(0, 1, 1.0)
    with pytest.raises(JobError, match=r"white_noise\.std = -1: must be at least 0"):
        Varied(white_noise(1.0, seed=1), {"input_std": np.array([1.0, -1.0])}).sample(0, 1, 1.0)
