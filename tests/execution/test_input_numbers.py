"""A sweep over numbers of the input from a file to the picture: job file, plan, store, labels, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.jobs import assert_same

import sweep
from sweep import Integration, Job, Model, grid, sine, sobol, zipped
from sweep.errors import JobError
from sweep.jobfile.read import schema
from sweep.results.store import Store

FREQUENCIES = [1.0, 5.0, 25.0, 125.0]

TEXT = """
observe = ["r_std"]
model = { units = 1, activation = "linear", parameters = { tau_r = 2.0 } }
input = { kind = "sine", amplitude = 2.0 }
integration = { dt = 1.0, duration = 2000.0, transient = 1000.0, precision = "float64" }
report = { variable = "r_std", best = "min", x = "input_frequency", y = "tau_s" }

[design.grid]
input_frequency = [1.0, 5.0, 25.0, 125.0]
tau_s = { geomspace = [2.0, 32.0, 5] }
"""


def job(design: sweep.Design, **changes: Any) -> Job:
    """Return the job of the file with a design."""
    parts: dict[str, Any] = {
        "model": Model(units=1, activation="linear", parameters={"tau_r": 2.0}),
        "input": sine(amplitude=2.0),
        "design": design,
        "integration": Integration(dt=1.0, duration=2000.0, transient=1000.0, precision="float64"),
        "observe": ["r_std"],
    }
    return Job(**(parts | changes))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a job file."""
    path = tmp_path / "job.toml"
    path.write_text(TEXT)
    return path


def test_a_file_is_the_same_job(file: Path) -> None:
    """Its hash is that of the job in Python."""
    assert sweep.load(file).hash == job(grid(input_frequency=FREQUENCIES, tau_s=np.geomspace(2, 32, 5))).hash


@pytest.mark.parametrize(
    ("design", "same"),
    [
        (
            'sobol = { n = 8, seed = 1, ranges = { input_frequency = [1.0, 100.0, "log"], tau_s = [2.0, 9.0] } }',
            "sobol",
        ),
        ("[design.zipped.pair]\ninput_frequency = [1.0, 5.0]\ninput_phase = [0.0, 1.5]", "zipped"),
        ('[design.table.row]\nfile = "rows.csv"', "table"),
    ],
)
def test_every_design_of_a_file_takes_them(tmp_path: Path, design: str, same: str) -> None:
    """Samples, tables and what varies together, as in Python."""
    (tmp_path / "rows.csv").write_text("input_frequency,input_offset\n1,0.5\n7,0.1\n")
    path = tmp_path / "job.toml"
    head = TEXT.partition("report")[0]
    path.write_text(head + (design if design.startswith("[") else f"[design]\n{design}"))
    made = {
        "sobol": lambda: sobol(8, seed=1, input_frequency=(1.0, 100.0, "log"), tau_s=(2.0, 9.0)),
        "zipped": lambda: zipped("pair", input_frequency=[1.0, 5.0], input_phase=[0.0, 1.5]),
        "table": lambda: zipped("row", input_frequency=[1.0, 7.0], input_offset=[0.5, 0.1]),
    }[same]()
    assert sweep.load(path).hash == job(made).hash


def test_a_file_with_a_wrong_name_or_value_says_where(file: Path) -> None:
    """The key of the file is named."""
    for old, new, told in (
        ("input_frequency = [1.0", "input_freqency = [1.0", r"design\.grid.*Did you mean 'input_frequency'"),
        ("input_frequency = [1.0", "input_frequency = [900.0", r"input_frequency = 900: .*at most 500 Hz"),
        ("tau_r = 2.0 }", "input_phase = 2.0 }", r"model.*input_phase: it is a number of the input"),
    ):
        file.write_text(TEXT.replace(old, new).replace('x = "input_frequency", ', ""))
        with pytest.raises(JobError, match=told):
            sweep.load(file)


def test_the_schema_knows_them_where_a_design_is_written() -> None:
    """An editor completes and explains them in designs, and not among the parameters of a model."""
    tables = schema()["$defs"]
    assert "frequency of the input [Hz]" in str(tables["DesignTable"])
    assert "tau_s" in str(tables["ModelTable"]["properties"]["parameters"])
    assert "input_frequency" not in str(tables["ModelTable"]["properties"]["parameters"])


def test_the_result_is_labelled_and_drawn(file: Path) -> None:
    """Coordinates have units and long names, a best set is found by them, and the map has them as its axes."""
    loaded = sweep.load(file)
    assert sweep.plan(loaded).shape == {"input_frequency": 4, "tau_s": 5}
    result = sweep.simulate(loaded)
    assert result.r_std.dims == ("input_frequency", "tau_s", "unit")
    assert result.input_frequency.attrs == {"units": "Hz", "long_name": "frequency of the input"}
    assert result.r_std.sel(input_frequency=25.0, tau_s=2.0).item() < result.r_std.sel(input_frequency=1.0, tau_s=2.0)
    words = sweep.best(result).words()
    assert "input_frequency = 125 Hz" in words
    assert "upper end of input_frequency" in words
    axes = sweep.plot(result).axes[0]
    assert axes.get_xlabel() == "frequency of the input (Hz)"
    assert axes.get_ylabel().startswith("time constant of the synaptic current")


def test_a_store_goes_on_where_it_stopped(path: Path) -> None:
    """Blocks that are missing are computed again to the bit, also by another part of a sampled design."""
    one = job(sobol(64, seed=1, input_frequency=(1.0, 100.0), tau_s=(2.0, 40.0)), sets_per_block=5)
    whole = sweep.run(one, path).load()
    store = Store(path)
    for number in (0, 3, 12):
        store.discard(store.job.blocks[number])
    assert (sweep.open(path).status == 0).sum() == 14
    assert_same(sweep.run(one, path).load().drop_attrs(), whole.drop_attrs())
    other = sweep.simulate(one.changed(sets_per_block=None))
    np.testing.assert_array_equal(other.r_std, whole.r_std)
    assert whole.input_frequency.dims == ("point",)


def test_another_input_is_another_job() -> None:
    """What is swept is part of the hash, and so is the rest of the input."""
    swept = grid(input_frequency=FREQUENCIES)
    hashes = {job(swept).hash, job(grid(input_phase=FREQUENCIES)).hash, job(swept, input=sine(amplitude=3.0)).hash}
    assert len(hashes) == 3
