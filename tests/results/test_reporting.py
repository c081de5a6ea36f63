"""What a report names is checked before the job runs, whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.jobs import small

import sweep
from sweep import Job, Report, Target, grid, sine, sobol

RUNS: dict[str, Callable[[Job], Any]] = {
    "plan": sweep.plan,
    "simulate": sweep.simulate,
    "lazy": sweep.lazy,
    "run": lambda job: sweep.run(job, "out.zarr"),
}
WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {},
        {"select": {"gain": 7}},
        r"report\.select\.gain = 7 is beyond the values of the result, 0\.5 to 2\. Select one",
    ),
    ({}, {"select": {"gain": "1"}}, r"report\.select\.gain = '1': it must be a number\. Select one from 0\.5 to 2"),
    ({}, {"select": {"gain": float("nan")}}, r"report\.select\.gain = nan is beyond"),
    ({}, {"select": {"unit": 3}}, r"report\.select\.unit = 3 is beyond the values of the result, 0 to 2"),
    (
        {},
        {"x": "gain", "select": {"gain": 1}},
        r"report\.select\.gain = 'gain' lies along the same dimension as report\.x",
    ),
    ({}, {"x": "gain", "y": "gain"}, r"report\.y = 'gain' lies along the same dimension as report\.x"),
    ({"design": sobol(4, 1, gain=(0, 1))}, {"select": {"gain": 2}}, r"report\.select\.gain = 2 is beyond"),
    (
        {"target": Target(sine(), lags=[0, 2]), "observe": ["r_mean", "target_mse"]},
        {"select": {"lag": 1}},
        r"report\.select\.lag = 'lag': r_mean does not vary along it",
    ),
    ({"design": grid(gain=[1.0])}, {"select": {"gain": 2}}, r"report\.select\.gain = 2 is beyond"),
]


@pytest.mark.parametrize(("changes", "report", "message"), WRONG)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_report_that_cannot_be_given_is_refused_before_the_run(
    run: Callable[[Job], Any],
    changes: dict[str, Any],
    report: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where no command line checks it: nothing is simulated or written."""
    monkeypatch.chdir(tmp_path)
    job = small(report=Report(variable="r_mean", **report), **changes)
    with pytest.raises(sweep.JobError, match=message):
        run(job)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_can_be_given_changes_nothing(tmp_path: Path) -> None:
    """Labels between the ends are those nearest to them."""
    job = small(report=Report(variable="r_mean", select={"gain": 0.9, "unit": 1}))
    for result in (sweep.simulate(job), sweep.run(job, tmp_path / "out.zarr")):
        assert sweep.best(result).labels["gain"] == 1.0
        np.testing.assert_array_equal(result.r_mean, sweep.simulate(small()).r_mean)
