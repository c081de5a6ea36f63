"""A store written by an earlier version still opens, resumes and gives the same numbers.

The file beside this module holds a store of the first format, which version 0.1.0 wrote. Its job has every kind of part:
all signals as an ensemble, three targets, a grid times a sample times rows times replicates, a record, a report.
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
    """Unpack the store."""
    with zipfile.ZipFile(Path(__file__).with_name("store_format_1.zip")) as packed:
        packed.extractall(tmp_path)
    return tmp_path / "format_1.zarr"


def assert_close(result: xr.Dataset, expected: xr.Dataset) -> None:
    """Compare every variable and every coordinate."""
    assert set(result.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert result[name].dims == variable.dims, name
        if variable.dtype.kind in "fiu":
            np.testing.assert_allclose(result[name], variable, err_msg=str(name), **TOLERANCE)
        else:
            np.testing.assert_array_equal(result[name], variable, err_msg=str(name))


def test_it_opens(earlier: Path) -> None:
    """All sets are ok and all numbers finite; the stored hash is that of the job as it is read today."""
    result = sweep.open(earlier)
    assert dict(result.sizes) == {
        **{"stimulus": 7, "point": 4, "pair": 2, "replicate": 2},
        **{"unit": 2, "recorded_unit": 1, "time": 4, "target": 3, "lag": 2},
    }
    assert (result.status == 1).all()
    for name in ("r_mean", "x_final", "target_correlation", "target_mse", "r"):
        assert np.isfinite(result[name]).all(), name
    assert result.attrs["tausweep_format"] == 1
    assert result.attrs["job_hash"] == Store(earlier).job.hash


def test_its_job_gives_the_stored_numbers(earlier: Path) -> None:
    """Simulated again from what the store says of it, every set has the same results and labels."""
    assert_close(sweep.simulate(Store(earlier).job, backend="numpy"), sweep.open(earlier))


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
