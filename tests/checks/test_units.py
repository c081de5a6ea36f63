"""Units: a time is a time whatever it is written in, and what is no time is not taken for one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import neo
import numpy as np
import pandas as pd
import pint
import pytest
import quantities as pq
import xarray as xr

import sweep
from sweep import JobError
from sweep.checks.units import Hertz, Milliseconds, plain

ureg = pint.UnitRegistry()


class Astropy:
    """What a Quantity of astropy offers: ``to_value`` with the name of a unit."""

    def __init__(self, value: Any, per_ms: float | None) -> None:
        self.value, self._per_ms = np.asarray(value), per_ms

    def to_value(self, unit: str) -> Any:
        if self._per_ms is None or unit != "ms":
            raise TypeError("UnitConversionError")
        return self.value * self._per_ms


class Brian(np.ndarray):
    """What a Quantity of Brian is: an array of numbers in units of the SI, with a dimension."""

    dim: Any


def brian(values: Any, **powers: int) -> Brian:
    """Return a quantity of Brian with these powers of the base units."""
    made = np.asarray(values, dtype=float).view(Brian)
    made.dim = SimpleNamespace(get_dimension=lambda base: powers.get(base, 0))
    return made


ONE_AND_TWO_SECONDS: dict[str, Any] = {
    "quantities": np.array([1, 2]) * pq.s,
    "quantities, in ms": np.array([1000, 2000]) * pq.ms,
    "a list of quantities": [1 * pq.s, 2000 * pq.ms],
    "pint": np.array([1, 2]) * ureg.second,
    "a list of pint's": [1 * ureg.second, 2 * ureg.second],
    "neo": neo.SpikeTrain([1, 2] * pq.s, t_stop=3 * pq.s),
    "astropy": Astropy([1, 2], 1000.0),
    "Brian": brian([1, 2], time=1),
    "NumPy": np.array([1, 2], dtype="m8[s]"),
    "a list of NumPy's": [np.timedelta64(1, "s"), np.timedelta64(2000, "ms")],
    "Python": [datetime.timedelta(seconds=1), datetime.timedelta(seconds=2)],
    "an index of pandas": pd.to_timedelta([1, 2], unit="s"),
    "a series of pandas": pd.Series(pd.to_timedelta([1, 2], unit="s")),
    "a list of pandas's": [pd.Timedelta(1, "s"), pd.Timedelta(2, "s")],
    "xarray": xr.DataArray([1.0, 2.0], dims="time", attrs={"units": "s"}),
    "bare numbers": [1000, 2000],
}


@pytest.mark.parametrize("times", ONE_AND_TWO_SECONDS.values(), ids=ONE_AND_TWO_SECONDS)
def test_times_are_times_whatever_carries_them(times: Any) -> None:
    """One and two seconds are 1000 and 2000 ms at every door that lists of times come in by."""
    ms = [1000.0, 2000.0]
    assert sweep.spikes(times).times.tolist() == ms
    assert sweep.grid(tau_s=times).axis("tau_s").values(0, 2)["tau_s"].tolist() == ms
    assert sweep.zipped("p", **{"tau_r[1]": times}).axis("tau_r[1]").values(0, 2)["tau_r[1]"].tolist() == ms
    assert np.asarray(sweep.Model(units=2, parameters={"tau_s": times}).parameters["tau_s"]).tolist() == ms
    assert np.asarray(sweep.model_output({"tau_r": times}).parameters["tau_r"]).tolist() == ms
    assert sweep.Target(sweep.sine(), lags=times).lags == tuple(ms)
    assert sweep.step(time=times).time == tuple(ms)
    drawn = sweep.sobol(2, 1, tau_s=times if isinstance(times, list) else plain("times", times, Milliseconds))
    assert (drawn.axes[0].ranges[0].low, drawn.axes[0].ranges[0].high) == tuple(ms)


TWO_SECONDS: dict[str, Any] = {
    "quantities": 2 * pq.s,
    "one over a frequency": 1 / (0.5 * pq.Hz),
    "pint": 2 * ureg.second,
    "astropy": Astropy(2, 1000.0),
    "Brian": brian(2, time=1),
    "NumPy": np.timedelta64(2, "s"),
    "Python": datetime.timedelta(seconds=2),
    "pandas": pd.Timedelta(2, "s"),
    "xarray": xr.DataArray(2.0, attrs={"units": "seconds"}),
}


@pytest.mark.parametrize("time", TWO_SECONDS.values(), ids=TWO_SECONDS)
def test_single_times_too(time: Any) -> None:
    """Two seconds are 2000 ms, as a step, a length, an interval, a window or a time constant."""
    timing = sweep.Integration(dt=time, duration=time, transient=0 * pq.s)
    assert (timing.dt, timing.duration, timing.transient) == (2000.0, 2000.0, 0.0)
    assert sweep.samples([1.0, 2.0], interval=time).interval == 2000.0
    train = sweep.spikes([1.0], window=time, duration=time)
    assert (train.window, train.duration) == (2000.0, 2000.0)
    assert sweep.white_noise(1.0, seed=1, interval=time).interval == 2000.0
    assert sweep.pulse(start=time, width=time, period=time).period == (2000.0,)
    assert sweep.Model(units=1, parameters={"tau_s": time}).parameters["tau_s"] == 2000.0
    drawn = sweep.random(2, 1, tau_s=(1.0, time)).axes[0]
    assert drawn.ranges[0].high == 2000.0


@pytest.mark.parametrize("frequency", [5 * pq.kHz, 5 * ureg.kilohertz, 5000 / pq.s, brian(5000, time=-1), 5000])
def test_frequencies_are_in_hertz(frequency: Any) -> None:
    """Five kilohertz are 5000 Hz."""
    assert sweep.sine(frequency=frequency).frequency == (pytest.approx(5000),)


def test_the_units_of_spikes_go_before_time_unit() -> None:
    """``time_unit`` is that of plain numbers."""
    train = neo.SpikeTrain([0.5, 1.5] * pq.s, t_stop=2 * pq.s)
    assert sweep.spikes(train, time_unit="s", duration=train.t_stop).times.tolist() == [500.0, 1500.0]
    assert sweep.spikes([0.5, 1.5], time_unit="s").times.tolist() == [500.0, 1500.0]


def test_results_can_be_used_again() -> None:
    """A coordinate of a result is in ms and goes into the next job; one without units is a list of numbers."""
    job = sweep.Job(
        model=sweep.Model(units=1),
        design=sweep.grid(tau_s=[1.0, 2.0], gain=[0.5, 1.0]),
        integration=sweep.Integration(dt=1, duration=3),
        observe=["r_mean"],
    )
    result = sweep.simulate(job)
    again = sweep.grid(tau_s=result.tau_s, gain=result.gain)
    assert again.axis("tau_s").values(0, 2)["tau_s"].tolist() == [1.0, 2.0]
    assert again.axis("gain").values(0, 2)["gain"].tolist() == [0.5, 1.0]


MV: dict[str, Any] = {
    "quantities": [1, 2] * pq.mV,
    "a list of them": [1 * pq.mV, 2 * pq.mV],
    "pint": [1, 2] * ureg.millivolt,
    "astropy": Astropy([1, 2], None),
    "Brian": brian([1, 2], length=2, time=-3),
    "neo": neo.AnalogSignal([1, 2] * pq.mV, sampling_rate=1 * pq.kHz)[:, 0],
}
NOT_TIMES: dict[str, Any] = MV | {
    "xarray": xr.DataArray([1.0, 2.0], attrs={"units": "mV"}, dims="time"),
    "kHz": [1, 2] * pq.kHz,
}
NOT_NUMBERS: dict[str, Any] = MV | {
    "seconds": [1, 2] * pq.s,
    "timedeltas": np.array([1, 2], dtype="m8[s]"),
    "a timedelta": [1.0, datetime.timedelta(seconds=1)],
    "seconds of Brian": brian([1, 2], time=1),
}


@pytest.mark.parametrize("value", NOT_TIMES.values(), ids=NOT_TIMES)
@pytest.mark.parametrize(
    "door",
    [
        sweep.spikes,
        lambda value: sweep.grid(tau_s=value),
        lambda value: sweep.Model(units=2, parameters={"tau_r": value}),
        lambda value: sweep.Target(sweep.sine(), lags=value),
        lambda value: sweep.step(time=value),
        lambda value: sweep.Integration(dt=value, duration=2),
    ],
)
def test_what_is_no_time_is_refused(door: Callable[[Any], Any], value: Any) -> None:
    """Millivolts are no milliseconds."""
    with pytest.raises(JobError, match=r"units do not fit.* must be a time, which is counted in ms\. Convert"):
        door(value)


NUMBERS: list[Callable[[Any], Any]] = [
    lambda value: sweep.grid(gain=value),
    lambda value: sweep.Model(units=2, parameters={"bias": value}),
    lambda value: sweep.constant(value),
    lambda value: sweep.sine(phase=value),
]


@pytest.mark.parametrize(
    ("door", "value"),
    [(door, value) for door in NUMBERS for value in NOT_NUMBERS.values()]
    # A recorded signal of neo is a recording, whatever was recorded.
    + [(lambda value: sweep.samples(value, 1.0), value) for name, value in NOT_NUMBERS.items() if name != "neo"],
)
def test_numbers_have_no_units(door: Callable[[Any], Any], value: Any) -> None:
    """What the model counts without units is not converted on a guess."""
    with pytest.raises(JobError, match=r"units do not fit.* plain number without units.*magnitude"):
        door(value)


@pytest.mark.parametrize("value", [1 * pq.dimensionless, 1 * ureg.dimensionless, brian(1), np.float32(1), "1", None])
def test_what_has_no_units_is_handed_on(value: Any) -> None:
    """What is dimensionless is its number, and anything else is left to the other checks."""
    found = plain("key", value)
    assert found is value or float(found) == 1.0


def test_a_frequency_is_no_time() -> None:
    """The marks tell them apart."""
    with pytest.raises(JobError, match="must be a frequency, which is counted in Hz"):
        plain("key", 1 * pq.s, Hertz)
    with pytest.raises(JobError, match="must be a time"):
        plain("key", 1 * pq.Hz, Milliseconds)


def test_a_time_that_is_none_is_refused() -> None:
    """NaT is not a time."""
    with pytest.raises(JobError, match="finite"):
        sweep.spikes(np.array([1, "NaT"], dtype="m8[ms]"))
