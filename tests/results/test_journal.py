"""The journal: numbers of blocks as ranges."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sweep.results.journal import ranges


@given(st.sets(st.integers(0, 60)))
def test_numbers_are_written_as_ranges(numbers: set[int]) -> None:
    """From the text follow the same numbers again, and neighbouring numbers are written as ranges."""
    text = ranges(sorted(numbers))
    runs = [tuple(map(int, run.split("-"))) for run in text.split(", ") if run]
    assert {n for run in runs for n in range(run[0], run[-1] + 1)} == numbers
    assert all(after[0] - before[-1] > 1 for before, after in itertools.pairwise(runs))
