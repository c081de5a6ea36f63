"""The result has labels: coordinates, units, long names, flags, and its origin."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from support.jobs import assert_same, small

import sweep
from sweep import Integration, Model, Target, gaussian, grid, latin_hypercube, record, replicates, samples, sine, zipped
from sweep.results.store import Store
from sweep.signals.targets import model_output
from sweep.signals.waveforms import constant

pytestmark = pytest.mark.usefixtures("only_numpy")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Return a finished store as plain xarray opens it."""
    path = tmp_path_factory.mktemp("plain") / "out.zarr"
    job = small(title="a title", description="in words", seed=7, observe=["r_mean", "x_final", record("r", every=8)])
    sweep.run(job, path, backend="numpy")
    return xr.open_zarr(path)


def test_plain_xarray_opens_a_store(opened: xr.Dataset) -> None:
    """A result can be read without tausweep: the dimensions, labels and values are all there."""
    job = small(title="a title", description="in words", seed=7, observe=["r_mean", "x_final", record("r", every=8)])
    again = sweep.simulate(job)
    assert_same(opened, again)
    assert opened.r_mean.dims == ("tau_s", "gain", "unit")
    assert opened.r.dims == ("tau_s", "gain", "time", "unit")
    assert opened.status.dims == opened.diverged_at.dims == ("tau_s", "gain")
    assert set(opened.attrs) - set(again.attrs) == {"tausweep_format"}
    for name in ("job", "job_hash", "backend", "device", "versions", "seed", "title", "comment"):
        assert opened.attrs[name] == again.attrs[name]


def test_every_variable_has_units_and_a_long_name(opened: xr.Dataset) -> None:
    """Every variable and coordinate has units and a long name."""
    for name, variable in opened.variables.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert {opened[name].attrs["units"] for name in ("tau_s", "tau_r", "time", "diverged_at")} == {"ms"}
    assert opened.r_mean.attrs["long_name"] == "mean over time of the firing rate"


def test_labels_choose_sets(opened: xr.Dataset) -> None:
    """The values of a grid are indexes: by value, by the nearest value, by a range."""
    np.testing.assert_array_equal(opened.tau_s, [2, 10, 100])
    assert float(opened.sel(tau_s=11, method="nearest").tau_s) == 10
    assert opened.sel(tau_s=slice(5, 200), gain=1.5).r_mean.shape == (2, 3)
    assert_same(opened.sel(tau_s=10.0, gain=1.0), opened.isel(tau_s=1, gain=1))


def test_rate_constants_stand_beside_the_time_constants_swept(opened: xr.Dataset) -> None:
    """alpha_s = dt/tau_s lies along tau_s; a time constant of 0 has the rate constant 1."""
    np.testing.assert_array_equal(opened.alpha_s, [0.5, 0.1, 0.01])
    assert opened.alpha_s.dims == ("tau_s",)
    assert "alpha_r" not in opened.coords
    both = sweep.lazy(small(model=Model(units=3), design=zipped("pair", tau_s=[0.0, 4.0], tau_r=[2.0, 0.0])))
    np.testing.assert_array_equal(both.alpha_s, [1.0, 0.25])
    np.testing.assert_array_equal(both.alpha_r, [0.5, 1.0])


def test_what_is_common_to_all_sets_is_a_coordinate_too(opened: xr.Dataset) -> None:
    """Constants of the job are scalars, or lie along the units."""
    assert opened.noise.shape == ()
    assert float(opened.noise) == 0.1
    assert float(opened.tau_r) == 10.0
    assert "network" not in opened.coords
    model = Model(
        units=3, weights=gaussian(units=3, seed=1, networks=2), parameters={"bias": [1.0, 2.0, 3.0], "network": 1}
    )
    local = sweep.lazy(small(model=model))
    np.testing.assert_array_equal(local.bias, [1, 2, 3])
    assert local.bias.dims == ("unit",)
    assert local.network.dtype == np.int64
    assert int(local.network) == 1


def test_times_are_those_after_the_steps(opened: xr.Dataset) -> None:
    """A record of every 8th step after a transient of 8 ms starts at 16 ms."""
    np.testing.assert_array_equal(opened.time, [16, 24, 32, 40])


def test_status_is_a_flag_variable(opened: xr.Dataset) -> None:
    """Status follows the CF conventions for flags."""
    attrs = opened.status.attrs
    meanings = dict(zip(attrs["flag_meanings"].split(), np.asarray(attrs["flag_values"]).tolist(), strict=True))
    assert meanings == {"not_run": 0, "ok": 1, "diverged": 2, "failed": 3}
    assert opened.status.dtype == np.int8
    assert (opened.status == meanings["ok"]).all()
    assert np.isnan(opened.diverged_at).all()


def test_a_set_that_diverges_says_when(tmp_path: Path) -> None:
    """The status and the time say which sets diverged, and the others are complete."""
    wild = Model(units=2, weights=np.eye(2), activation="linear", parameters={"r0": 1.0, "tau_s": 2.0, "tau_r": 2.0})
    job = small(model=wild, design=grid(gain=[0.5, 1e20, 0.9]), sets_per_block=3)
    result = sweep.run(job, tmp_path / "out.zarr")
    np.testing.assert_array_equal(result.status, [1, 2, 1])
    assert 0 < float(result.diverged_at[1]) <= 40
    np.testing.assert_array_equal(np.isnan(result.diverged_at), [True, False, True])
    np.testing.assert_array_equal(np.isfinite(result.r_mean).all("unit"), [True, False, True])


def test_the_attributes_say_where_the_result_comes_from(opened: xr.Dataset) -> None:
    """The job, its hash, the versions, the back end, the device and the seed are kept."""
    job = small(title="a title", description="in words", seed=7, observe=["r_mean", "x_final", record("r", every=8)])
    attrs = opened.attrs
    assert attrs["job_hash"] == job.hash
    assert json.loads(attrs["job"])["integration"]["dt"] == 1.0
    assert attrs["seed"] == "7"
    assert attrs["backend"] == "numpy"
    assert "cores" in attrs["device"]
    assert attrs["backend_reason"].startswith("NumPy ")
    assert attrs["method"].startswith("tiles of at most 64 sets")
    assert [part["blocks"] for part in json.loads(attrs["backends"])] == ["0-5"]
    assert json.loads(attrs["versions"])["tausweep"] == importlib.metadata.version("tausweep")
    assert (attrs["title"], attrs["comment"]) == ("a title", "in words")
    assert attrs["Conventions"].startswith("CF-")


def test_a_sampled_design_stays_one_dimensional(tmp_path: Path) -> None:
    """Samples lie along ``point``, their parameters as coordinates; a product adds the dimensions of the others."""
    design = latin_hypercube(n=5, seed=1, tau_s=(1, 100, "log"), gain=(0, 2)) * replicates(2)
    result = sweep.run(small(design=design), tmp_path / "out.zarr")
    assert result.r_mean.dims == ("point", "replicate", "unit")
    assert result.tau_s.dims == result.gain.dims == result.alpha_s.dims == ("point",)
    np.testing.assert_array_equal(result.point, np.arange(5))
    np.testing.assert_array_equal(result.replicate, [0, 1])
    assert (result.r_mean.sel(replicate=0) != result.r_mean.sel(replicate=1)).all()


def test_one_set_has_no_dimensions(tmp_path: Path) -> None:
    """A job without a design is one set: its results have only the dimensions of the observables."""
    result = sweep.run(small(design=sweep.Design(())), tmp_path / "out.zarr")
    assert result.status.shape == ()
    assert result.r_mean.dims == ("unit",)
    assert int(result.status) == 1


@pytest.mark.parametrize("alone", [True, False])
def test_a_record_of_some_units_is_labelled_with_them(tmp_path: Path, alone: bool) -> None:
    """If there are only records, their units are the units of the result; beside other observables they are a subset."""
    model = Model(units=4, weights=gaussian(units=4, seed=1), parameters={"bias": [0.0, 1.0, 2.0, 3.0]})
    design = zipped("case", gain=[1.0, 2.0], threshold=np.arange(8.0).reshape(2, 4))
    observe: list[Any] = [record("r", units=[3, 1])]
    job = small(model=model, design=design, observe=observe if alone else [*observe, "r_mean"])
    result = sweep.run(job, tmp_path / "out.zarr")
    assert_same(result, sweep.simulate(job))
    dim = "unit" if alone else "recorded_unit"
    assert result.r.dims == ("case", "time", dim)
    np.testing.assert_array_equal(result[dim], [3, 1])
    np.testing.assert_array_equal(result.bias, [3, 1] if alone else [0, 1, 2, 3])
    np.testing.assert_array_equal(result.threshold, [[3, 1], [7, 5]] if alone else np.arange(8).reshape(2, 4))


def test_targets_are_labelled(tmp_path: Path) -> None:
    """Lags are in ms; several targets have numbers, and those that a model makes its parameters."""
    teachers = [Target(model_output({"tau_s": tau}), lags=[-2, 0]) for tau in (5.0, 20.0)]
    job = small(target=teachers, observe=["target_correlation", "target_mse"])
    result = sweep.run(job, tmp_path / "out.zarr")
    assert result.target_mse.dims == ("tau_s", "gain", "target", "lag", "unit")
    np.testing.assert_array_equal(result.lag, [-2, 0])
    np.testing.assert_array_equal(result.target_tau_s, [5, 20])
    np.testing.assert_array_equal(result.target_alpha_s, [0.2, 0.05])
    single = sweep.lazy(small(target=Target(constant(1.0)), observe=["target_mse"]))
    assert single.target_mse.dims == ("tau_s", "gain", "lag", "unit")


def test_a_swept_weight_is_a_dimension_of_that_name(tmp_path: Path) -> None:
    """Single entries of W sweep like any other parameter."""
    design = grid(**{"W[0,1]": [-1.0, 0.0, 1.0]})
    result = sweep.run(small(design=design), tmp_path / "out.zarr")
    assert result.r_mean.dims == ("W[0,1]", "unit")
    np.testing.assert_array_equal(result["W[0,1]"], [-1, 0, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"design": grid(stimulus=[0, 1]), "input": [sine(1.0, 50.0), samples(np.ones(40), interval=1.0)]},
        {"integration": Integration(dt=0.1, duration=4.0, precision="float64")},
    ],
    ids=["grid", "inputs", "float64"],
)
def test_a_result_holds_the_job_that_made_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The job of a store, run again, gives the same result."""
    first = sweep.run(small(**changes), tmp_path / "out.zarr")
    assert_same(sweep.simulate(Store(tmp_path / "out.zarr").job), first)


def test_labels_are_the_decimals_that_people_write(tmp_path: Path) -> None:
    """Times, lags, rate constants and float32 values are found by the numbers that one would type."""
    tenths = (np.arange(1, 21) * 0.1).round(1)
    job = small(
        model=Model(units=1, weights=[[1.0]], activation="linear", parameters={"x0": 1.0}),
        target=Target(sine(frequency=20.0), lags=np.arange(0, 0.5, 0.1)),
        design=sweep.grid(tau_s=np.array([0.1, 0.3], dtype=np.float32), tau_r=[0.1 / 0.3, 0.1 / 0.7], gain=[0.5, 1e18]),
        integration=Integration(dt=0.1, duration=2.0),
        observe=[record("r"), "target_mse"],
        sets_per_block=None,
    )
    for result in (sweep.simulate(job), sweep.run(job, tmp_path / "out.zarr")):
        np.testing.assert_array_equal(result.time, tenths)
        assert result.sel(time=slice(0.1, 0.3)).sizes["time"] == 3
        np.testing.assert_array_equal(result.lag, [0.0, 0.1, 0.2, 0.3, 0.4])
        np.testing.assert_array_equal(result.tau_s, [0.1, 0.3])
        np.testing.assert_array_equal(result.alpha_r, [0.3, 0.7])
        lost = result.diverged_at.sel(gain=1e18).to_numpy()
        assert np.isin(lost[np.isfinite(lost)], tenths).all()
        assert np.isfinite(lost).any()
        assert result.diverged_at.sel(gain=0.5).isnull().all()
    assert job.design.axis("tau_r").columns["tau_r"].tolist() == [0.1 / 0.3, 0.1 / 0.7]
