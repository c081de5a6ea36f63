"""Spike trains of several units, from lists, tables, files and MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import io

import sweep
from sweep import Integration, Job, JobError, Model, Target
from sweep.signals.recorded import Spikes
from sweep.spec import encode

TRAINS = [[7.0, 1.0, 2.5], [], [3.0, 3.0]]
SORTED = [[1.0, 2.5, 7.0], [], [3.0, 3.0]]


def trains(signal: Spikes) -> list[list[float]]:
    """Return the times of each train."""
    return [train.tolist() for train in signal.trains]


@given(
    given_trains=st.lists(st.lists(st.floats(0, 49.9), max_size=9), min_size=1, max_size=4),
    window=st.sampled_from([None, 2.0]),
    start=st.sampled_from([0.0, -7.3, 4.0]),
)
def test_each_train_is_a_channel_as_it_is_alone(
    given_trains: list[list[float]], window: float | None, start: float
) -> None:
    """Whatever the others are, and however many spikes it has."""
    together = sweep.spikes(given_trains, window=window, start=start)
    assert together.channels == len(given_trains)
    first = max(0, int(start))
    values = together.sample(first, 40, 1.0)
    for train, row in zip(given_trains, values, strict=True):
        alone = sweep.spikes(train, window=window, start=start)
        np.testing.assert_array_equal(alone.sample(first, 40, 1.0), row[None])


def test_an_empty_train_is_a_train(tmp_path: Path) -> None:
    """Alone, among others, and in a file that says so; a file of nothing is none."""
    assert trains(sweep.spikes([])) == [[]]
    assert trains(sweep.spikes([[], []])) == [[], []]
    assert trains(sweep.spikes(TRAINS)) == SORTED
    for name, text in (("a.txt", "# no spikes\n"), ("b.csv", "time\n"), ("c.csv", "time (s),amplitude\n")):
        (tmp_path / name).write_text(text)
        assert trains(sweep.spikes(tmp_path / name, column="time (s)" if "amplitude" in text else None)) == [[]]
    np.save(tmp_path / "empty.npy", [])
    assert trains(sweep.spikes(tmp_path / "empty.npy")) == [[]]
    (tmp_path / "nothing.txt").write_text("")
    with pytest.raises(JobError, match="must hold at least one number, and holds none"):
        sweep.spikes(tmp_path / "nothing.txt")


def test_one_train_in_a_list_is_stored_as_a_train() -> None:
    """So that jobs from before have their hash; several are read back as they were."""
    assert encode(sweep.spikes([TRAINS[0]]), {}) == encode(sweep.spikes(TRAINS[0]), {})
    assert "sizes" not in encode(sweep.spikes(TRAINS[0]), {})
    job = Job(
        model=Model(units=3),
        target=Target(sweep.spikes(TRAINS, window=5.0)),
        integration=Integration(dt=1.0, duration=20.0),
        observe=["target_mse"],
    )
    again = Job.from_spec(*job.spec())
    assert again.hash == job.hash
    assert isinstance(again.targets[0].signal, Spikes)
    assert trains(again.targets[0].signal) == SORTED
    alone = [job.changed(model=Model(units=1), target=Target(sweep.spikes(train, window=5.0))) for train in TRAINS]
    found = sweep.simulate(job, "numpy").target_mse.to_numpy().ravel()
    expected = [float(sweep.simulate(one, "numpy").target_mse.squeeze()) for one in alone]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the trains in tables, which is the current one."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(
        {"unit": [5, 2, 5, 5, 2], "time": [7.0, 3.0, 1.0, 2.5, 3.0], "amplitude": [0.1, 0.2, 0.3, 0.4, 0.5]}
    )
    frame.to_csv("trains.csv", index=False)
    (frame[["time", "unit"]] * [1e-3, 1]).rename(columns={"time": "time (s)", "unit": "cluster_id"}).to_csv(
        "seconds.tsv", sep="\t", index=False
    )
    frame[["unit", "time"]].to_csv("bare.csv", index=False, header=False)
    np.save("trains.npy", frame[["unit", "time"]].to_numpy())
    io.savemat("spikes.mat", {"left": np.array([7.0, 1.0, 2.5]), "right": [[3.0], [3.0]], "none": np.zeros((1, 0))})
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_table_has_a_column_of_units() -> None:
    """Found by its name or named; units are sorted, or in the order given, where one may have no spikes."""
    two = [SORTED[2], SORTED[0]]
    for signal in [
        sweep.spikes("trains.csv"),
        sweep.spikes("trains.csv", column="time", unit_column="unit"),
        sweep.spikes("trains.csv", unit_column="unit"),
        sweep.spikes("seconds.tsv"),
        sweep.spikes("bare.csv", column=1, unit_column=0),
        sweep.spikes("bare.csv", unit_column=0),
        sweep.spikes("trains.npy", unit_column=0),
        sweep.spikes(pd.read_csv("trains.csv")),
        sweep.spikes(pd.read_csv("trains.csv").astype({"unit": str})),
    ]:
        assert trains(signal) == two
    assert trains(sweep.spikes("trains.csv", units=[5, 3, 2])) == SORTED
    assert trains(sweep.spikes("trains.csv", units=[2])) == [SORTED[2]]
    named = pd.read_csv("trains.csv").replace({"unit": {5: "E", 2: "I"}})
    assert trains(sweep.spikes(named, units=["I", "E"])) == two
    named.to_csv("named.csv")
    assert trains(sweep.spikes("named.csv")) == two[::-1]
    assert trains(sweep.spikes("named.csv", units=["I", "E"])) == two
    assert trains(sweep.spikes("trains.csv", column="time")) == [[1.0, 2.5, 3.0, 3.0, 7.0]]
    assert trains(sweep.spikes(TRAINS, units=[2, 0])) == two


@pytest.mark.usefixtures("folder")
def test_trains_in_arrays_of_matlab_are_rows_or_columns() -> None:
    """As scipy writes them, named."""
    assert trains(sweep.spikes("spikes.mat", column="left")) == [SORTED[0]]
    assert trains(sweep.spikes("spikes.mat", column="right")) == [SORTED[2]]
    assert trains(sweep.spikes("spikes.mat", column="none")) == [[]]


def test_cells_of_matlab_are_trains(tmp_path: Path) -> None:
    """A cell for each unit, which may be empty, as row or column; and what scipy returns of it."""
    cells = np.empty((1, 3), dtype=object)
    cells[0, :] = [np.array([[7.0, 1.0, 2.5]]), np.zeros((0, 0)), np.array([[3.0], [3.0]])]
    io.savemat(tmp_path / "cells.mat", {"spikes": cells, "fs": 1000.0})
    assert trains(sweep.spikes(tmp_path / "cells.mat", column="spikes")) == SORTED
    assert trains(sweep.spikes(tmp_path / "cells.mat", column="spikes", units=[2, 0])) == [SORTED[2], SORTED[0]]
    assert sweep.spikes(tmp_path / "cells.mat", column="spikes", time_unit="s").times.max() == 7000.0
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.array(train) for train in TRAINS]
    assert trains(sweep.spikes(ragged)) == SORTED
    with pytest.raises(JobError, match="its dtype is object"):
        sweep.samples(tmp_path / "cells.mat", 1.0, column="spikes")
    cells[0, 1] = "none"
    io.savemat(tmp_path / "words.mat", {"spikes": cells})
    with pytest.raises(JobError, match=r"words\.mat': every entry must be a number.*dtype is <U"):
        sweep.spikes(tmp_path / "words.mat")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("bare.csv", {}, r"the file 'bare\.csv' has 2 columns. Name the one of times, column = .*unit_column = "),
        ("trains.csv", {"unit_column": "untis"}, r"unit_column = 'untis': .*no such column. Did you mean 'unit'\?"),
        ("trains.csv", {"units": [7, 8]}, r"spikes\.units = \[7, 8\]: .*which has spikes of 2, 5. Name units"),
        ("trains.csv", {"units": []}, r"spikes\.units = \[\]: must be a list of units"),
        ("trains.csv", {"units": 5}, r"spikes\.units = 5: must be a list of units"),
        ("trains.csv", {"units": "5"}, r"spikes\.units = '5': must be a list of units"),
        ("seconds.tsv", {"time_unit": "ms"}, r"time_unit = 'ms', but the header 'time \(s\)' says 's'"),
        (TRAINS, {"units": [3]}, r"spikes\.units = 3: .*below 3. There are 3 trains, counted from 0"),
        (TRAINS, {"unit_column": 0}, r"unit_column = 0 was given, but only a table has columns"),
        ([1.0], {"column": 0}, r"column = 0 was given, but only a table has columns"),
        ([[1.0], [[2.0]]], {}, r"spikes\.times\[1\]: must be a list of times.*\(1, 1\)"),
        ([[1.0], 2.0], {}, r"spikes\.times\[1\]: must be a list of times.*shape \(\)"),
        ([[1.0], ["a"]], {}, r"spikes\.times\[1\] = \['a'\]: must be a number"),
        (np.eye(3), {}, r"spikes\.times: must be a list of times.*\(3, 3\).*list of such lists"),
        ({"a": [1.0], "b": [2.0]}, {}, r"spikes\.times = .*: must be a number or an array"),
        ([[1.0], [9.0]], {"duration": 5.0}, r"spikes\.times: 9 ms is outside of 0 to 5 ms"),
        ([[1.0], [-9.0]], {}, r"spikes\.times: -9 ms is outside of 0 to inf ms"),
    ],
)
def test_what_is_no_train_is_refused(source: Any, options: dict[str, Any], message: str) -> None:
    """The error names the key, the value and the remedy."""
    with pytest.raises(JobError, match=message):
        sweep.spikes(source, **options)


def test_a_table_without_spikes_says_nothing_of_its_units(tmp_path: Path) -> None:
    """Unless they are named."""
    (tmp_path / "none.csv").write_text("unit,time\n")
    with pytest.raises(JobError, match=r"spikes\.units = None: no unit .*Name units"):
        sweep.spikes(tmp_path / "none.csv")
    assert trains(sweep.spikes(tmp_path / "none.csv", units=[1, 2])) == [[], []]


def test_a_job_file_has_several_trains(folder: Path) -> None:
    """As lists, or as a table with units."""
    text = """
observe = ["target_mse"]
[model]
units = 3
[target]
kind = "spikes"
%s
[integration]
dt = 1.0
duration = 10.0
"""
    for keys in (
        "times = [[7.0, 1.0, 2.5], [], [3.0, 3.0]]",
        'file = "trains.csv"\nunits = [5, 3, 2]',
        'file = "bare.csv"\nunit_column = 0\ncolumn = 1\nunits = [5, 3, 2]\ntime_unit = "ms"',
    ):
        (folder / "job.toml").write_text(text % keys)
        signal = sweep.load(folder / "job.toml").targets[0].signal
        assert isinstance(signal, Spikes)
        assert trains(signal) == SORTED


def test_units_are_in_the_order_of_their_numbers_and_each_spike_has_one(tmp_path: Path) -> None:
    """A text among the numbers does not make texts of them, and a spike without a unit is refused."""
    table = tmp_path / "units.csv"
    table.write_text("unit,time (ms)\n2,3\n10,2\n1,1\n10,5\nMUA,99\n")
    assert [train.tolist() for train in sweep.spikes(table).trains] == [[1], [3], [2, 5], [99]]
    assert [train.tolist() for train in sweep.spikes(table, units=["10", 2, "MUA"]).trains] == [[2, 5], [3], [99]]
    table.write_text("unit,time (ms)\n2,3\n,99\n")
    with pytest.raises(JobError, match=r"row 1 of the column of units = .*must be the number or the name of a unit"):
        sweep.spikes(table)
    for units in (["a", None], [1.0, np.nan]):
        with pytest.raises(JobError, match="must be the number or the name of a unit"):
            sweep.spikes(pd.DataFrame({"unit": units, "time": [1.0, 2.0]}))
    with pytest.raises(JobError, match=r"spikes\.units = \['u1'\]"):
        sweep.spikes(pd.DataFrame({"unit": ["u1"], "time": [1.0]}), units=[["u1"]])
