"""The best set in words and the figure: the right set is named, and the picture shows what the dataset says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import sweep
from sweep.errors import JobError
from sweep.job import Report
from sweep.observables import STATUS
from sweep.report import best, choice, scales
from sweep.report import figures as plot
from sweep.signals.targets import model_output

TAU_S = np.geomspace(1, 100, 5)
GAIN = np.linspace(0.5, 2, 4)


def result(design: sweep.Design, **fields: Any) -> xr.Dataset:
    """Simulate two units for a few steps."""
    given: dict[str, Any] = {
        "model": sweep.Model(2, np.array([[0.0, 0.5], [-0.5, 0.0]])),
        "input": sweep.constant(1.0),
        "integration": sweep.Integration(0.5, 4.0),
        "observe": ["r_mean"],
    }
    return sweep.simulate(sweep.Job(design=design, **(given | fields)), backend="numpy")


@pytest.fixture
def ds() -> xr.Dataset:
    """Offer a grid with its highest value at tau_s = 10, gain = 1, unit 1, off the edges."""
    ds = result(sweep.grid(tau_s=TAU_S, gain=GAIN))
    ds["r_mean"][:] = np.arange(40, dtype=np.float32).reshape(5, 4, 2) / 100
    ds["r_mean"][2, 1, 1] = 5
    return ds


@pytest.fixture(scope="module")
def taught() -> xr.Dataset:
    """Offer students of three teachers with known time constants."""
    teachers = [sweep.Target(model_output({"tau_s": a, "tau_r": b})) for a, b in ((1, 10), (10, 1), (100, 100))]
    design = sweep.grid(tau_s=np.geomspace(1, 100, 5), tau_r=np.geomspace(1, 100, 5))
    report = Report(variable="target_mse", best="min", x="alpha_s", y="alpha_r", panel="target", select={"unit": 0})
    wave = sweep.sine(amplitude=1.0, frequency=50.0)
    timing = sweep.Integration(0.5, 40.0)
    return result(
        design, target=teachers, observe=["target_mse"], report=report, input=wave, integration=timing, title="Teachers"
    )


def panels(figure: Figure) -> list[Axes]:
    """Return the axes that show something, without colour bar and empty places."""
    return [axes for axes in figure.axes if axes.get_frame_on() and axes.get_label() != "<colorbar>"]


def mark(axes: Axes, name: str) -> Line2D:
    """Return a mark by its name in the legend."""
    return next(line for line in axes.lines if line.get_label() == name)


def legend(figure: Figure) -> set[str]:
    """Return what the legend names."""
    return {text.get_text() for box in figure.legends for text in box.get_texts()}


def mesh(axes: Axes) -> QuadMesh:
    """Return the cells of a map."""
    return next(found for found in axes.collections if isinstance(found, QuadMesh))


# ------------------------------------------------------------------------------------------------------------ best set


def test_best_set_carries_all_labels_of_the_highest_value(ds: xr.Dataset) -> None:
    """The best set is named by every label along the dimensions of the variable."""
    found = best.best(ds, Report(variable="r_mean", select={"unit": 1}))
    assert found.value == 5
    assert found.status == "ok"
    assert found.labels == {"tau_s": 10.0, "alpha_s": 0.05, "gain": 1.0, "unit": 1}
    assert found.words() == "Best set: r_mean = 5 at unit = 1, tau_s = 10 ms, gain = 1 (of 20 sets)."


def test_best_may_be_the_smallest(ds: xr.Dataset) -> None:
    """With best = "min" the smallest value is best, and ends of the ranges at which it lies are named."""
    found = best.best(ds, Report(variable="r_mean", best="min", select={"unit": 0}))
    assert (found.labels["tau_s"], found.labels["gain"], found.labels["unit"]) == (1.0, 0.5, 0)
    assert found.edges == ("lower end of tau_s", "lower end of gain")
    assert found.words().endswith("It lies at the lower end of tau_s, the lower end of gain: widen the range.")


def test_bound_of_a_parameter_is_no_end_to_widen() -> None:
    """Where a time constant is 0, or so short that a step covers it, the range cannot be widened."""
    for shortest in (0.0, 0.5):
        ds = result(sweep.grid(tau_s=[shortest, 1.0, 2.0]))
        ds["r_mean"][:] = np.array([3, 2, 1])[:, None]
        assert best.best(ds).labels["tau_s"] == shortest
        assert best.best(ds).edges == ()


@given(data=st.data(), which=st.sampled_from(["max", "min"]))
def test_best_is_found_among_ok_and_finite_alone(data: st.DataObject, which: str) -> None:
    """Whatever has diverged, failed, was not run or is not finite is never best; of equals it is the first."""
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
    """Without a word on units their mean counts, and the figure says so."""
    ds["r_mean"][:] = 0.0
    ds["r_mean"][0, 0] = [9.0, -9.0]
    ds["r_mean"][2, 2] = [1.0, 1.0]
    report = Report(variable="r_mean")
    assert best.best(ds, report).value == 1
    assert "unit" not in best.best(ds, report).labels
    (axes,) = panels(plot.heat_map(ds, report))
    assert mesh(axes).get_array().max() == 1


def test_sets_without_value_are_counted_in_words(ds: xr.Dataset) -> None:
    """The sentence says of how many sets the best is best, and how many could not be."""
    ds["status"][0, :3] = STATUS["diverged"]
    ds["status"][4, 0] = STATUS["not_run"]
    assert "(of 20 sets, 1 not run, 3 diverged)" in best.best(ds, Report(variable="r_mean")).words()


def test_selection_is_the_nearest_label(ds: xr.Dataset) -> None:
    """A selected coordinate is held at the label nearest to what was asked, and only its sets are compared."""
    found = best.best(ds, Report(variable="r_mean", select={"tau_s": 80, "unit": 0}))
    assert (found.labels["tau_s"], found.labels["gain"], found.labels["unit"]) == (100, 2, 0)
    assert sum(found.counts.values()) == 4
    assert found.edges == ("upper end of gain",)


def test_every_panel_has_its_own_best(ds: xr.Dataset) -> None:
    """With panels there is a best set for each value, in a line each, and the best of all of them."""
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
    """A result carries the report of its job; one without is reported by the statistic observed first."""
    assert choice.report_of(taught).select == {"unit": 0}
    assert choice.report_of(ds) == choice.default_report(ds) == Report(variable="r_mean", x="tau_s", y="gain")


def test_default_report_prefers_comparisons_with_the_target(taught: xr.Dataset) -> None:
    """Without a word from the job the fit to the target decides, with a panel per target."""
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
    """A report that the result cannot fulfil is refused, naming key, value, rule and remedy."""
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


# -------------------------------------------------------------------------------------------------------------- figure


def test_cells_hold_their_value_at_the_best_of_the_rest(ds: xr.Dataset) -> None:
    """The map over x and y shows the values at the best set's labels along all other dimensions, and names these."""
    (axes,) = panels(plot.heat_map(ds, Report(variable="r_mean", x="gain", y="alpha_s", select={"unit": 1})))
    # alpha falls where tau grows: cells ascend along their axes.
    assert np.array_equal(mesh(axes).get_array(), ds["r_mean"].isel(unit=1, tau_s=slice(None, None, -1)).to_numpy())
    assert axes.get_title() == "unit\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1"
    assert mark(axes, "best set").get_xydata() == pytest.approx(np.array([[1.0, 0.05]]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "gain of the recurrent weights $g$",
        "rate constant $α_s = Δt / τ_s$",
    )


@pytest.mark.parametrize("spaced", [np.linspace, np.geomspace])
def test_edges_lie_halfway_on_the_scale_of_the_values(spaced: Callable[..., np.ndarray]) -> None:
    """Cells of a regular grid are regular on its scale, linear or logarithmic, with the values in their middle."""
    ds = result(sweep.grid(tau_s=spaced(1, 100, 5), gain=GAIN))
    (axes,) = panels(plot.heat_map(ds, Report(variable="r_mean")))
    log = spaced is np.geomspace
    change = np.log if log else np.asarray
    edges = change(np.asarray(mesh(axes).get_coordinates())[0, :, 0])
    assert (edges[1:] + edges[:-1]) / 2 == pytest.approx(change(spaced(1, 100, 5)))
    assert np.diff(edges) == pytest.approx(np.diff(edges)[0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log" if log else "linear", "linear")


@given(start=st.floats(0.01, 100), ratio=st.floats(1.3, 4), n=st.integers(6, 40))
def test_scale_is_that_of_the_spacing(start: float, ratio: float, n: int) -> None:
    """Values in equal ratios are drawn over a logarithmic axis, in equal steps over a linear one, in any order."""
    geometric = np.random.default_rng(0).permutation(start * ratio ** np.arange(n))
    assert scales.is_geometric(geometric) == (ratio ** (n - 1) >= 4)
    assert not scales.is_geometric(start + np.arange(n) * ratio)
    assert not scales.is_geometric(geometric - geometric.min())


def test_sets_without_value_are_shaded_by_what_became_of_them(ds: xr.Dataset) -> None:
    """Diverged, failed and missing sets, and ok ones without a number, are told apart and have no colour."""
    ds["status"][:3, 0] = STATUS["diverged"]
    ds["status"][4, 0] = STATUS["not_run"]
    ds["status"][4, 3] = STATUS["failed"]
    ds["r_mean"][3, 3] = np.nan
    figure = plot.heat_map(ds, Report(variable="r_mean"))
    (axes,) = panels(figure)
    assert legend(figure) == {"best set", "diverged", "failed", "not run", "not defined"}
    assert np.ma.getmaskarray(np.ma.masked_invalid(mesh(axes).get_array())).sum() == 6
    shades = [found for found in axes.collections if isinstance(found, PolyCollection)]
    # Three neighbours make one area.
    assert [len(shade.get_paths()) for shade in shades] == [1, 1, 1, 1]
    diverged = next(shade for shade in shades if shade.get_hatch() == "////").get_paths()[0].get_extents()
    edges = mesh(axes).get_coordinates()
    assert (diverged.x0, diverged.x1) == (edges[0, 0, 0], edges[0, 3, 0])
    assert (diverged.y0, diverged.y1) == (edges[0, 0, 1], edges[1, 0, 1])


def test_run_that_has_not_begun_can_be_drawn(ds: xr.Dataset) -> None:
    """Without a single value there are shades, no mark and no colour bar."""
    ds["status"][:] = STATUS["not_run"]
    figure = plot.heat_map(ds, Report(variable="r_mean"))
    assert legend(figure) == {"not run"}
    assert len(figure.axes) == 1


def test_panels_mark_the_truth_and_the_best(taught: xr.Dataset) -> None:
    """A student is best where its teacher is, and both are marked in the panel of each teacher."""
    figure = plot.heat_map(taught)
    assert len(panels(figure)) == 3
    for axes, a, b in zip(panels(figure), (1, 10, 100), (10, 1, 100), strict=True):
        expected = pytest.approx(np.array([[0.5 / a, 0.5 / b]]))
        assert mark(axes, "true parameters").get_xydata() == expected
        assert mark(axes, "best set").get_xydata() == expected
    assert [axes.get_title().split(",")[0][-1] for axes in panels(figure)] == ["0", "1", "2"]
    assert legend(figure) == {"best set", "true parameters"}


def test_panels_share_their_colours(taught: xr.Dataset) -> None:
    """One colour bar serves all panels; values over many decades are coloured by logarithm, and zeros as the least."""
    figure = plot.heat_map(taught)
    norms = {id(mesh(axes).norm) for axes in panels(figure)}
    assert len(norms) == 1
    norm = mesh(panels(figure)[0]).norm
    assert isinstance(norm, LogNorm)
    values = taught["target_mse"].isel(unit=0)
    assert norm.vmin == pytest.approx(float(values.where(values > 0).min()))
    assert not any(np.isnan(mesh(axes).get_array()).any() for axes in panels(figure))


def test_no_more_panels_than_can_be_read() -> None:
    """Of many values a dozen have a panel, the first and the last among them, and the title says so."""
    ds = result(sweep.grid(tau_s=[1.0, 2.0], tau_r=[1.0, 2.0], gain=np.linspace(0, 1, 30)))
    figure = plot.heat_map(ds, Report(variable="r_mean", panel="gain"))
    titles = [axes.get_title() for axes in panels(figure)]
    assert len(titles) == 12
    assert titles[0] == "gain\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0"
    assert titles[-1] == "gain\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1"
    assert figure.get_suptitle().replace("\n", " ").endswith("(12 of 30 values of gain)")


def test_one_coordinate_is_a_line(ds: xr.Dataset) -> None:
    """Over a single coordinate the values are a line, with gaps and shades where sets have none."""
    ds["status"][4] = STATUS["diverged"]
    figure = plot.heat_map(ds, Report(variable="r_mean", select={"gain": 1.1, "unit": 1}))
    (axes,) = panels(figure)
    assert axes.lines[0].get_xdata() == pytest.approx(TAU_S)
    assert axes.lines[0].get_ydata()[:4] == pytest.approx(ds["r_mean"].to_numpy()[:4, 1, 1])
    assert np.isnan(axes.lines[0].get_ydata()[4])
    assert mark(axes, "best set").get_xydata() == pytest.approx(np.array([[10.0, 5.0]]))
    assert legend(figure) == {"best set", "diverged"}
    assert axes.get_ylabel() == "mean over time of the firing rate"


def test_samples_are_points() -> None:
    """Sampled sets are points over their parameters, coloured by value, those without one apart."""
    ds = result(sweep.sobol(n=16, seed=1, tau_s=(1.0, 100.0), gain=(0.5, 2.0)))
    ds["status"][3] = STATUS["diverged"]
    figure = plot.heat_map(ds)
    (axes,) = panels(figure)
    lost, points = (found for found in axes.collections if isinstance(found, PathCollection))
    assert np.asarray(lost.get_offsets()) == pytest.approx(np.array([[ds["tau_s"][3], ds["gain"][3]]]))
    assert len(points.get_offsets()) == 15
    found = best.best(ds)
    assert mark(axes, "best set").get_xydata() == pytest.approx(
        np.array([[found.labels["tau_s"], found.labels["gain"]]])
    )
    assert legend(figure) == {"best set", "diverged"}


def test_trajectory_is_that_of_the_best_set() -> None:
    """A record is drawn over time at the set that the statistic finds best, a line per unit."""
    ds = result(sweep.grid(gain=GAIN), observe=["r_mean", sweep.record("r")])
    ds["r_mean"][:] = np.array([0, 3, 2, 1])[:, None]
    figure = plot.heat_map(ds, Report(variable="r"))
    (axes,) = panels(figure)
    assert legend(figure) == {"unit 0", "unit 1"}
    for unit, line in enumerate(axes.lines):
        assert line.get_xdata() == pytest.approx(ds["time"].to_numpy())
        assert line.get_ydata() == pytest.approx(ds["r"].to_numpy()[1, :, unit])
    assert axes.get_xlabel() == "time (ms)"


def test_many_units_are_a_map_over_time() -> None:
    """The trajectories of many units are cells over time and unit; without a statistic they are the first set's."""
    ds = result(sweep.grid(gain=GAIN), model=sweep.Model(9), observe=[sweep.record("x")])
    (axes,) = panels(plot.heat_map(ds))
    assert np.array_equal(mesh(axes).get_array(), ds["x"].to_numpy()[0].T.astype(np.float64))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (ms)", "unit")


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_file_is_of_the_kind_of_its_name(ds: xr.Dataset, tmp_path: Path, suffix: str, magic: bytes) -> None:
    """The ending of the name decides the format, and folders are made."""
    written = plot.save(ds, tmp_path / "new" / f"map{suffix}")
    assert written.read_bytes().startswith(magic)


def test_unknown_kind_of_file_is_refused(ds: xr.Dataset, tmp_path: Path) -> None:
    """Another ending is refused before anything is computed, with the nearest that works."""
    with pytest.raises(JobError, match=r"cannot be written as '.pgn'. Did you mean '.png'\?"):
        plot.save(ds, tmp_path / "map.pgn")


def test_store_gives_the_same_picture_as_memory(taught: xr.Dataset, tmp_path: Path) -> None:
    """A store is searched block by block and shows the same as the result in memory."""
    lazy = taught.chunk(tau_s=2, tau_r=3)
    assert best.best(lazy) == best.best(taught)
    for ours, theirs in zip(panels(plot.heat_map(lazy)), panels(plot.heat_map(taught)), strict=True):
        assert np.array_equal(mesh(ours).get_array(), mesh(theirs).get_array())


def test_only_what_is_needed_is_computed(ds: xr.Dataset) -> None:
    """No block is computed that neither the selection nor the search needs."""
    asked: list[int] = []

    def block(values: np.ndarray) -> np.ndarray:
        asked.append(values.size)
        return values

    lazy = ds.chunk(tau_s=1)
    watched = lazy["r_mean"].data.map_blocks(block, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    lazy["r_mean"] = lazy["r_mean"].copy(data=watched)
    best.best(lazy, Report(variable="r_mean", select={"tau_s": 10}))
    # The search among the four sets selected takes a pass per dimension, and their value one more.
    assert set(asked) == {8}
    assert len(asked) <= 3


def test_report_is_not_changed(ds: xr.Dataset) -> None:
    """Drawing fills in what a report leaves open in a copy of its own."""
    report = Report(variable="r_mean")
    before = dataclasses.asdict(report)
    plot.heat_map(ds, report)
    assert dataclasses.asdict(report) == before
