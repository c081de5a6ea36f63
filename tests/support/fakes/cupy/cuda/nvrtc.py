"""The version of the compiler."""

from __future__ import annotations


def getVersion() -> tuple[int, int]:
    """Return it."""
    return 13, 0
