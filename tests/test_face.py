"""``import sweep``: what it offers, how little it loads, and what type checkers see of it."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import sweep

#: What takes long to import, and is needed only by those who run, store, sample, read or draw something.
HEAVY = {"dask", "distributed", "matplotlib", "numpy", "pandas", "pydantic", "scipy", "tqdm", "xarray", "zarr"}


def loaded(code: str) -> set[str]:
    """Return which packages a fresh process has loaded at its end."""
    told = "lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    code = f"import atexit, sys; atexit.register({told}); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import sweep; dir(sweep)",
        "import sys; sys.argv = ['sweep', '--help']; from sweep.cli import main; main()",
        "import sys; sys.argv = ['sweep', '--version']; from sweep.cli import main; main()",
    ],
)
def test_the_import_and_the_help_load_nothing_heavy(code: str) -> None:
    """Help and imports do not load libraries that simulate, store or draw."""
    found = loaded(code)
    assert "sweep" in found
    assert found & HEAVY == set()


def test_a_name_loads_what_it_needs_and_no_more() -> None:
    """A job is built without any of what stores or draws its result."""
    found = loaded("import sweep; sweep.Job; sweep.grid; sweep.Model")
    assert "numpy" in found
    assert found & HEAVY == {"numpy"}


def test_every_name_of_the_stub_is_there_and_no_other() -> None:
    """The stub for editors and type checkers lists exactly the public names, each from the module that defines it."""
    stub = Path(sweep.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    listed = {
        alias.name: f"sweep.{node.module}"
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(dir(sweep)) == set(sweep.__all__) == {*listed, "open"}
    for name, module in listed.items():
        assert getattr(sweep, name) is getattr(sys.modules[module], name)
    assert sweep.open is sweep.open_dataset


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="grdi"):
        _ = sweep.grdi


def test_the_version_is_the_one_installed() -> None:
    """Sources that were never installed have a version that no release can have."""
    assert sweep.__version__ == importlib.metadata.version("tausweep")
    code = """
import importlib.metadata
def version(name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = version
import sweep
print(sweep.__version__)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "0+unknown\n", done.stderr


def test_every_error_is_public_and_caught_by_their_base() -> None:
    """Users can catch one base class, or a specific error class."""
    for name in ("JobError", "StoreError", "RunError", "BackendError"):
        assert issubclass(getattr(sweep, name), sweep.SweepError)


# ------------------------------------------------------------------------------------------------------- best and plot


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    """Return a small result with two statistics, a record and a report."""
    job = sweep.Job(
        model=sweep.Model(units=1),
        input=sweep.constant(1.0),
        design=sweep.grid(tau_s=[1.0, 2.0, 4.0], gain=[1.0, 2.0]),
        integration=sweep.Integration(dt=0.5, duration=4.0),
        observe=["r_mean", "r_std", sweep.record("x", every=2)],
        report=sweep.Report(variable="r_std", best="min", x="tau_s", y="gain"),
    )
    return sweep.simulate(job, backend="numpy")


def test_best_is_the_set_that_the_report_says(ds: xr.Dataset) -> None:
    """The report of the job by default, another one if given; the answer has labels, and words."""
    found = sweep.best(ds)
    assert isinstance(found, sweep.BestSet)
    assert (found.variable, found.value) == ("r_std", float(ds.r_std.min()))
    assert found.words().startswith("Best set: r_std = ")
    highest = sweep.best(ds, sweep.Report(variable="r_mean"))
    assert highest.value == float(ds.r_mean.max())
    assert float(ds.r_mean.sel({name: highest.labels[name] for name in ("tau_s", "gain")}).item()) == highest.value


def test_plot_is_a_figure_of_what_is_asked_for(ds: xr.Dataset) -> None:
    """The options are those of the command; what is not given comes from the job's report."""
    figure = sweep.plot(ds)
    assert isinstance(figure, Figure)
    assert "τ_s" in figure.axes[0].get_xlabel()
    turned = sweep.plot(ds, "r_mean", best="max", x="gain", y="tau_s")
    assert "τ_s" in turned.axes[0].get_ylabel()
    (line,) = sweep.plot(ds, x="tau_s", select={"gain": 2}).axes[0].lines[:1]
    assert line.get_ydata() == pytest.approx(ds.r_std.sel(gain=2).to_numpy().squeeze())
    assert sweep.plot(ds, "x").axes[0].get_xlabel() == "time (ms)"
    assert len([axes for axes in sweep.plot(ds, panel="gain").axes if axes.get_title()]) == 2


def test_a_part_of_a_result_can_be_asked_too(ds: xr.Dataset) -> None:
    """What the job's report names and the part no longer has is left out; without its variable there is another."""
    part = ds.sel(gain=2)
    assert sweep.best(part).labels["tau_s"] in ds.tau_s
    assert "τ_s" in sweep.plot(part).axes[0].get_xlabel()
    assert sweep.best(ds[["r_mean", "status"]]).variable == "r_mean"


def test_what_is_no_result_is_refused(ds: xr.Dataset) -> None:
    """A path, a bare variable and a result without status get a message with the remedy."""
    for call in (sweep.best, sweep.plot):
        with pytest.raises(sweep.JobError, match=r"ds is a str: give the xarray.Dataset .* sweep.open"):
            call("out.zarr")
        with pytest.raises(sweep.JobError, match=r"ds has the variables r_mean: .* keep 'status'"):
            call(ds[["r_mean"]])
        with pytest.raises(sweep.JobError, match="ds has the variables status"):
            call(ds[["status"]])


def test_plot_refuses_what_the_command_refuses(ds: xr.Dataset) -> None:
    """Names, ends of ranges and kinds of values, with a suggestion."""
    with pytest.raises(sweep.JobError, match="Did you mean 'r_mean'"):
        sweep.plot(ds, "r_maen")
    with pytest.raises(sweep.JobError, match=r"report.best = 'most' .*max, min"):
        sweep.plot(ds, best="most")
    with pytest.raises(sweep.JobError, match="beyond the values of the result, 1 to 2"):
        sweep.plot(ds, select={"gain": 7})
    with pytest.raises(sweep.JobError, match=r"report.select.gain = '2': it must be a number. Select one from 1 to 2"):
        sweep.plot(ds, select={"gain": "2"})
    assert np.isfinite(sweep.best(ds).value)
