"""Warnings: what may surprise a user is said where the user's own code is, and once for each job."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_heard: ContextVar[set[str] | None] = ContextVar("heard", default=None)
_silent: ContextVar[bool] = ContextVar("silent", default=False)


def warn(message: str) -> None:
    """Warn of something, with the line of the user's code that led here.

    Parameters
    ----------
    message : str
        Value, rule and remedy.
    """
    heard = _heard.get()
    if _silent.get() or (heard is not None and message in heard):
        return
    if heard is not None:
        heard.add(message)
    frame, level = sys._getframe(1), 2
    # The __init__ of a dataclass has the file name "<string>".
    while frame.f_back and (frame.f_code.co_filename.startswith(_PACKAGE) or frame.f_code.co_filename == "<string>"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


@contextmanager
def once() -> Iterator[None]:
    """Say everything at most once, whatever is checked in here several times."""
    token = _heard.set(set()) if _heard.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _heard.reset(token)


@contextmanager
def silence() -> Iterator[None]:
    """Say nothing: what is built in here has been checked before, and the user has been told."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
