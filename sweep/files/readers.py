"""Numbers from files: text tables, NumPy's arrays, MATLAB's, and matrices. Nothing that is read is ever executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt
from numpy.typing import NDArray

from sweep.checks import whole
from sweep.checks.caution import warn
from sweep.errors import JobError, suggest
from sweep.files.sources import Source, located
from sweep.files.text import SEPARATORS, read_table

Column = int | str
"""A column of a table: its number, counted from 0, or its name. In a file of named arrays, the name of one."""

#: How a header calls a column of times, perhaps with a unit.
_TIME = re.compile(r"(?:t|times?)(?:[ _]?[\[(]?(?:us|ms|s|sec|seconds)[\])]?)?", re.IGNORECASE)
_ARRAYS = (".npz", ".mat")
EXTENSIONS = (*SEPARATORS, ".npy", *_ARRAYS, ".mtx")
"""Extensions of files that can be read; text may be packed as ``.gz``."""


def read_numbers(source: Source, column: Column | None = None) -> NDArray[np.float64]:
    """Read an array of numbers from a file.

    Parameters
    ----------
    source : str or path
        Text (``.csv``, ``.tsv``, or ``.txt`` with columns separated by white space; see
        :func:`sweep.files.text.read_table`), perhaps packed as ``.gz``; ``.npy``; named arrays in ``.npz`` or ``.mat``
        (up to version 7.2); a matrix in ``.mtx``. Or a package resource ``package:relative/path`` of such a name.
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
    kind = _kind(Path(source))
    if kind not in EXTENSIONS:
        raise JobError(
            f"file {str(source)!r}: the extension {kind!r} is not one that is read. "
            f"Save the numbers as one of {', '.join(EXTENSIONS)}."
        )
    path = located(source)
    try:
        if kind in SEPARATORS:
            table = read_table(path)
            values, names = table.values, table.names
        elif kind in _ARRAYS:
            return _nonempty(source, _named(source, _arrays(path, kind), column))
        else:
            values, names = _real(_saved(path, kind)), None
    except (OSError, ValueError) as error:
        raise JobError(
            f"file {str(source)!r}: every entry must be a number, but reading failed: {error} "
            f"Mark lines that are not data with '#', and see that the columns are separated as in a {kind} file."
        ) from error
    values = _nonempty(source, values)
    if column is not None:
        return _pick_column(source, values, names, column)
    for name in names if names is not None and len(names) > 1 else ():
        if _TIME.fullmatch(name):
            warn(
                f"file {str(source)!r}: its column {name!r} is read as values, like the others, and not as times. Name the "
                "column that is meant: column = ..."
            )
    return values


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


def _named(source: Source, arrays: Mapping[str, Any], name: Column | None) -> NDArray[np.float64]:
    """Return one of the arrays of a file; without a name the only one."""
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name is None:
        raise JobError(
            f"file {str(source)!r}: it holds the arrays {', '.join(arrays)}. Say which one is meant: column = 'NAME'."
        )
    if name not in arrays:
        raise JobError(f"column = {name!r}: the file {str(source)!r} has no such array. {suggest(str(name), arrays)}")
    return _real(arrays[str(name)])


def _real(saved: Any) -> NDArray[np.float64]:
    array = np.asarray(saved)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"its dtype is {array.dtype}.")
    return np.asarray(array, dtype=np.float64)


def _nonempty(source: Source, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.size == 0:
        raise JobError(f"file {str(source)!r}: it must hold at least one number, and holds none. Choose another file.")
    return values


def _pick_column(
    source: Source, values: NDArray[np.float64], names: tuple[str, ...] | None, column: Column
) -> NDArray[np.float64]:
    if values.ndim != 2:
        raise JobError(
            f"column = {column!r}: the file {str(source)!r} has the shape {values.shape} and no columns. Leave column out."
        )
    columns = values.shape[1]
    if isinstance(column, str):
        if names is None:
            raise JobError(
                f"column = {column!r}: the file {str(source)!r} has no header. Give the number of a column, 0 to {columns - 1}."
            )
        if names.count(column) != 1:
            problem = f"{names.count(column)} columns of that name" if column in names else "no such column"
            raise JobError(f"column = {column!r}: the file {str(source)!r} has {problem}. {suggest(column, names)}")
        return np.ascontiguousarray(values[:, names.index(column)])
    remedy = f"The file {str(source)!r} has columns 0 to {columns - 1}. Choose one of these."
    return np.ascontiguousarray(values[:, whole("column", column, Annotated[int, Ge(0), Lt(columns)], remedy)])
