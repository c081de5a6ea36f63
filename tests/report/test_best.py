"""The best set: which it is, and its description in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from support.results import GAIN, result

import sweep
from sweep.errors import JobError
from sweep.job import Report
from sweep.observables import STATUS
from sweep.report import best, choice
from sweep.report import figures as plot

# ------------------------------------------------------------------------------------------------------------ best set


def test_best_set_carries_all_labels_of_the_highest_value(ds: xr.Dataset) -> None:
    """The best set is named by every label along the dimensions of the variable."""
    found = best.best(ds, Report(variable="r_mean", select={"unit": 1}))
    assert found.value == 5
    assert found.status == "ok"
    assert found.labels == {"tau_s": 10.0, "alpha_s": 0.05, "gain": 1.0, "unit": 1}
    assert found.words() == "Best set: r_mean = 5 at unit = 1, tau_s = 10 ms, gain = 1 (of 20 sets)."


def test_best_may_be_the_smallest(ds: xr.Dataset) -> None:
    """With best = "min" the smallest value is best, and if it lies at an end of a range, this is named."""
    found = best.best(ds, Report(variable="r_mean", best="min", select={"unit": 0}))
    assert (found.labels["tau_s"], found.labels["gain"], found.labels["unit"]) == (1.0, 0.5, 0)
    assert found.edges == ("lower end of tau_s", "lower end of gain")
    assert found.words().endswith("It lies at the lower end of tau_s, the lower end of gain: widen the range.")


def test_bound_of_a_parameter_is_no_end_to_widen() -> None:
    """If a time constant is 0, or not longer than a step, the range cannot be widened."""
    for shortest in (0.0, 0.5):
        ds = result(sweep.grid(tau_s=[shortest, 1.0, 2.0]))
        ds["r_mean"][:] = np.array([3, 2, 1])[:, None]
        assert best.best(ds).labels["tau_s"] == shortest
        assert best.best(ds).edges == ()


@given(data=st.data(), which=st.sampled_from(["max", "min"]))
def test_best_is_found_among_ok_and_finite_alone(data: st.DataObject, which: str) -> None:
    """Sets that diverged, failed, were not run or are not finite are never best; of equal ones the first is best."""
    ds = result(sweep.grid(tau_s=[1.0, 2.0, 3.0], gain=[1.0, 2.0]))
    values = st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1.0, 2.0])
    ds["r_mean"][:] = np.reshape(data.draw(st.lists(values, min_size=12, max_size=12)), (3, 2, 2))
    ds["status"][:] = np.reshape(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)), (3, 2))
    found = best.best(ds, Report(variable="r_mean", best=which))
    sets = ds["r_mean"].to_numpy().astype(float).mean(axis=-1)
    fine = (ds["status"].to_numpy() == STATUS["ok"]) & np.isfinite(sets)
    if not fine.any():
        assert np.isnan(found.value)
        assert found.labels == {}
        assert "none has a value" in found.words()
        return
    score = np.where(fine, sets if which == "max" else -sets, -np.inf)
    i, j = np.unravel_index(score.argmax(), score.shape)
    assert found.value == sets[i, j]
    assert (found.labels["tau_s"], found.labels["gain"]) == (i + 1, j + 1)


def test_a_set_is_judged_by_all_its_units(ds: xr.Dataset) -> None:
    """If the report does not name units, their mean counts."""
    ds["r_mean"][:] = 0.0
    ds["r_mean"][0, 0] = [9.0, -9.0]
    ds["r_mean"][2, 2] = [1.0, 1.0]
    report = Report(variable="r_mean")
    assert best.best(ds, report).value == 1
    assert "unit" not in best.best(ds, report).labels


def test_sets_without_value_are_counted_in_words(ds: xr.Dataset) -> None:
    """The sentence says how many sets were compared, and how many had no value."""
    ds["status"][0, :3] = STATUS["diverged"]
    ds["status"][4, 0] = STATUS["not_run"]
    assert "(of 20 sets, 1 not run, 3 diverged)" in best.best(ds, Report(variable="r_mean")).words()


@pytest.mark.parametrize("where", ["memory", "store"])
def test_sets_without_a_correlation_are_left_out_and_counted(where: str, tmp_path: Path) -> None:
    """The rates of a silent unit correlate with nothing: the run says of how many sets, and so does the best set."""
    job = sweep.Job(
        model=sweep.Model(1, activation="relu"),
        input=sweep.sine(1.0, 50.0),
        target=sweep.Target(sweep.sine(1.0, 50.0), lags=[0, 1]),
        design=sweep.grid(threshold=[9.0, 8.0, 0.0, -1.0], tau_s=[0.0, 5.0]),
        integration=sweep.Integration(0.5, 40.0),
        observe=["target_correlation"],
        sets_per_block=4,
    )
    with pytest.warns(UserWarning, match=r"NaN for 4 of 8 sets: the rates .* constant.*sweep\.best") as caught:
        ds = sweep.simulate(job) if where == "memory" else sweep.run(job, tmp_path / "out.zarr")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    found = best.best(ds)
    assert (found.without, found.counts["ok"], found.labels["threshold"] <= 0) == (4, 8, True)
    assert "(of 8 sets, 4 without a value because rates or target are constant)" in found.words()
    silent = best.best(ds, Report(variable="target_correlation", select={"threshold": 9.0}))
    assert silent.words() == (
        "Best set: none has a value of target_correlation at threshold = 9 "
        "(of 2 sets, 2 without a value because rates or target are constant)."
    )


def test_selection_is_the_nearest_label(ds: xr.Dataset) -> None:
    """A selected coordinate is held at the label nearest to what was asked, and only its sets are compared."""
    found = best.best(ds, Report(variable="r_mean", select={"tau_s": 80, "unit": 0}))
    assert (found.labels["tau_s"], found.labels["gain"], found.labels["unit"]) == (100, 2, 0)
    assert sum(found.counts.values()) == 4
    assert found.edges == ("upper end of gain",)


def test_every_panel_has_its_own_best(ds: xr.Dataset) -> None:
    """With panels there is a line for the best set of each value, and the best of all is found too."""
    found = best.best(ds, Report(variable="r_mean", panel="gain", select={"unit": 1}))
    assert [panel.labels["gain"] for panel in found.panels] == GAIN.tolist()
    assert [panel.labels["tau_s"] for panel in found.panels] == [100, 10, 100, 100]
    assert found.value == 5
    lines = found.words().splitlines()
    assert lines[1] == "Best set for gain = 1: r_mean = 5 at unit = 1, tau_s = 10 ms (of 5 sets)."
    assert len(lines) == 4


def test_sample_is_named_with_its_parameters() -> None:
    """The labels of a sample are its number and its parameters, those with a value per unit as a tuple."""
    ds = result(sweep.zipped("point", tau_s=np.array([[1.0, 2.0], [3.0, 4.0]]), gain=[1.0, 2.0]))
    ds["r_mean"][:] = np.array([[0, 0], [0, 1]])
    found = best.best(ds)
    assert found.labels["point"] == 1
    assert found.labels["tau_s"] == (3.0, 4.0)
    assert "point = 1, tau_s = 3 to 4 ms, gain = 2" in found.words()


# ------------------------------------------------------------------------------------------------------------- reports


def test_report_of_the_job_comes_first(ds: xr.Dataset, taught: xr.Dataset) -> None:
    """A result has the report of its job; without one the first observed statistic is reported."""
    assert choice.report_of(taught).select == {"unit": 0}
    assert choice.report_of(ds) == choice.default_report(ds) == Report(variable="r_mean", x="tau_s", y="gain")


def test_default_report_prefers_comparisons_with_the_target(taught: xr.Dataset) -> None:
    """Without a report in the job the fit to the target decides, and each target has a panel."""
    expected = Report(variable="target_mse", best="min", x="tau_s", y="tau_r", panel="target")
    assert choice.default_report(taught) == expected


def test_default_report_does_not_depend_on_the_order_of_a_store(ds: xr.Dataset) -> None:
    """A store sorts its variables; what the job observes first is still what is reported."""
    observed = result(sweep.grid(gain=GAIN), observe=["r_std", "r_mean"])
    assert choice.default_report(observed[sorted(observed.data_vars)]).variable == "r_std"


# -------------------------------------------------------------------------------------------------------------- errors

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "variable": ({"variable": "r_meen"}, r"report.variable = 'r_meen' .* Did you mean 'r_mean'\?"),
    "x": ({"x": "tau_z"}, r"report.x = 'tau_z' is not a coordinate .* Did you mean 'tau_s'\?"),
    "constant": ({"y": "slope"}, r"report.y = 'slope': r_mean does not vary along it. Known: .*gain"),
    "select": ({"select": {"gian": 1}}, r"report.select.gian = 'gian' .* Did you mean 'gain'\?"),
    "twice": ({"x": "gain", "panel": "gain"}, r"report.panel = 'gain' lies along the same dimension as report.x"),
    "same": ({"x": "gain", "y": "gain"}, r"report.y = 'gain' lies along the same dimension as report.x: remove"),
    "selected": ({"x": "gain", "select": {"gain": 1}}, r"report.select.gain .* same dimension as report.x"),
}


@pytest.mark.parametrize(("wrong", "message"), REFUSED.values(), ids=REFUSED)
def test_impossible_report_is_refused(ds: xr.Dataset, wrong: dict[str, Any], message: str) -> None:
    """A report that is not possible is refused with key, value, rule and remedy."""
    with pytest.raises(JobError, match=message):
        plot.heat_map(ds, Report(**({"variable": "r_mean"} | wrong)))


def test_trajectory_has_no_best_value() -> None:
    """A trajectory cannot be compared, unless a time is selected."""
    ds = result(sweep.grid(gain=GAIN), observe=["r_mean", sweep.record("r")])
    with pytest.raises(JobError, match="'r' is a trajectory"):
        best.best(ds, Report(variable="r"))
    with pytest.raises(JobError, match=r"trajectory\. Draw it over 'time'"):
        plot.heat_map(ds, Report(variable="r", x="gain", y="unit"))
    assert best.best(ds, Report(variable="r", select={"time": 3.1})).labels["time"] == 3


def test_single_number_cannot_be_drawn() -> None:
    """One set, one unit: there is nothing to draw over."""
    with pytest.raises(JobError, match="single number: sweep something"):
        plot.heat_map(result(sweep.Design(()), model=sweep.Model(1)))
