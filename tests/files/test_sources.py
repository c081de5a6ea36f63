"""Files of numbers: what is read, and that nothing is executed or fetched."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import sweep
from sweep.errors import JobError
from sweep.files import is_resource, read_numbers


def test_package_of_a_resource_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a package's data runs none of its code."""
    package = tmp_path / "explosive"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "times.txt").write_text("1\n2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert read_numbers("explosive:data/times.txt", column=0).tolist() == [1.0, 2.0]
    assert "explosive" not in sys.modules


def test_paths_and_resources_are_told_apart() -> None:
    """A drive letter or a path object is not a package."""
    assert is_resource("nitime:data/x.txt")
    assert not any(map(is_resource, ("data/x.txt", "C:\\data\\x.txt", "./a:b.txt", Path("nitime:data/x.txt"))))


@pytest.mark.parametrize(
    ("suffix", "text"), [(".txt", "1  2\n3 4\n"), (".csv", "1,2\n3,4\n"), (".tsv", "1\t2\n3\t4\n")]
)
def test_rows_of_a_table_are_samples_and_columns_are_channels(tmp_path: Path, suffix: str, text: str) -> None:
    """The extension says how columns are separated, and comments are no data."""
    path = tmp_path / f"table{suffix}"
    path.write_text("# time course\n" + text)
    for file in (path, str(path)):
        assert sweep.samples(file, 1.0).sample(0, 2, 1.0).tolist() == [[1, 3], [2, 4]]
        assert sweep.samples(file, 1.0, column=1).sample(0, 2, 1.0).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("missing.txt", None, r"there is no file 'missing.txt'. Correct the path"),
        ("table.xlsx", None, r"the extension '.xlsx' is not one that is read. Save .*\.csv"),
        ("words.csv", None, r"every entry must be a number, but .*row 2, column 'a' is 'c'.*Mark lines"),
        ("empty.txt", None, r"must hold at least one number"),
        ("objects.npy", None, r"every entry must be a number.*allow_pickle"),
        ("complex.npy", None, r"every entry must be a number.*complex128"),
        ("good.csv", 2, r"column = 2: must be .* below 2. The file 'good.csv' has columns 0 to 1. Choose"),
        ("good.csv", -1, r"column = -1: .*columns 0 to 1"),
        ("good.csv", "x", r"column = 'x': .*has no header. Give the number of a column, 0 to 1"),
        ("line.npy", 0, r"column = 0: .*shape \(3,\) and no columns. Leave column out"),
        ("nosuchpackage:x.txt", None, r"no installed package 'nosuchpackage'.*pip install nosuchpackage"),
        ("math:x.txt", None, r"no installed package 'math'"),
        ("numpy:nosuch.txt", None, r"there is no file '.*nosuch.txt'"),
        ("numpy:../secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:..\\secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:/etc/secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy:C:/secret.txt", None, r"must be relative and stay inside the package"),
        ("numpy.linalg:x.txt", None, r"must be a top-level one. Write 'numpy:linalg/x.txt'"),
    ],
)
def test_bad_file_is_refused_with_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, column: int | str | None, message: str
) -> None:
    """The error names the file, what is wrong with it and the remedy."""
    monkeypatch.chdir(tmp_path)
    Path("words.csv").write_text("a,b\nc,d\n")
    Path("good.csv").write_text("1,2\n3,4\n")
    Path("empty.txt").write_text("# nothing\n")
    np.save("objects.npy", np.array([{}], dtype=object))
    np.save("complex.npy", np.array([1j]))
    np.save("line.npy", np.ones(3))
    with pytest.raises(JobError, match=message):
        read_numbers(source, column)


def test_dotted_package_is_not_located_by_importing_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would import the parent to find a subpackage; we refuse before that."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("parent") is not None
    with pytest.raises(JobError, match="top-level"):
        read_numbers("parent.child:x.txt")
