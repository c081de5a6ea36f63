"""Numbers from files and from the data of installed packages. Nothing that is read is ever executed.

A source is a path, or a package resource written ``package:relative/path``. A package is located, but not imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt
from numpy.typing import NDArray

from sweep.checks import whole
from sweep.errors import JobError

Source = str | os.PathLike[str]

DELIMITERS = {".txt": None, ".csv": ",", ".tsv": "\t"}
"""The separator of the columns in a text file, by its extension; None means any white space."""


@dataclass(frozen=True)
class FromFile:
    """Marks an argument that may be a file. ``ways`` are the keys of a job file, of which one gives it.

    ``file`` is a path, and ``resource`` a package resource. Any other key has the numbers themselves.
    """

    ways: tuple[str, ...] = ("file", "resource")


# Two characters or more before the colon: "C:\\data.csv" is a path.
_RESOURCE = re.compile(r"([A-Za-z_][\w.]+):(.*)")


def is_resource(source: Source) -> bool:
    """Return whether a source is a package resource, such as ``"nitime:data/grasshopper_stimulus1.txt"``.

    Parameters
    ----------
    source : str or path
        A path object is never a resource.

    Returns
    -------
    bool
        True for ``package:relative/path``, which does not depend on the current folder; False for a path.
    """
    return isinstance(source, str) and _RESOURCE.fullmatch(source) is not None


def read_numbers(source: Source, column: int | None = None) -> NDArray[np.float64]:
    """Read a table of numbers, or one column of it.

    Parameters
    ----------
    source : str or path
        A ``.txt`` (columns separated by white space), ``.csv``, ``.tsv`` or ``.npy`` file, or a package resource
        ``package:relative/path`` of such a name. In text, ``#`` begins a comment.
    column : int, optional
        The only column to return, counted from 0.

    Returns
    -------
    array of float64
        (row,) if a column is given; else (row, column) for text, and the shape that was saved for ``.npy``.

    Raises
    ------
    JobError
        If the file or its package is missing, if it does not hold numbers, or if it has no such column.
    """
    path = _find_resource(str(source)) if is_resource(source) else Path(source)
    if path.suffix.lower() not in (*DELIMITERS, ".npy"):
        raise JobError(
            f"file {str(source)!r}: the extension {path.suffix!r} is not one that is read. "
            f"Save the numbers as one of {', '.join(DELIMITERS)}, .npy."
        )
    if not path.is_file():
        raise JobError(f"file {str(source)!r}: there is no file {str(path)!r}. Correct the path.")
    try:
        table = _read_npy(path) if path.suffix.lower() == ".npy" else _read_text(path)
    except (OSError, ValueError) as error:
        raise JobError(
            f"file {str(source)!r}: every entry must be a number, but reading failed: {error} "
            f"Mark lines that are not data with '#', and see that the columns are separated as in a {path.suffix} file."
        ) from error
    if table.size == 0:
        raise JobError(f"file {str(source)!r}: it must hold at least one number, and holds none. Choose another file.")
    return table if column is None else _pick_column(source, table, column)


def _find_resource(source: str) -> Path:
    package, relative = source.split(":", 1)
    parts = re.split(r"[\\/]", relative)
    if ".." in parts or parts[0] == "" or ":" in relative:
        raise JobError(
            f"file {source!r}: the path of a package resource must be relative and stay inside the package. "
            f"Write it as 'package:folder/file.txt'."
        )
    if "." in package:
        # To locate a subpackage, Python would import its parent, and so execute it.
        top, *folders = package.split(".")
        raise JobError(
            f"file {source!r}: the package of a resource must be a top-level one. "
            f"Write {top + ':' + '/'.join([*folders, relative])!r}."
        )
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        raise JobError(
            f"file {source!r}: there is no installed package {package!r} to read it from. "
            f"Install it (pip install {package}), or give the path of a file."
        )
    candidates = [Path(folder, *parts) for folder in spec.submodule_search_locations]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _read_text(path: Path) -> NDArray[np.float64]:
    with path.open(encoding="utf-8") as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "input contained no data": we raise our own error
        return np.loadtxt(lines, dtype=np.float64, delimiter=DELIMITERS[path.suffix.lower()], comments="#", ndmin=2)


def _read_npy(path: Path) -> NDArray[np.float64]:
    saved = np.load(path, allow_pickle=False)
    if saved.dtype.kind not in "iuf":
        raise ValueError(f"its dtype is {saved.dtype}.")
    return np.asarray(saved, dtype=np.float64)


def _pick_column(source: Source, table: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    if table.ndim != 2:
        raise JobError(
            f"column = {column!r}: the file {str(source)!r} has the shape {table.shape} and no columns. Leave column out."
        )
    columns = table.shape[1]
    remedy = f"The file {str(source)!r} has columns 0 to {columns - 1}. Choose one of these."
    return np.ascontiguousarray(table[:, whole("column", column, Annotated[int, Ge(0), Lt(columns)], remedy)])
