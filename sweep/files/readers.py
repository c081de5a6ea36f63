"""Numbers from files: text tables, NumPy's arrays, MATLAB's, and matrices. Nothing that is read is ever executed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt
from numpy.typing import NDArray

from sweep.checks import whole
from sweep.checks.caution import warn
from sweep.errors import JobError, suggest
from sweep.files.sources import Source, located
from sweep.files.text import SEPARATORS, Table, read_columns

Column = int | str
"""A column of a table: its number, counted from 0, or its name. In a file of named arrays, the name of one."""

TIME = re.compile(r"(?:t|times?)(?:(?:[ _]?[\[(]|[ _])(?P<unit>us|ms|s|sec|seconds)[\])]?)?", re.IGNORECASE)
"""How a header calls a column of times, perhaps with a unit."""

#: Headers that may mean times in a unit that is not known here.
_PERHAPS_TIME = re.compile(r"time.*|t[ _]?[\[(].*", re.IGNORECASE)

_ARRAYS = (".npz", ".mat")
EXTENSIONS = (*SEPARATORS, ".npy", *_ARRAYS, ".mtx")
"""Extensions of files that can be read; text may be packed as ``.gz``."""


def read(source: Source, name: Column | None = None, empty: bool = False) -> Table | NDArray[np.float64]:
    """Read what a file holds: a table, or an array.

    Parameters
    ----------
    source : str or path
        Text (``.csv``, ``.tsv``, or ``.txt`` with columns separated by white space; see
        :func:`sweep.files.text.read_columns`), perhaps packed as ``.gz``; ``.npy``; named arrays in ``.npz`` or ``.mat``
        (up to version 7.2); a matrix in ``.mtx``. Or a package resource ``package:relative/path`` of such a name.
    name : str, optional
        The name of the array in a file of named arrays that has several. It is not used for other files.
    empty : bool
        Whether the file may hold no number; a text file then still needs a header or a comment.

    Returns
    -------
    Table or array of float64
        A table from a text file, of whose columns some may be texts; for arrays the shape that was saved.

    Raises
    ------
    JobError
        If the file or its package is missing, or if it does not hold numbers.
    """
    kind = _kind(Path(source))
    if kind not in EXTENSIONS:
        raise JobError(
            f"file {str(source)!r}: the extension {kind!r} is not one that is read. "
            f"Save the numbers as one of {', '.join(EXTENSIONS)}."
        )
    path = located(source)
    try:
        if kind in SEPARATORS:
            found: Table | NDArray[np.float64] = read_columns(path)
        elif kind in _ARRAYS:
            found = _real(_named(source, _arrays(path, kind), name))
        else:
            found = _real(_saved(path, kind))
    except JobError:
        raise
    except (OSError, ValueError) as error:
        raise JobError(unreadable(f"file {str(source)!r}", error)) from error
    nothing = (found.values if isinstance(found, Table) else found).size == 0
    if nothing and not (empty and path.stat().st_size):
        raise JobError(f"file {str(source)!r}: it must hold at least one number, and holds none. Choose another file.")
    return found


def read_cells(source: Source, name: Column | None = None) -> list[NDArray[np.float64]] | None:
    """Read a cell array of MATLAB: an array of numbers from each of its cells, in one dimension.

    Parameters
    ----------
    source : str or path
        The file.
    name : str, optional
        The name of the array, if the file has several.

    Returns
    -------
    list of array of float64, or None
        None if the file is no ``.mat`` file, or if the array is none of cells.

    Raises
    ------
    JobError
        If the file is missing, has no such array, or a cell does not hold numbers.
    """
    kind = _kind(Path(source))
    if kind != ".mat":
        return None
    try:
        cells = _named(source, _arrays(located(source), kind), name)
        return [_real(cell).ravel() for cell in cells.ravel()] if cells.dtype.kind == "O" else None
    except JobError:
        raise
    except (OSError, ValueError) as error:
        raise JobError(unreadable(f"file {str(source)!r}", error)) from error


def read_numbers(source: Source, column: Column | None = None) -> NDArray[np.float64]:
    """Read an array of numbers from a file; see :func:`read`.

    Parameters
    ----------
    source : str or path
        The file.
    column : int or str, optional
        The only column to return, by its number, counted from 0, or by its name in a header. In a file of named arrays, the
        name of the array.

    Returns
    -------
    array of float64
        (row,) if a column of a table is given, else (row, column); for arrays the shape that was saved.

    Raises
    ------
    JobError
        If the file or its package is missing, if it does not hold numbers, or if it has no such column.
    """
    found = read(source, column)
    if _kind(Path(source)) in _ARRAYS and isinstance(found, np.ndarray):
        return found
    table = found if isinstance(found, Table) else Table(found, None)
    whose = f"the file {str(source)!r}"
    kept = None if column is None else number_of(whose, table, column)
    for number in table.texts if kept is None else table.texts.keys() & {kept}:
        raise JobError(unreadable(whose, table.texts[number].problem))
    if kept is not None:
        return np.ascontiguousarray(table.values[:, kept])
    warn_of_times(whose, table.names)
    return table.values


def unreadable(whose: str, problem: object) -> str:
    """Return the message about a file that does not hold numbers where it should."""
    return (
        f"{whose}: every entry must be a number, but reading failed: {problem} "
        f"Mark lines that are not data with '#', see that the columns are separated as the extension says, or name the column "
        "that is meant."
    )


def warn_of_times(whose: str, names: Sequence[str] | None) -> None:
    """Warn of a column of times that is read as values."""
    for name in names if names is not None and len(names) > 1 else ():
        if TIME.fullmatch(name) or _PERHAPS_TIME.fullmatch(name):
            warn(
                f"{whose}: its column {name!r} is read as values, like the others, and not as times. Name the column that "
                "is meant: column = ..., or of a recording time_column = ..."
            )


def _kind(path: Path) -> str:
    """Return the extension of what a file holds: of ``a.csv.gz`` it is ``.csv``."""
    packed = path.suffix.lower() == ".gz" and path.with_suffix("").suffix.lower() in SEPARATORS
    return (path.with_suffix("") if packed else path).suffix.lower()


def _saved(path: Path, kind: str) -> Any:
    if kind == ".npy":
        return np.load(path, allow_pickle=False)
    from scipy.io import mmread  # imported here, because it is slow

    matrix = mmread(path)
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def _arrays(path: Path, kind: str) -> Mapping[str, Any]:
    """Return the arrays of a file by their names."""
    if kind == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    from scipy.io import loadmat  # imported here, because it is slow

    try:
        content = loadmat(path, appendmat=False)
    except NotImplementedError:
        raise ValueError("it has MATLAB's version 7.3. Save it with save(..., '-v7').") from None
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _named(source: Source, arrays: Mapping[str, Any], name: Column | None) -> Any:
    """Return one of the arrays of a file; without a name the only one."""
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name is None:
        raise JobError(
            f"file {str(source)!r}: it holds the arrays {', '.join(arrays)}. Say which one is meant: column = 'NAME'."
        )
    if name not in arrays:
        raise JobError(f"column = {name!r}: the file {str(source)!r} has no such array. {suggest(str(name), arrays)}")
    return arrays[str(name)]


def _real(saved: Any) -> NDArray[np.float64]:
    array = np.asarray(saved)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"its dtype is {array.dtype}.")
    return np.asarray(array, dtype=np.float64)


def number_of(whose: str, table: Table, column: Column, key: str = "column") -> int:
    """Return the number of a column, counted from 0.

    Parameters
    ----------
    whose : str
        What has the columns, in words.
    table : Table
        The table, or a table without names whose values are an array of any shape.
    column : int or str
        The number of a column, or its name.
    key : str
        The argument that names it, for the message.

    Raises
    ------
    JobError
        If there is no such column, or if there are several.
    """
    if table.values.ndim != 2:
        raise JobError(
            f"{key} = {column!r}: {whose} has the shape {table.values.shape} and no columns. Leave {key} out."
        )
    count = table.values.shape[1]
    if isinstance(column, str):
        if table.names is None:
            raise JobError(f"{key} = {column!r}: {whose} has no header. Give the number of a column, 0 to {count - 1}.")
        if table.names.count(column) != 1:
            same = table.names.count(column)
            problem = f"{same} columns of that name" if same else "no such column"
            raise JobError(f"{key} = {column!r}: {whose} has {problem}. {suggest(column, table.names)}")
        return table.names.index(column)
    remedy = f"{whose[0].upper()}{whose[1:]} has columns 0 to {count - 1}. Choose one of these."
    return whole(key, column, Annotated[int, Ge(0), Lt(count)], remedy)
