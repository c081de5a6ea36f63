"""Results that the tests of reports share."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from support.results import GAIN, TAU_S, result

import sweep
from sweep.job import Report
from sweep.signals.targets import model_output


@pytest.fixture
def ds() -> xr.Dataset:
    """Return a grid with its largest value at tau_s = 10, gain = 1, unit 1, not at an end of a range."""
    ds = result(sweep.grid(tau_s=TAU_S, gain=GAIN))
    ds["r_mean"][:] = np.arange(40, dtype=np.float32).reshape(5, 4, 2) / 100
    ds["r_mean"][2, 1, 1] = 5
    return ds


@pytest.fixture(scope="module")
def taught() -> xr.Dataset:
    """Offer students of three teachers with known time constants."""
    teachers = [sweep.Target(model_output({"tau_s": a, "tau_r": b})) for a, b in ((1, 10), (10, 1), (100, 100))]
    design = sweep.grid(tau_s=np.geomspace(1, 100, 5), tau_r=np.geomspace(1, 100, 5))
    report = Report(variable="target_mse", best="min", x="alpha_s", y="alpha_r", panel="target", select={"unit": 0})
    wave = sweep.sine(amplitude=1.0, frequency=50.0)
    timing = sweep.Integration(0.5, 40.0)
    return result(
        design, target=teachers, observe=["target_mse"], report=report, input=wave, integration=timing, title="Teachers"
    )
