"""The exceptions that a user can meet, and the suggestions for mistyped names in their messages.

Every message names the key, the value, the rule and the remedy, so that nobody has to read a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SweepError(Exception):
    """Base of every error that tausweep raises on purpose."""


class JobError(SweepError, ValueError):
    """A job, or a part of one, that cannot be run as it is written."""


class StoreError(SweepError, RuntimeError):
    """A store that cannot be created, opened or resumed."""


class RunError(SweepError, RuntimeError):
    """A run that stopped before its end. Finished blocks are in the store, and another run continues it."""


class BackendError(SweepError, RuntimeError):
    """A back end that cannot work here, or that has too little memory."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that helps with a mistyped name.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        ``"Did you mean 'tau_s'?"`` if a known name is close, else ``"Known: a, b, c."``.
    """
    options = list(known)
    # No two known names differ only in upper and lower case.
    by_case = {option.casefold(): option for option in reversed(options)}
    close = difflib.get_close_matches(name.casefold(), by_case, n=1, cutoff=0.6)
    return f"Did you mean {by_case[close[0]]!r}?" if close else f"Known: {', '.join(options)}."


def short(value: object) -> str:
    """Return a value for a message: one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
