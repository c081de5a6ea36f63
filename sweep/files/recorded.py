"""Recordings in the formats of neo: those of vendors, NWB, NIX and others. Neo is imported only when a file asks for it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Lt

from sweep.checks import whole
from sweep.errors import JobError
from sweep.files.sources import Source, located

READERS = ("neo",)
"""Names of readers: what a job file may have as ``reader``."""

# They are programs: to read one is to run it.
_PROGRAMS = (".pkl", ".pickle")


def read_segment(source: Source, segment: int | None = None) -> Any:
    """Read a segment of a recording with neo.

    Parameters
    ----------
    source : str or path
        A file, or a folder for formats that have one, or a package resource. The extension says its format.
    segment : int, optional
        Its number, counted from 0; it may be left out if there is only one.

    Returns
    -------
    neo.Segment
        With ``analogsignals`` and ``spiketrains``.

    Raises
    ------
    JobError
        If neo is not installed, or if it cannot read the file, or if there is no such segment.
    """
    path = located(source, folder=True)
    if path.suffix.lower() in _PROGRAMS:
        raise JobError(
            f"file {str(source)!r}: a pickle is a program, and nothing that a job names is executed. Save the recording in "
            "another format of neo, such as NIX or NWB."
        )
    segments = [each for block in _blocks(source, path) for each in block.segments]
    if segment is None and len(segments) == 1:
        segment = 0
    remedy = f"The file {str(source)!r} has {len(segments)} segments. Give the number of one, counted from 0."
    if segment is None:
        raise JobError(f"segment must be given. {remedy}")
    return segments[whole("segment", segment, Annotated[int, Ge(0), Lt(len(segments))], remedy)]


def _blocks(source: Source, path: Path) -> Any:
    try:
        from neo.io import get_io
    except ImportError:
        raise JobError(
            "reader = 'neo': neo is not installed. Install it: pip install neo, or the extra 'data' of tausweep."
        ) from None
    try:
        with warnings.catch_warnings():
            # They are about neo's own ways; what is wrong with the numbers is found by our checks.
            warnings.simplefilter("ignore")
            return get_io(str(path)).read()
    except Exception as error:  # each of neo's readers has its own
        raise JobError(
            f"file {str(source)!r}: neo cannot read it: {type(error).__name__}: {error} See that its extension is that of "
            "its format, that the format's own package is installed, and that the file is whole."
        ) from error
