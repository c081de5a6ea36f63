"""Short jobs, and fresh Python processes to run them in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from support import ROOT
from sweep import Integration, Job, Model, gaussian, grid

#: Every variable ``(set, ...)``; and what the fixture ``simulate`` gives, which runs all blocks of a job on a back end.
Results = dict[str, np.ndarray]
Simulate = Callable[..., Results]

#: The mark of tests of what a back end makes of every value: some of these are traps for users, which a job warns of.
TRAPS = pytest.mark.filterwarnings(
    "ignore:tau_s = 0 with noise",
    "ignore:x0 is given where tau_s = 0",
    "ignore:replicate takes values",
    "ignore:design. rows",
    "ignore:input. white_noise",
)

#: Parts of job files.
MODEL = "model = { units = 3 }\n"
TIME = "integration = { dt = 0.5, duration = 20.0 }\n"
LOOK = 'observe = ["r_mean"]\n'
PLAIN = LOOK + MODEL + TIME
COMPARING = 'observe = ["target_mse"]\n' + MODEL + TIME


def small(**changes: Any) -> Job:
    """Return a noisy job of 12 sets in 6 blocks."""
    parts = {
        "model": Model(units=3, weights=gaussian(units=3, seed=1), activation="tanh", parameters={"noise": 0.1}),
        "design": grid(tau_s=[2.0, 10.0, 100.0], gain=[0.5, 1.0, 1.5, 2.0]),
        "integration": Integration(dt=1.0, duration=40.0, transient=8.0),
        "observe": ["r_mean", "x_final"],
        "sets_per_block": 2,
    }
    return Job(**(parts | changes))


def network(units: int, **changes: Any) -> Model:
    """Return a network that is neither silent nor chaotic, its parameters different from unit to unit."""
    rng = np.random.default_rng(units)
    given = {
        "tau_s": 5.0,
        "tau_r": rng.uniform(3, 9, units),
        "gain": 0.7,
        "input_gain": 1.3,
        "bias": rng.normal(0, 0.3, units),
        "slope": 1.2,
        "threshold": rng.normal(0, 0.2, units),
        "x0": rng.normal(0, 0.5, units),
        "r0": 0.3,
    }
    changes = {"weights": gaussian(units=units, seed=units), "parameters": given} | changes
    return Model(units=units, **changes)


def many(sets: int = 200, **changes: Any) -> Job:
    """Return a job of many blocks of one set."""
    return small(design=grid(gain=np.linspace(0, 2, sets)), sets_per_block=1, **changes)


def slow(sets: int = 8) -> Job:
    """Return a job of blocks that take about a quarter of a second each."""
    return many(sets, integration=Integration(dt=1.0, duration=4_000.0))


def assert_same_bits(results: Results, expected: Results, sets: object = slice(None)) -> None:
    """Compare every variable bit for bit with some sets of the expected."""
    for name, value in expected.items():
        assert results[name].tobytes() == value[sets].tobytes(), name


def assert_same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Assert that two results agree in every bit of every variable and coordinate, and in their labels."""
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        a, b = one[name].variable, other[name].variable
        assert (a.dims, a.dtype, a.shape) == (b.dims, b.dtype, b.shape), name
        assert a.to_numpy().tobytes() == b.to_numpy().tobytes(), name
        np.testing.assert_equal(a.attrs, b.attrs, err_msg=str(name))


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a fresh Python that runs some code, which may import this module."""
    code = f"import sys, sweep\nfrom support import jobs\n{code}"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT / "tests", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finish(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str]:
    """Wait for a process; return its exit code and what it wrote."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return process.returncode, out + err
