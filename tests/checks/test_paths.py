"""Paths that a user gives: the home folder, and addresses of other machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from sweep import Integration, Job, Model, SweepError, grid
from sweep.checks.paths import local

SMALL = Job(
    model=Model(units=1),
    design=grid(gain=[1.0, 2.0]),
    integration=Integration(dt=1.0, duration=3.0),
    observe=["r_mean"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user another home folder, and another current one."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_a_store_at_home_is_written_and_opened_there(home: Path) -> None:
    """Run and open mean the same folder, and none is called ~."""
    sweep.run(SMALL, "~/out.zarr", backend="numpy")
    assert (home / "out.zarr" / "zarr.json").is_file()
    assert sweep.open("~/out.zarr").sizes == {"gain": 2, "unit": 1}
    assert not list(Path.cwd().iterdir())


def test_files_at_home_are_found(home: Path) -> None:
    """In Python and in a job file, which has them beside itself otherwise."""
    np.save(home / "u.npy", np.arange(5.0))
    (home / "rows.csv").write_text("gain\n1\n2\n")
    (home / "job.toml").write_text(
        'observe = ["r_mean"]\nmodel = { units = 1 }\nintegration = { dt = 1.0, duration = 3.0 }\n'
        'input = { kind = "samples", file = "~/u.npy", interval = 1.0 }\ndesign.grid = { gain = [1, 2] }\n'
    )
    assert sweep.samples("~/u.npy", 1.0).values.tolist() == [[0, 1, 2, 3, 4]]
    assert sweep.table("point", "~/rows.csv").size == 2
    assert sweep.load("~/job.toml").inputs[0].channels == 1


@pytest.mark.parametrize("address", ["s3://bucket/m.npy", "file:///tmp/m.npy", "memory://m.npy"])
@pytest.mark.parametrize(
    "taken",
    [
        lambda path: sweep.run(SMALL, path),
        sweep.open,
        sweep.load,
        lambda path: sweep.samples(path, 1.0),
        sweep.spikes,
        lambda path: sweep.table("point", path),
    ],
    ids=["run", "open", "load", "samples", "spikes", "table"],
)
@pytest.mark.usefixtures("home")
def test_an_address_is_refused_and_no_folder(address: str, taken: Callable[[Any], object]) -> None:
    """The message says what it is and what to do, and nothing is written."""
    with pytest.raises(SweepError, match=rf"= '{address}': is an address, but must be a path of this machine"):
        taken(address)
    assert not list(Path.cwd().iterdir())


def test_an_address_that_went_through_a_path_is_one_still() -> None:
    """Path keeps only one of its slashes."""
    with pytest.raises(SweepError, match=r"store = 's3:/bucket/m\.zarr': is an address"):
        local("store", Path("s3://bucket/m.zarr"))


def test_a_home_that_is_not_there_is_named() -> None:
    """A folder may be called so, if it is written as one."""
    with pytest.raises(SweepError, match=r"store = '~nobody-here/m\.zarr': ~nobody-here is no home folder here"):
        local("store", "~nobody-here/m.zarr")
    assert local("store", "./~nobody-here/m.zarr") == Path("~nobody-here/m.zarr")
