"""Paths that a user gives: on this machine, with ``~`` for the home folder, and no address of another machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sweep.errors import JobError, SweepError

# A Path keeps only one of the slashes of s3://bucket.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local(key: str, given: str | os.PathLike[str], error: type[SweepError] = JobError) -> Path:
    """Return a path as it is meant: ``~`` is the home folder, ``~name`` that of a user.

    Parameters
    ----------
    key : str
        What the path is, for messages.
    given : path
        What the user wrote.
    error : type
        The exception to raise.

    Raises
    ------
    SweepError
        If it is an address such as ``s3://bucket/name``, or names the home of a user who is not there.
    """
    text = os.fspath(given)
    if _ADDRESS.match(text):
        raise error(
            f"{key} = {text!r}: is an address, but must be a path of this machine. Give the path of a file system that is "
            "mounted here, or copy it here first."
        )
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded == text:
        raise error(
            f"{key} = {text!r}: {text.split('/')[0]} is no home folder here. Correct the name, or write './{text}' if it is "
            "the name of a folder."
        )
    return Path(expanded)
