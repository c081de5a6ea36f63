"""Text tables as people have them: the same numbers whatever wrote the file, and an answer that helps where one is wrong."""

from __future__ import annotations

import gzip
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.files import read_table

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
#: Ways in which programs write a table, as pandas has them.
WAYS: dict[str, dict[str, Any]] = {
    "plain.csv": {},
    "index.csv": {"index": True},
    "semicolons.csv": {"sep": ";"},
    "decimal comma.csv": {"sep": ";", "decimal": ","},
    "tabs.csv": {"sep": "\t"},
    "tabs.tsv": {"sep": "\t"},
    "spaces.txt": {"sep": " "},
    "excel.csv": {"encoding": "utf-8-sig"},
    "utf16.csv": {"encoding": "utf-16"},
    "packed.csv.gz": {"compression": "gzip"},
    "windows.csv": {"lineterminator": "\r\n"},
    "no header.csv": {"header": False},
}


@given(values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5), way=st.sampled_from(list(WAYS)))
@settings(deadline=None)
def test_a_table_is_the_same_whoever_wrote_it(values: list[tuple[float, float]], way: str) -> None:
    """Every number comes back to the last bit, with its column's name, from every kind of file."""
    if way == "decimal comma.csv":
        values = [*values, (0.5, 0.5)]  # which shows that its commas do not separate thousands
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, way)
        frame = pd.DataFrame(np.array(values), columns=["tau_s", "W[0,1]"])
        frame.to_csv(path, **{"index": False, **WAYS[way]})
        table = read_table(path)
    np.testing.assert_array_equal(table.values, np.array(values))
    assert table.names == (None if way == "no header.csv" else ("tau_s", "W[0,1]"))


def test_a_recording_of_a_package_has_its_header() -> None:
    """The fMRI series that nitime ships: 250 volumes of 31 regions, by name; pandas reads the same."""
    spec = importlib.util.find_spec("nitime")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], "data", "fmri_timeseries.csv")
    table, frame = read_table(path), pd.read_csv(path)
    assert table.names == tuple(frame.columns)
    np.testing.assert_allclose(table.values, frame.to_numpy(), rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]], None),
        ("# made by hand\n a , b \n1 , 2 # two\n\n", [[1, 2]], ("a", "b")),
        ("a,b,\n1,2,\n3,4,\n", [[1, 2], [3, 4]], ("a", "b")),
        (",a\nx,1\ny,2\n", [[1], [2]], ("a",)),
        ("a\n1e1\n-.5\n", [[10], [-0.5]], ("a",)),
        ("a,b\r1,2\r", [[1, 2]], ("a", "b")),
        ("a;b\n1,000;0,5\n", [[1, 0.5]], ("a", "b")),
        ("a;b\n0,125;2\n", [[0.125, 2]], ("a", "b")),
    ],
)
def test_what_is_beside_the_numbers_is_left_out(
    tmp_path: Path, text: str, values: list[list[float]], names: tuple[str, ...] | None
) -> None:
    """Comments, blanks, an index, and a comma at the end of each line change nothing."""
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    table = read_table(path)
    np.testing.assert_array_equal(table.values, values)
    assert table.names == names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n3,\n", "row 3, column 'b' is empty"),
        (b"a,b\n1,2\n3,x\n", "row 3, column 'b' is 'x'"),
        (b"1,2\n3,x\n", "row 2, column '1' is 'x'"),
        (b'a\n"1,000"\n', "row 2, column 'a' is '1,000'. Write it without separators of thousands"),
        (b"a\tb\n1,000\t2\n", "'1,000' may be a decimal or have a separator of thousands. Write a point"),
        (b"a;b\n-12,345;2\n1;999,001\n", "'-12,345' may be a decimal"),
        (b"a,b\n1,2,3\n", "Expected 2 fields in line 2, saw 3"),
        (b"a\n\xff\n", "byte 2 is no UTF-8 text. Save the file as UTF-8"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    """The row and the column say where to look."""
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_table(path)


def test_half_a_packed_file_is_said_to_be_one(tmp_path: Path) -> None:
    """A download that broke off is no table."""
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n" * 1000)[:-20])
    with pytest.raises(OSError, match="not a whole"):
        read_table(path)
