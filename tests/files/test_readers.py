"""Arrays from files: every format gives what was saved, and an array and its file mean the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

import sweep
from sweep.errors import JobError
from sweep.files import read_numbers

VALUES = np.random.default_rng(0).normal(size=(3, 4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a file of each kind, which is the current one."""
    monkeypatch.chdir(tmp_path)
    np.save("array.npy", VALUES)
    np.savez("one.npz", rates=VALUES)
    np.savez("two.npz", rates=VALUES, times=np.arange(4.0))
    np.savez("objects.npz", rates=np.array([{}], dtype=object))
    io.savemat("one.mat", {"rates": VALUES})
    io.savemat("two.mat", {"rates": VALUES, "times": np.arange(4.0)})
    io.savemat("words.mat", {"rates": "high"})
    io.mmwrite("matrix.mtx", sparse.coo_array(VALUES * (VALUES > 0)))
    Path("named.csv").write_text("time,left,right\n0,1,2\n1,3,4\n")
    Path("doubles.csv").write_text("a,a\n1,2\n")
    Path("bare.csv").write_text("1,2\n3,4\n")
    Path("newer.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF".ljust(600))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_every_format_gives_what_was_saved() -> None:
    """To the last bit, for the only array of a file and for one that is named."""
    for file, name in [
        ("array.npy", None),
        ("one.npz", None),
        ("one.mat", None),
        ("two.npz", "rates"),
        ("two.mat", "rates"),
    ]:
        np.testing.assert_array_equal(read_numbers(file, name), VALUES)
    np.testing.assert_array_equal(read_numbers("matrix.mtx"), VALUES * (VALUES > 0))


@pytest.mark.usefixtures("folder")
def test_a_column_is_called_by_its_number_or_its_name() -> None:
    """Both name the same numbers, in Python and for a signal."""
    np.testing.assert_array_equal(read_numbers("named.csv", "right"), [2.0, 4.0])
    np.testing.assert_array_equal(read_numbers("named.csv", 2), [2.0, 4.0])
    np.testing.assert_array_equal(sweep.samples("named.csv", 1.0, column="left").values, [[1.0, 3.0]])
    np.testing.assert_array_equal(sweep.spikes("named.csv", column="left").times, [1.0, 3.0])


@pytest.mark.parametrize("name", ["time", "t", "Time (ms)", "t_s", "TIMES"])
def test_a_column_of_times_does_not_become_a_channel_unsaid(folder: Path, name: str) -> None:
    """All columns are channels unless one is named; of one that is called time the user is told."""
    (folder / "timed.csv").write_text(f"{name},v\n0,5\n1,6\n")
    with pytest.warns(UserWarning, match=r"its column '.*' is read as values, .* Name the column .* time_column = ..."):
        assert sweep.samples("timed.csv", 1.0).values.tolist() == [[0.0, 1.0], [5.0, 6.0]]
    assert sweep.samples("timed.csv", 1.0, column="v").values.tolist() == [[5.0, 6.0]]
    (folder / "untimed.csv").write_text("tone,v\n0,5\n1,6\n")
    assert sweep.samples("untimed.csv", 1.0).channels == 2
    (folder / "times.csv").write_text(f"{name}\n0\n1\n")
    assert sweep.spikes("times.csv").times.tolist() == [0.0, 1000.0 if name == "t_s" else 1.0]


@pytest.mark.parametrize("column", ["2", '"right"'])
def test_a_job_file_names_a_column_in_both_ways(folder: Path, column: str) -> None:
    """A number or a text; the job is that of Python."""
    text = f"""
observe = ["r_mean"]
[model]
units = 1
[input]
kind = "samples"
file = "named.csv"
interval = 1.0
column = {column}
[integration]
dt = 1.0
duration = 2.0
"""
    (folder / "job.toml").write_text(text)
    job = sweep.load(folder / "job.toml")
    assert job.inputs[0].sample(0, 2, 1.0).tolist() == [[2.0, 4.0]]
    (folder / "job.toml").write_text(text.replace(f"column = {column}", "column = 1.5"))
    with pytest.raises(
        JobError, match=r"input\.column = 1\.5: must be the number of a column|input\.column.*whole number"
    ):
        sweep.load(folder / "job.toml")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("named.csv", "rihgt", r"column = 'rihgt': .*no such column. Did you mean 'right'\?"),
        ("doubles.csv", "a", r"column = 'a': .*2 columns of that name"),
        ("bare.csv", "a", r"column = 'a': .*has no header. Give the number of a column, 0 to 1"),
        ("named.csv", 3, r"column = 3: .*columns 0 to 2"),
        ("two.npz", None, r"it holds the arrays rates, times. Say which one is meant"),
        ("two.mat", "rats", r"column = 'rats': .*no such array. Did you mean 'rates'\?"),
        ("objects.npz", None, r"every entry must be a number.*allow_pickle"),
        ("words.mat", None, r"every entry must be a number.*dtype"),
        ("newer.mat", None, r"version 7\.3. Save it with save"),
        ("table.xlsx", None, r"the extension '.xlsx' is not one that is read. Save .*\.mat"),
    ],
)
def test_what_cannot_be_read_says_why(source: str, column: int | str | None, message: str) -> None:
    """The error names the file, what is wrong and the remedy."""
    with pytest.raises(JobError, match=message):
        read_numbers(source, column)
