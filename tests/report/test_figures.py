"""The best set and the figure: the right set is named, and the figure shows the values of the dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

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
from support.results import GAIN, TAU_S, result

import sweep
from sweep.errors import JobError
from sweep.job import Report
from sweep.observables import STATUS
from sweep.report import best, scales
from sweep.report import figures as plot


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


# -------------------------------------------------------------------------------------------------------------- figure


def test_cells_hold_their_value_at_the_best_of_the_rest(ds: xr.Dataset) -> None:
    """The map over x and y shows the values at the labels of the best set along all other dimensions, and names these labels."""
    (axes,) = panels(plot.heat_map(ds, Report(variable="r_mean", x="gain", y="alpha_s", select={"unit": 1})))
    # alpha falls when tau grows, so the cells are sorted along their axes.
    assert np.array_equal(mesh(axes).get_array(), ds["r_mean"].isel(unit=1, tau_s=slice(None, None, -1)).to_numpy())
    assert axes.get_title() == "unit\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1"
    assert mark(axes, "best set").get_xydata() == pytest.approx(np.array([[1.0, 0.05]]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "gain of the recurrent weights $g$",
        "rate constant $α_s = Δt / τ_s$",
    )


def test_cells_hold_the_mean_of_all_units(ds: xr.Dataset) -> None:
    """If the report does not name units, their mean is drawn, because it is also compared."""
    ds["r_mean"][:] = 0.0
    ds["r_mean"][0, 0] = [9.0, -9.0]
    ds["r_mean"][2, 2] = [1.0, 1.0]
    (axes,) = panels(plot.heat_map(ds, Report(variable="r_mean")))
    assert mesh(axes).get_array().max() == 1


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
    """Values with equal ratios get a logarithmic axis, values with equal steps a linear one, in any order."""
    geometric = np.random.default_rng(0).permutation(start * ratio ** np.arange(n))
    assert scales.is_geometric(geometric) == (ratio ** (n - 1) >= 4)
    assert not scales.is_geometric(start + np.arange(n) * ratio)
    assert not scales.is_geometric(geometric - geometric.min())


def test_sets_without_value_are_shaded_by_what_became_of_them(ds: xr.Dataset) -> None:
    """Diverged, failed and missing sets, and ok ones without a number, look different and have no colour."""
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
    """All panels share a colour bar. Values over many decades are coloured by logarithm, and zeros like the smallest."""
    figure = plot.heat_map(taught)
    norms = {id(mesh(axes).norm) for axes in panels(figure)}
    assert len(norms) == 1
    norm = mesh(panels(figure)[0]).norm
    assert isinstance(norm, LogNorm)
    values = taught["target_mse"].isel(unit=0)
    assert norm.vmin == pytest.approx(float(values.where(values > 0).min()))
    assert not any(np.isnan(mesh(axes).get_array()).any() for axes in panels(figure))


def test_no_more_panels_than_can_be_read() -> None:
    """Of many values a dozen get a panel, including the first and the last, and the title says so."""
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
    """A record is drawn over time at the set with the best statistic, with a line for each unit."""
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
    """Only blocks are computed that the selection or the search needs."""
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
    """Drawing completes a copy of the report, and does not change the report."""
    report = Report(variable="r_mean")
    before = dataclasses.asdict(report)
    plot.heat_map(ds, report)
    assert dataclasses.asdict(report) == before
