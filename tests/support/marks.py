"""Which cases of a test are quick."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(chosen: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Return the cases, those that are not chosen marked ``slow``; all that are chosen must be there."""
    cases = list(cases)
    assert set(chosen) <= set(cases)
    return [case if case in chosen else pytest.param(case, marks=pytest.mark.slow) for case in cases]
