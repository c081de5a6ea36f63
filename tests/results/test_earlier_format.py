"""A store written by an earlier version still opens, resumes and gives the same numbers.

The files beside this module hold two stores of the first format, which version 0.1.0 wrote. Their job has every kind of part:
all signals as an ensemble, three targets, a grid times a sample times rows times replicates, a record, a report. In the one
all targets have a value for every step. In the other a target has one for every second step; it was held in between.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from support.stores import chunk, tree

import sweep
from sweep.design.axes import HeldAxis
from sweep.errors import StoreError
from sweep.results.store import Store

#: The NumPy back end's; another machine may round otherwise.
TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Unpack the store whose targets have a value for every step."""
    return unpacked("store_format_1_every_step.zip", tmp_path)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """Unpack the store one of whose targets was held."""
    return unpacked("store_format_1.zip", tmp_path / "held")


def unpacked(name: str, path: Path) -> Path:
    """Unpack a store."""
    with zipfile.ZipFile(Path(__file__).with_name(name)) as packed:
        packed.extractall(path)
    return path / "format_1.zarr"


def assert_close(result: xr.Dataset, expected: xr.Dataset) -> None:
    """Compare every variable and every coordinate."""
    assert set(result.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert result[name].dims == variable.dims, name
        if variable.dtype.kind in "fiu":
            np.testing.assert_allclose(result[name], variable, err_msg=str(name), **TOLERANCE)
        else:
            np.testing.assert_array_equal(result[name], variable, err_msg=str(name))


def test_they_open(earlier: Path, held: Path) -> None:
    """All sets are ok and all numbers finite; the stored hash is that of the job as it is read today."""
    for path in (earlier, held):
        _assert_opens(path)
    assert sweep.open(earlier).attrs["job_hash"] == Store(earlier).job.hash


def _assert_opens(path: Path) -> None:
    result = sweep.open(path)
    assert dict(result.sizes) == {
        **{"stimulus": 7, "point": 4, "pair": 2, "replicate": 2},
        **{"unit": 2, "recorded_unit": 1, "time": 4, "target": 3, "lag": 2},
    }
    assert (result.status == 1).all()
    for name in ("r_mean", "x_final", "target_correlation", "target_mse", "r"):
        assert np.isfinite(result[name]).all(), name
    assert result.attrs["tausweep_format"] == 1


def test_its_job_gives_the_stored_numbers(earlier: Path) -> None:
    """Simulated again from what the store says of it, every set has the same results and labels."""
    assert_close(sweep.simulate(Store(earlier).job, backend="numpy"), sweep.open(earlier))


def test_what_was_held_is_compared_where_it_was_measured(held: Path) -> None:
    """So its comparisons with that target have other numbers today, all else has the same, and no run goes on in the store."""
    stored, job = sweep.open(held), Store(held).job
    today = sweep.simulate(job, backend="numpy")
    compared = ["target_correlation", "target_mse"]
    assert_close(today.drop_vars(compared), stored.drop_vars(compared))
    assert_close(today[compared].isel(target=[1, 2]), stored[compared].isel(target=[1, 2]))
    assert not np.isclose(today.target_mse.isel(target=0), stored.target_mse.isel(target=0)).all()
    before = tree(held)
    with pytest.raises(StoreError, match=r"computed other results for it .* Choose another path"):
        sweep.run(job, held, backend="numpy")
    assert tree(held) == before


def test_a_run_goes_on_in_it(earlier: Path) -> None:
    """A block that is missing is computed and nothing else is written again."""
    expected, job = sweep.open(earlier).load(), Store(earlier).job
    chunk(earlier, "status", 1, 0, 0, 0).unlink()
    assert (sweep.open(earlier).status == 0).sum() == job.blocks[1].size
    before = {path: path.stat().st_mtime_ns for path in tree(earlier) if path.is_file()}
    assert_close(sweep.run(job, earlier, backend="numpy"), expected)
    assert_close(sweep.open(earlier), expected)
    written = [path.relative_to(earlier).parts for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert {name for name, *folder in written if folder[:2] == ["c", "1"]} >= {"r_mean", "x_final", "target_mse", "r"}
    assert {parts[2] for parts in written if parts[1:2] == ("c",)} == {"1"}


def test_a_store_whose_results_would_differ_today_does_not_go_on(tmp_path: Path) -> None:
    """An input faster than the steps was once picked, not averaged: such a store has another hash, and is left untouched."""
    job = sweep.Job(
        model=sweep.Model(units=1),
        input=sweep.samples([0.0, 1.0, 0.0, 1.0], interval=0.5),
        design=sweep.grid(gain=[1.0, 2.0]),
        integration=sweep.Integration(dt=1.0, duration=2.0),
        observe=["r_mean"],
    )
    path = tmp_path / "picked.zarr"
    sweep.run(job, path, backend="numpy")
    sweep.run(job, path, backend="numpy")
    then = {key: value for key, value in job.identity().items() if key != "inputs"}
    assert len(then) == len(job.identity()) - 1
    was = hashlib.sha256(json.dumps(then, sort_keys=True).encode()).hexdigest()
    (path / "zarr.json").write_text((path / "zarr.json").read_text().replace(job.hash, was))
    before = tree(path)
    with pytest.raises(StoreError, match=r"computed other results for it .* Choose another path"):
        sweep.run(job, path, backend="numpy")
    assert tree(path) == before
    slow = job.changed(input=sweep.samples([0.0, 1.0], interval=1.0))
    assert "inputs" not in slow.identity()


def test_a_store_whose_values_have_rounding_errors_goes_on(tmp_path: Path) -> None:
    """Its axis has 0.30000000000000004, which is 0.3 in the same job today: the store keeps its values, and is continued."""
    values = np.linspace(0, 1, 11)
    parts = {
        "model": sweep.Model(units=2, parameters={"noise": 0.1}),
        "integration": sweep.Integration(dt=1.0, duration=5.0),
        "observe": ["x_final"],
        "sets_per_block": 4,
    }
    then = sweep.Job(design=sweep.Design((HeldAxis("gain", {"gain": values}),)), **parts)
    now = sweep.Job(design=sweep.grid(gain=values), **parts)
    assert then.hash != now.hash
    expected = sweep.run(then, tmp_path / "out.zarr", backend="numpy").load()
    chunk(tmp_path / "out.zarr", "status", 1).unlink()
    found = sweep.run(now, tmp_path / "out.zarr", backend="numpy")
    np.testing.assert_array_equal(found.gain, values)
    np.testing.assert_array_equal(found.x_final, expected.x_final)
    with pytest.raises(StoreError, match=r"another job(?s:.*)design"):
        sweep.run(now.changed(design=sweep.grid(gain=values[1:])), tmp_path / "out.zarr", backend="numpy")
