"""Numbers of the input in a design, checked when the job is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pint
import pytest
import quantities as pq

import sweep
from sweep import Integration, Job, JobError, Model, Target, grid, model_output, samples, sine, sobol, zipped
from sweep.signals.recordings import spikes
from sweep.signals.waveforms import pulse, white_noise


def job(input: Any, design: sweep.Design, **changes: Any) -> Job:
    """Return a short job of two units."""
    parts = {"model": Model(units=2), "integration": Integration(dt=1.0, duration=50.0), "observe": ["r_mean"]}
    return Job(input=input, design=design, **(parts | changes))


WAVES = pulse(start=1, width=5, period=10)


@pytest.mark.parametrize(
    ("signal", "design", "told"),
    [
        (sine(), grid(input_width=[1, 2]), r"input_width: .*'sine'.*Sweep one of input_amplitude, .*, input_offset\.$"),
        (sine(), grid(input_start=[1, 2]), r"input_start: .*has no such number"),
        (WAVES, grid(input_before=[1, 2]), r"input_before: .*'pulse'.*Sweep one of input_start, "),
        (
            sine(),
            grid(input_frequency=[1, 200, 900, 800]),
            r"input_frequency = 900: .*steps of dt = 1 ms show .*smaller",
        ),
        (sine(), sobol(4, seed=1, input_frequency=(1, 900)), r"input_frequency = 900: .*at most 500 Hz"),
        (WAVES, grid(input_width=[5, 0.5, 7]), r"input_width = 0\.5: .*at least a step, dt = 1 ms\. Use"),
        (WAVES, grid(input_width=[5, -2]), r"input_width = -2: .*must be above 0"),
        (
            WAVES,
            zipped("p", input_width=[5, 7, 9], input_period=[10, 6, 30], tau_s=[1, 2, 3]),
            r"input_width = 7, input_period = 6: .*do not overlap\. Lengthen",
        ),
        (
            WAVES,
            grid(input_width=[5, 7, 9], tau_s=[1, 2], input_period=[10, 8, 30]),
            r"input_width = 9, input_period = 8: .*do not overlap",
        ),
        (
            WAVES,
            sobol(4, seed=1, input_width=(5, 9), tau_s=(1, 2), input_period=(7, 30)),
            r"input_width = 9, input_period = 7: .*do not overlap",
        ),
        (white_noise(1.0, seed=3, interval=1.0), grid(input_std=[0.5, -1, 2]), r"input_std = -1: .*at least 0"),
        (
            white_noise(1.0, seed=3, interval=1.0),
            grid(input_interval=[0.5, 2.5]),
            r"input_interval = 0\.5: .*at least a step",
        ),
        (samples(np.arange(20.0), 5.0), grid(input_interval=[5, 1.5]), r"input_interval = 1\.5: .*lasts 30 ms"),
        (spikes([1, 2]), zipped("p", input_window=[2, 3], input_start=[0, 4]), r"input_start = 4: "),
        ([sine(), sine()], grid(input_frequency=[5, 1]), r"input_frequency is swept.*has 2 inputs.*sweep 'stimulus'"),
        (None, grid(input_frequency=[5, 1]), r"input_frequency is swept.*has no input.*Give one"),
    ],
)
def test_what_the_input_cannot_be_is_refused(signal: Any, design: sweep.Design, told: str) -> None:
    """Key, value, rule and remedy are named before anything runs: for a value, and for values that do not go together."""
    with pytest.raises(JobError, match=told):
        job(signal, design)


def test_values_that_go_together_are_accepted() -> None:
    """A table may have a width that is longer than another row's period."""
    job(WAVES, zipped("p", input_width=[5, 20], input_period=[10, 40]))
    job([sine()], grid(input_frequency=[1.0, 499.0]))
    job(sine(frequency=[1, 2]), grid(input_phase=[0, 1]))


def test_a_large_table_is_checked_at_once() -> None:
    """Every row of 10**5 is looked at, and the wrong one is named."""
    width, period = np.full(10**5, 3.0), np.full(10**5, 9.0)
    period[77_777] = 2.5
    with pytest.raises(JobError, match=r"input_width = 3, input_period = 2\.5"):
        job(WAVES, zipped("p", input_width=width, input_period=period))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: grid(input_freqency=[1, 2]), "Did you mean 'input_frequency'"),
        (lambda: grid(frequency=[1, 2]), "Did you mean 'input_frequency'"),
        (lambda: grid(**{"input_frequency[0]": [1, 2]}), "input_frequency takes no index"),
        (lambda: grid(input_seed=[1, 2.5]), "seed of the input must be a whole number"),
        (lambda: sobol(4, seed=1, input_seed=(1, 2)), "input_seed counts"),
        (lambda: zipped("input_phase", input_frequency=[1], tau_s=[2]), "only the axis of a grid is named after"),
        (lambda: Model(units=1, parameters={"input_frequency": 3}), r"number of the input.*sweep it in the design"),
        (lambda: grid(input_frequency=[5, 1] * pint.UnitRegistry().ms), "must be a frequency"),
        (lambda: grid(input_amplitude=[5, 1] * pq.mV), "plain number without units"),
    ],
)
def test_wrong_names_and_units(make: Any, told: str) -> None:
    """A name or a unit that cannot be is refused where it is written."""
    with pytest.raises(JobError, match=told):
        make()


def test_units_are_converted() -> None:
    """Frequencies become Hz and times ms, in every kind of design."""
    unit = pint.UnitRegistry()
    for design, name, values in (
        (grid(input_frequency=[5, 1.5] * pq.kHz), "input_frequency", [5000, 1500]),
        (zipped("p", input_width=pd.to_timedelta([1, 2], unit="s")), "input_width", [1000, 2000]),
        (sweep.table("p", {"input_start": [1, 2] * unit.s}), "input_start", [1000, 2000]),
    ):
        assert design.coordinates()[name][1].tolist() == values
    (axis,) = sobol(4, seed=1, input_frequency=(1 * unit.kHz, 2 * unit.kHz)).axes
    assert axis.range("input_frequency") == (1000.0, 2000.0)


def test_a_teacher_has_no_input_of_its_own() -> None:
    """It hears what the set hears that is compared with it, so a number of the input is none of its parameters."""
    with pytest.raises(JobError, match=r"target \(model\): .*input_frequency: it is a number of the input"):
        job(sine(), sweep.Design(()), target=Target(model_output({"input_frequency": 3.0})), observe=["target_mse"])


def test_noise_is_of_the_numbers_too() -> None:
    """Sets that differ in a number of the input have different streams, in any order; common noise is by replicate alone."""
    model = Model(units=1, parameters={"noise": 1.0})
    one = job(sine(frequency=2.0), grid(input_frequency=[1, 2, 3], input_phase=[0, 1]), model=model)
    streams = one.parameter_sets(one.blocks[0]).stream
    assert len(set(streams.tolist())) == 6
    turned = job(sine(frequency=2.0), grid(input_phase=[1, 0], input_frequency=[3, 1, 2]), model=model)
    assert (
        turned.parameter_sets(turned.blocks[0]).stream[turned.design.index(input_phase=0, input_frequency=3)]
        == (streams[one.design.index(input_phase=0, input_frequency=3)])
    )
    bare = job(sine(frequency=2.0), sweep.Design(()), model=model)
    assert bare.parameter_sets(bare.blocks[0]).stream[0] == streams[one.design.index(input_phase=0, input_frequency=2)]
    common = one.changed(noise_pairing="common")
    assert len(set(common.parameter_sets(common.blocks[0]).stream.tolist())) == 1


def test_noise_that_depends_on_dt_is_told_of_the_intervals_that_sets_have() -> None:
    """A swept interval counts, and not that of the input."""
    bare, held = white_noise(1.0, seed=3), white_noise(1.0, seed=3, interval=1.5)
    job(bare, grid(input_interval=[1.0, 2.0]))
    job(held, grid(input_interval=[1.0, 2.0]))
    for signal, design, told in (
        (bare, grid(input_interval=[1.0, 2.5]), r"white_noise\.interval = 2\.5 ms is no whole number"),
        (held, sobol(4, seed=1, input_interval=(1.0, 2.0)), r"white_noise\.interval = 1\.\d+ ms is no whole number"),
        (white_noise(0.0, seed=3), grid(input_std=[0.0, 1.0]), "white_noise has a new number in every step"),
    ):
        with pytest.warns(UserWarning, match=told):
            job(signal, design)
