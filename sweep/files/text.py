"""Tables in text files, as people have them: with or without a header, an index column, comments, a byte order mark."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweep.errors import short

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".txt": r"\s+", ".csv": ",", ".tsv": "\t"}
"""What is between the columns of a text file, by its extension."""

#: Byte order marks of UTF-16, which programs that write spreadsheets use.
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class TextColumn:
    """A column that is not all numbers: its entries, ``(row,)``, and which of them is wrong."""

    entries: NDArray[np.object_]
    problem: str


@dataclass(frozen=True)
class Table:
    """Numbers with the names of their columns.

    Attributes
    ----------
    values : ndarray
        ``(row, column)`` float64.
    names : tuple of str or None
        A name for each column; None if the file has none.
    texts : mapping of int to TextColumn
        Columns that are not all numbers, by their numbers; their values are NaN.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...] | None
    texts: Mapping[int, TextColumn] = field(default_factory=dict)


def read_table(path: Path) -> Table:
    """Read a text file, all of whose columns must be numbers; see :func:`read_columns`.

    Raises
    ------
    ValueError
        If an entry is missing or is not a number. The message names its row and column.
    OSError
        If the file cannot be read.
    """
    table = read_columns(path)
    for text in table.texts.values():
        raise ValueError(text.problem)
    return table


def read_columns(path: Path) -> Table:
    """Read a text file, of whose columns some may be no numbers.

    A first row that is not all numbers is a header. A first column without a name, as pandas writes its index, is left out,
    and so is a last one that is empty. ``#`` begins a comment. In a .csv file that separates columns by semicolons, or by
    tabs, a comma is a decimal sign, unless all of them may separate thousands: that is refused.

    Parameters
    ----------
    path : path
        The extension says what separates the columns, as :data:`SEPARATORS` has it, or else commas; ``.gz`` is unpacked.

    Raises
    ------
    ValueError
        If the rows are not a table, or if a comma may be a decimal sign or separate thousands.
    OSError
        If the file cannot be read.
    """
    text = _decoded(path)
    kind = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    cells, comma = _cells(text, kind)
    if cells.empty:
        return Table(np.empty((0, 0)), None)
    first = [str(cell).strip() for cell in cells.iloc[0].fillna("")]
    names = None if all(_is_number(cell, comma) for cell in first) else first
    if names is not None:
        cells = cells.iloc[1:]
    kept = range(cells.shape[1])
    if names is not None:
        unnamed_index = names[0] == "" and len(names) > 1
        kept = range(int(unnamed_index), len(names) - (names[-1] == "" and bool(cells.iloc[:, -1].isna().all())))
    if comma:
        _refuse_ambiguous(cells)
    columns, texts = [], {}
    for number, k in enumerate(kept):
        values, problem = _numbers(cells.iloc[:, k], names[k] if names else str(k), comma, names is not None)
        columns.append(values)
        if problem is not None:
            entries = cells.iloc[:, k].fillna("").str.strip().to_numpy(dtype=object)
            texts[number] = TextColumn(entries, problem)
    if texts and names is not None and any(_is_number(names[k], comma) for k in kept):
        # Its first row is data: as a header it would be lost.
        raise ValueError(next(iter(texts.values())).problem + " If the first row is no header, give the file one.")
    table = np.stack(columns, axis=1) if columns else np.empty((0, 0))
    return Table(table, tuple(names[k] for k in kept) if names else None, texts)


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except EOFError as error:
            raise OSError(f"it is not a whole .gz file: {error}") from None
    try:
        return raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8 text. Save the file as UTF-8.") from None


def _cells(text: str, kind: str) -> tuple[pd.DataFrame, bool]:
    """Return all entries as text, and whether a comma in them is a decimal sign."""
    # Imported here, because importing pandas is slow.
    import io

    import pandas as pd

    separator = SEPARATORS.get(kind, ",")
    line = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    if separator == "," and ";" in line:
        separator = ";"
    elif separator == "," and "\t" in line:
        separator = "\t"
    try:
        # Everything is read as text, because float() rounds exactly, and pandas does not. The names are read as a normal row,
        # because pandas would rename doubles.
        cells = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype=str,
            comment="#",
            skipinitialspace=True,
            na_values=[""],
            keep_default_na=False,
        )
    except pd.errors.EmptyDataError:
        cells = pd.DataFrame()
    return cells, separator in (";", "\t") and kind not in (".tsv", ".txt")


def _refuse_ambiguous(cells: pd.DataFrame) -> None:
    """Raise ValueError if every comma may separate thousands: 1,000 may be one or a thousand; 0,5 shows what is meant."""
    with_comma = [cell.strip() for cell in cells.to_numpy().ravel() if isinstance(cell, str) and "," in cell]
    if with_comma and all(_THOUSANDS.fullmatch(cell) for cell in with_comma):
        raise ValueError(
            f"{short(with_comma[0])} may be a decimal or have a separator of thousands. Write a point for decimals."
        )


def _is_number(cell: str, comma: bool) -> bool:
    try:
        float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return False
    return True


def _numbers(column: pd.Series[str], name: str, comma: bool, header: bool) -> tuple[NDArray[np.float64], str | None]:
    """Return a column as numbers, each rounded exactly; and what is wrong if one is none, when all are NaN."""
    if comma:
        column = column.str.replace(",", ".", regex=False)
    try:
        values = column.to_numpy(dtype=object).astype(np.float64)
    except ValueError:
        values = np.full(len(column), np.nan)
    if np.isnan(values).any():
        for row, cell in enumerate(column, start=1 + header):
            missing = not isinstance(cell, str)
            if missing or not _is_number(cell, False):
                what = "is empty" if missing else f"is {short(cell)}"
                hint = (
                    " Write it without separators of thousands." if not missing and _THOUSANDS.fullmatch(cell) else ""
                )
                return np.full(len(column), np.nan), f"row {row}, column {name!r} {what}.{hint}"
    return values, None
