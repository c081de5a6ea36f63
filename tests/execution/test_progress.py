"""The progress bar: it ends exactly at its total, however the steps are reported."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import small

from sweep import Integration, grid
from sweep.execution.progress import Bar


@given(reports=st.lists(st.integers(1, 1000), min_size=1, max_size=60), sets=st.integers(1, 50))
def test_the_bar_ends_at_its_total(reports: list[int], sets: int) -> None:
    """For all reported fractions of sets, the bar shows all sets at the end, and never more."""
    steps = 102
    job = small(design=grid(tau_s=range(2, sets + 2)), integration=Integration(1.0, float(steps)))
    shown: list[str] = []
    with warnings.catch_warnings(), Bar(job, 0, show=True) as bar:
        warnings.simplefilter("error")
        left = sets * steps
        for report in reports:
            bar.steps(min(report, left))
            bar._flush()
            left -= min(report, left)
            shown.append(str(bar._bar))
        bar.steps(left)
        bar._flush()
        assert str(bar._bar).startswith("100%")
        assert f" {sets}/{sets} sets " in str(bar._bar)
    assert not [line for line in shown if float(line.partition("%")[0]) > 100]


def test_a_resumed_run_begins_where_the_last_one_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks that are done already count from the start, and a finished block counts once."""
    job = small(design=grid(tau_s=[2.0, 4.0, 6.0, 8.0]))
    with Bar(job, 3, show=True) as bar:
        assert str(bar._bar).startswith(" 75%")
        bar.steps(5)
        bar.block(1, reported=5)
    assert " 4/4 sets " in capsys.readouterr().err
