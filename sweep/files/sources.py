"""Where a file is: a path, or a package resource written ``package:relative/path``.

A package is located, but not imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sweep.checks.paths import local
from sweep.errors import JobError

Source = str | os.PathLike[str]


@dataclass(frozen=True)
class FromFile:
    """Marks an argument that may be a file. ``ways`` are the keys of a job file, of which one gives it.

    ``file`` is a path, and ``resource`` a package resource. Any other key has the numbers themselves.
    """

    ways: tuple[str, ...] = ("file", "resource")


# Two characters or more before the colon: "C:\\data.csv" is a path.
_RESOURCE = re.compile(r"([A-Za-z_][\w.]+):(?!//)(.*)")


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


def located(source: Source, folder: bool = False) -> Path:
    """Return the path of a file, or if ``folder`` of a file or a folder.

    Raises
    ------
    JobError
        If there is no such file or package, or if a resource is not written as one.
    """
    path = _find_resource(str(source)) if is_resource(source) else local("file", source)
    if not (path.is_file() or (folder and path.is_dir())):
        raise JobError(f"file {str(source)!r}: there is no file {str(path)!r}. Correct the path.")
    return path


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
