"""Samples from arrays, tables, files and arrays with named dimensions: what goes in is what was meant."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import io

import sweep
from sweep.errors import JobError
from sweep.signals.recorded import Samples

VALUES = np.random.default_rng(0).normal(size=(2, 5))


def same(signal: Samples, interval: float = 2.0, start: float = 0.0) -> None:
    """Assert that a signal has the values, interval and start that are meant."""
    np.testing.assert_array_equal(signal.values, VALUES)
    assert (signal.interval, signal.start) == (interval, start)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the values in files of every kind, which is the current one."""
    monkeypatch.chdir(tmp_path)
    np.save("array.npy", VALUES)
    np.save("turned.npy", VALUES.T)
    np.savez("array.npz", rates=VALUES, other=VALUES.T)
    io.savemat("array.mat", {"rates": VALUES, "other": VALUES.T})
    frame = pd.DataFrame(VALUES.T, columns=["left", "right"])
    frame.to_csv("bare.csv", index=False, header=False)
    frame.to_csv("index.csv")
    timed = frame.assign(extra=1.0)
    timed.insert(1, "time (s)", np.arange(5) * 0.002 + 0.1)
    timed.to_csv("timed.csv", index=False)
    Path("timed.tsv.gz").write_bytes(gzip.compress(timed.to_csv(sep="\t", index=False).encode()))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_an_array_and_its_file_mean_the_same() -> None:
    """(channel, time) in an array and in every file of one; a row per time in text; and what dims says."""
    turned = ("time", "channel")
    for signal in [
        sweep.samples(VALUES, 2.0),
        sweep.samples(VALUES.tolist(), 2.0),
        sweep.samples("array.npy", 2.0),
        sweep.samples("array.npz", 2.0, column="rates"),
        sweep.samples("array.mat", 2.0, column="rates"),
        sweep.samples("bare.csv", 2.0),
        sweep.samples("index.csv", 2.0),
        sweep.samples("index.csv", 2.0, dims=turned),
        sweep.samples(VALUES.T, 2.0, dims=turned),
        sweep.samples("turned.npy", 2.0, dims=turned),
        sweep.samples("turned.npy", 2.0, dims=turned, columns=[0, 1]),
        sweep.samples("array.mat", 2.0, column="other", dims=list(turned)),
    ]:
        same(signal)
    np.testing.assert_array_equal(sweep.samples("bare.csv", 2.0, dims=turned[::-1]).values, VALUES.T)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("source", [VALUES.T, "turned.npy", xr.DataArray(VALUES.T)])
def test_more_channels_than_times_are_a_question(source: Any) -> None:
    """Which only the user can answer."""
    with pytest.raises(JobError, match=r"more channels than times.*add dims = \('time', 'channel'\)|which of the dim"):
        sweep.samples(source, 2.0)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("file", ["timed.csv", "timed.tsv.gz"])
def test_a_column_of_times_gives_interval_and_start(file: str) -> None:
    """Found by its name or named; its header has the unit; columns are taken in the order given."""
    same(sweep.samples(file, columns=["left", "right"]), 2.0, 100.0)
    same(sweep.samples(file, columns=[0, 2], time_column=1), 2.0, 100.0)
    same(sweep.samples(file, interval=2.0, columns=[0, 2], time_column="time (s)", start=-100.0), 2.0, 0.0)
    assert sweep.samples(file).channels == 3
    np.testing.assert_array_equal(sweep.samples(file, columns=["right", "left"]).values, VALUES[::-1])
    np.testing.assert_array_equal(sweep.samples(file, column="right").values, VALUES[1:])


def test_times_of_a_recording_that_a_package_ships() -> None:
    """The grasshopper's stimulus has its times in column 0, in us: a sample every 50 us, 10 s long."""
    pytest.importorskip("nitime")
    source = "nitime:data/grasshopper_stimulus1.txt"
    timed = sweep.samples(source, time_column=0, time_unit="us")
    assert (timed.interval, timed.start, timed.channels) == (0.05, 0.0, 1)
    np.testing.assert_array_equal(timed.values, sweep.samples(source, 0.05, column=1).values)


@pytest.mark.parametrize("version", ["4.2c_SOL2", "6.1_SOL2", "6.5.1_GLNX86", "7.1_GLNX86", "7.4_GLNX86"])
def test_arrays_that_matlab_wrote(version: str) -> None:
    """Files that scipy ships: a row is one channel, or one train; a matrix is (channel, time), of any type of number."""
    spec = importlib.util.find_spec("scipy")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "io", "matlab", "tests", "data")
    if not folder.exists():
        pytest.skip("scipy is installed without its test data")
    resource = "scipy:io/matlab/tests/data"
    eighths = np.linspace(0, 2 * np.pi, 9)
    np.testing.assert_allclose(sweep.samples(f"{resource}/testdouble_{version}.mat", 1.0).values, [eighths])
    np.testing.assert_allclose(sweep.spikes(f"{resource}/testdouble_{version}.mat").times, eighths)
    matrix = sweep.samples(f"{resource}/testmatrix_{version}.mat", 1.0).values
    np.testing.assert_array_equal(matrix, [[1, 2, 3, 4, 5], [2, 0, 0, 0, 0], [3, 0, 0, 0, 0]])


def test_channels_of_a_recording_by_name() -> None:
    """Two regions of the fMRI series that nitime ships, a volume every 1.89 s."""
    pytest.importorskip("nitime")
    source = "nitime:data/fmri_timeseries.csv"
    found = sweep.samples(source, 1890.0, columns=["LPut", "RPut"])
    frame = pd.read_csv(sweep.files.located(source))
    np.testing.assert_allclose(found.values, frame[["LPut", "RPut"]].to_numpy().T, rtol=1e-15)
    assert sweep.samples(source, 1890.0).channels == 31
    with pytest.raises(JobError, match=r"columns = 'LPu': .*no such column. Did you mean 'LPut'\?"):
        sweep.samples(source, 1890.0, columns=["LPu"])


def labelled(order: str, **coords: Any) -> xr.DataArray:
    """Return the values with named dimensions."""
    return xr.DataArray(VALUES, dims=("channel", "time"), coords=coords).transpose(*order.split())


@pytest.mark.parametrize("order", ["channel time", "time channel"])
def test_named_dimensions_are_obeyed(order: str) -> None:
    """In any order, with interval and start from the coordinate, whatever it is counted in."""
    seconds = xr.Variable("time", 0.1 + np.arange(5) * 0.002, {"units": "s"})
    same(sweep.samples(labelled(order, time=seconds)), 2.0, 100.0)
    same(sweep.samples(labelled(order, time=np.arange(5) * 2.0 - 3.0)), 2.0, -3.0)
    same(sweep.samples(labelled(order, time=pd.timedelta_range("1s", periods=5, freq="2ms"))), 2.0, 1000.0)
    same(sweep.samples(labelled(order, time=pd.date_range("2026-01-01", periods=5, freq="2ms"))), 2.0, 0.0)
    same(sweep.samples(labelled(order), 2.0))
    other = labelled(order, time=seconds).rename(time="sample", channel="site")
    same(sweep.samples(other), 2.0, 100.0)


def test_a_result_is_a_recording() -> None:
    """Records of a run are samples as they are: their times are those after the steps to which samples belong."""
    job = sweep.Job(
        model=sweep.Model(units=3, parameters={"x0": 1.0, "tau_s": [1.0, 2.0, 3.0]}),
        integration=sweep.Integration(dt=0.1, duration=2.0),
        observe=[sweep.record("x", every=2)],
    )
    x = sweep.simulate(job, "numpy").x
    assert x.dims == ("time", "unit")
    found = sweep.samples(x)
    assert (found.interval, found.start) == (0.2, float(x.time[0]) - 0.1)
    np.testing.assert_array_equal(found.values, x.to_numpy().T)


@pytest.mark.parametrize(
    "index",
    [
        pd.timedelta_range("100ms", periods=5, freq="2ms"),
        pd.Index(np.arange(5) * 0.002 + 0.1, name="time [s]"),
        pd.Index(np.arange(5) * 2 + 100, name="t"),
    ],
)
def test_a_data_frame_has_a_row_per_time(index: pd.Index) -> None:
    """Its columns are channels, and an index of times has the times; dates count from the first."""
    frame = pd.DataFrame(VALUES.T, index=index, columns=["a", "b"])
    same(sweep.samples(frame), 2.0, 100.0)
    same(sweep.samples(frame.reset_index(drop=True), 2.0))
    np.testing.assert_array_equal(sweep.samples(frame["b"]).values, VALUES[1:])
    np.testing.assert_array_equal(sweep.samples(frame, column="b").values, VALUES[1:])
    dated = frame.set_index(pd.date_range("2026-01-01", periods=5, freq="2ms", tz="Europe/Berlin"))
    same(sweep.samples(dated), 2.0, 0.0)


@given(
    count=st.integers(2, 3000),
    interval=st.sampled_from([0.05, 0.1, 1 / 44.1, 1 / 30, 2.0, 1000.0]),
    start=st.sampled_from([0.0, 0.3, 7.0, 12345.6]),
    digits=st.sampled_from([6, 9, 17]),
)
def test_the_interval_of_written_times_is_the_one_that_was_meant(
    count: int, interval: float, start: float, digits: int
) -> None:
    """Times in seconds, with as many decimals as somebody wrote: no sample is more than half the last digit off its place."""
    written = np.round((start + np.arange(count) * interval) / 1000, digits)
    found = sweep.samples(pd.DataFrame({"time (s)": written, "v": np.zeros(count)}))
    wrong = np.abs(found.start + found.interval * np.arange(count) - (start + np.arange(count) * interval))
    assert wrong.max() <= 2 * 0.5 * 10.0 ** (3 - digits) + 1e-9
    if interval in (0.05, 0.1, 2.0, 1000.0):
        assert (found.interval, found.start) == (interval, start)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (VALUES, {}, r"samples\.interval must be given.*Add interval = .*time_column"),
        ("bare.csv", {}, r"samples\.interval must be given"),
        ("timed.csv", {"interval": 3.0}, None),
        ("timed.csv", {"interval": 3.0, "time_column": 1}, r"samples\.interval = 3 ms: .* are 2 ms apart. Leave"),
        ("timed.csv", {"time_unit": "ms"}, r"time_unit = 'ms', but the header 'time \(s\)' says 's'"),
        ("timed.csv", {"time_unit": "sec"}, r"time_unit = 'sec' does not exist. Known: us, ms, s"),
        ("timed.csv", {"time_column": "tiem"}, r"time_column = 'tiem': .*no such column"),
        ("timed.csv", {"time_column": "left"}, r"column 'left'.*|must follow each other evenly"),
        ("timed.csv", {"columns": ["left"], "column": 0}, r"samples\.columns = \['left'\]: column = 0 is given too"),
        ("timed.csv", {"columns": "left"}, r"samples\.columns = 'left': must be a list of columns"),
        ("timed.csv", {"columns": []}, r"samples\.columns = \[\]: must be a list of columns"),
        (
            VALUES,
            {"dims": ("time", "unit"), "interval": 2.0},
            r"samples\.dims = \('time', 'unit'\): must name the dimensions",
        ),
        (VALUES, {"dims": 5, "interval": 2.0}, r"samples\.dims = 5: must name the dimensions"),
        ("timed.csv", {"columns": 5}, r"samples\.columns = 5: must be a list of columns"),
        (VALUES, {"columns": [0], "interval": 2.0}, r"columns = \[0\] was given, but only a file has columns. Index"),
        (
            "array.npy",
            {"column": 0, "interval": 2.0},
            r"column = 0 was given, but the array of .* is \(channel, time\).*add dims",
        ),
        (
            "bare.csv",
            {"dims": ("channel", "time"), "column": 0, "interval": 2.0},
            r"column = 0 .* with a row for each channel",
        ),
        (
            labelled("time channel"),
            {"dims": ("time", "channel"), "interval": 2.0},
            r"dims = .* names its dimensions itself",
        ),
        (labelled("time channel").rename(time="a"), {"interval": 2.0}, r"which of the dimensions .*'a'.*Rename it"),
        (labelled("time channel").expand_dims("trial"), {"interval": 2.0}, r"has the dimensions \('trial', .*Select"),
        (labelled("time channel", time=[0, 1, 2, 4, 5]), {}, r"time: samples must .* 2 ms and 4 ms are 2 ms apart"),
        (labelled("time channel", time=[4, 3, 2, 1, 0]), {}, r"must follow each other evenly"),
        (labelled("time channel", time=[1, 1, 1, 1, 1]), {}, r"must follow each other evenly"),
        (xr.Dataset({"r": labelled("time channel")}), {}, r"is a Dataset of several arrays. Choose one"),
        (
            labelled("time channel", time=xr.Variable("time", np.arange(5), {"units": "mV"})),
            {},
            r"array\.time = .*: its units do not fit, for it must be a time",
        ),
        (pd.DataFrame({"time": [0.0, 1.0]}), {}, r"the DataFrame: it has times and no values"),
        (pd.DataFrame({"time": [0.0], "v": [1.0]}), {}, r"an interval needs two times at least"),
        (pd.DataFrame({"v": ["a"]}), {}, r"samples\.array = .*: must be a number or an array of numbers"),
    ],
)
def test_what_is_not_clear_is_refused(source: Any, options: dict[str, Any], message: str | None) -> None:
    """The error names the key, the value and the remedy; a column of times that is read as values is said."""
    if message is None:
        with pytest.warns(UserWarning, match="is read as values"):
            assert sweep.samples(source, **options).channels == 4
        return
    with pytest.raises(JobError, match=message):
        sweep.samples(source, **options)


def test_columns_that_are_not_meant_may_be_anything(tmp_path: Path) -> None:
    """Names, or entries that are missing; the same in a column that is meant is an error that says where."""
    path = tmp_path / "mixed.csv"
    path.write_text("time,place,v,w\n0,left,1,\n2,right,2,5\n")
    assert sweep.samples(path, columns=["v"]).values.tolist() == [[1.0, 2.0]]
    assert sweep.samples(path, column=2).interval == 2.0
    assert sweep.spikes(path, column="time").times.tolist() == [0.0, 2.0]
    for options, message in [
        ({}, r"every entry must be a number, but .* row 2, column 'place' is 'left'.*name the column that is meant"),
        ({"columns": ["v", "w"]}, r"row 2, column 'w' is empty"),
        ({"time_column": "place", "column": "v"}, r"column 'place' is 'left'"),
    ]:
        with pytest.raises(JobError, match=message):
            sweep.samples(path, **options)
    frame = pd.DataFrame({"place": ["left", "right"], "v": [1.0, 2.0], "ok": [True, False]})
    assert sweep.samples(frame, 1.0, column="v").values.tolist() == [[1.0, 2.0]]
    for column in ("place", "ok"):
        with pytest.raises(JobError, match=r"samples\.array = .*: must be a number or an array of numbers"):
            sweep.samples(frame, 1.0, column=column)
    path.write_text("0,left,1\n2,right,2\n")
    with pytest.raises(JobError, match=r"column 'left' is 'right'. If the first row is no header, give the file one"):
        sweep.samples(path, 1.0, column=2)


def test_a_job_file_says_it_in_the_same_words(folder: Path) -> None:
    """Columns by name, the column of times, the unit, and dimensions."""
    text = """
observe = ["r_mean"]
[model]
units = 2
[input]
kind = "samples"
%s
[integration]
dt = 2.0
duration = 10.0
"""
    for keys in [
        'file = "timed.csv"\ncolumns = ["left", 2]\ntime_column = "time (s)"\ntime_unit = "s"\nstart = -100',
        'file = "turned.npy"\ninterval = 2.0\ndims = ["time", "channel"]',
        'file = "array.npy"\ninterval = 2.0',
    ]:
        (folder / "job.toml").write_text(text % keys)
        np.testing.assert_array_equal(sweep.load(folder / "job.toml").inputs[0].sample(0, 5, 2.0), VALUES)
    for keys, message in [
        ('file = "array.npy"', r"input\.interval must be given"),
        ('file = "timed.csv"\ncolumns = "left"', r"input\.columns = .*must be a list"),
        ('file = "timed.csv"\ncolums = ["left"]', r"input\.colums is not a key .* Did you mean 'columns'"),
        ('file = "timed.csv"\ntime_unit = "sec"', r"input\.time_unit = 'sec' does not exist"),
        ('file = "turned.npy"\ninterval = 1', r"input\.file.*: .*more channels than times"),
    ]:
        (folder / "job.toml").write_text(text % keys)
        with pytest.raises(JobError, match=message):
            sweep.load(folder / "job.toml")
