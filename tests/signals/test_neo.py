"""What neo holds and reads: signals, trains and segments, in memory and from files; neo itself is the judge."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import neo
import numpy as np
import pytest
import quantities as pq

import sweep
from sweep import JobError

RATES = np.random.default_rng(0).normal(size=(6, 2))


def signal(**more: Any) -> neo.AnalogSignal:
    """Return a signal (time, channel) in mV, a sample every 0.5 ms, from 20 ms on."""
    own = {"sampling_rate": 2 * pq.kHz, "t_start": 0.02 * pq.s, "name": "vm", **more}
    return neo.AnalogSignal(RATES * pq.mV, **own)


def train(*seconds: float, t_start: float = 0.02, t_stop: float = 0.05) -> neo.SpikeTrain:
    """Return a train of spikes."""
    return neo.SpikeTrain(list(seconds) * pq.s, t_start=t_start * pq.s, t_stop=t_stop * pq.s)


def segment() -> neo.Segment:
    """Return a segment with a signal and three trains, one of them empty."""
    made = neo.Segment()
    made.analogsignals.append(signal())
    made.spiketrains.extend([train(0.03, 0.025), train(), train(0.05)])
    return made


def test_an_analog_signal_is_samples() -> None:
    """Its channels, its rate, its beginning, and the numbers of its own unit."""
    for found in (sweep.samples(signal()), sweep.samples(segment()), sweep.samples(segment(), column="vm")):
        np.testing.assert_array_equal(found.values, RATES.T)
        assert (found.interval, found.start) == (0.5, 20.0)
    assert sweep.samples(signal(), start=-20.0).start == 0.0
    with pytest.raises(JobError, match=r"samples\.interval = 1 ms: the times of the recording are 0\.5 ms apart"):
        sweep.samples(signal(), 1.0)
    slow = neo.IrregularlySampledSignal([20, 21, 22] * pq.ms, RATES[:3], units="mV")
    found = sweep.samples(slow)
    assert (found.interval, found.start, found.channels) == (1.0, 20.0, 2)
    with pytest.raises(JobError, match="must follow each other evenly"):
        sweep.samples(neo.IrregularlySampledSignal([20, 21, 23] * pq.ms, RATES[:3], units="mV"))


def test_trains_begin_and_end_as_their_recording() -> None:
    """A train knows when it was recorded: what is outside was not recorded, and is no silence."""
    found = sweep.spikes(train(0.03, 0.025))
    assert (found.start, found.duration) == (20.0, 50.0)
    assert np.flatnonzero(found.sample(20, 50, 1.0)[0]).tolist() == [5, 10]
    with pytest.raises(JobError, match="begins at 20 ms, but is needed from 19 ms"):
        found.sample(19, 25, 1.0)
    with pytest.raises(JobError, match="lasts 50 ms, but is needed until 51 ms"):
        found.sample(40, 51, 1.0)
    moved = sweep.spikes(train(0.03, 0.025), start=-20.0, window=5.0)
    assert moved.sample(0, 30, 1.0)[0, ::5].tolist() == [0, 1, 1, 0, 0, 0]
    before = sweep.spikes(train(-0.01, 0.01, t_start=-0.015, t_stop=0.02))
    assert np.flatnonzero(before.sample(0, 20, 1.0)[0]).tolist() == [10]


def test_several_trains_are_channels() -> None:
    """A list, what neo keeps them in, and a segment mean the same; an empty train is a train."""
    held = segment()
    for source in (held, held.spiketrains, list(held.spiketrains)):
        found = sweep.spikes(source)
        assert [one.tolist() for one in found.trains] == [[5.0, 10.0], [], [30.0]]
        assert (found.start, found.duration) == (20.0, 50.0)
    assert [one.tolist() for one in sweep.spikes(held, units=[2, 0]).trains] == [[30.0], [5.0, 10.0]]
    with pytest.raises(JobError, match=r"must begin and end together.*\(20\.0, 50\.0\), \(20\.0, 60\.0\).*time_slice"):
        sweep.spikes([train(0.03), train(0.03, t_stop=0.06)])
    with pytest.raises(JobError, match="must begin and end together, but there are 0 trains"):
        sweep.spikes(neo.Segment())
    with pytest.raises(JobError, match="the segment has 0 signals"):
        sweep.samples(neo.Segment())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a segment in files, which is the current one."""
    monkeypatch.chdir(tmp_path)
    block = neo.Block()
    block.segments.append(segment())
    neo.io.NeoMatlabIO("one.mat").write_block(block)
    block.segments.append(segment())
    neo.io.NeoMatlabIO("two.mat").write_block(block)
    Path("program.pkl").write_bytes(pickle.dumps(block))
    Path("broken.nwb").write_text("nothing")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_neo_reads_files() -> None:
    """Signals, some of their channels, trains, and one of several segments."""
    for options in ({}, {"column": 0}, {"column": "vm", "columns": [0, 1]}):
        found = sweep.samples("one.mat", reader="neo", **options)
        np.testing.assert_allclose(found.values, RATES.T)
        assert (found.interval, found.start) == (0.5, 20.0)
    second = sweep.samples("two.mat", reader="neo", segment=1, columns=[1])
    np.testing.assert_allclose(second.values, RATES.T[1:])
    spikes = sweep.spikes("one.mat", reader="neo", units=[0, 2])
    np.testing.assert_allclose(np.concatenate(spikes.trains), [5.0, 10.0, 30.0])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sweep.spikes("two.mat", reader="neo"), r"segment must be given. .*has 2 segments. Give the number"),
        (lambda: sweep.samples("two.mat", reader="neo", segment=2), r"segment = 2: .*has 2 segments"),
        (lambda: sweep.samples("two.mat", reader="neo", segment=-1), r"segment = -1: .*at least 0.*has 2 segments"),
        (lambda: sweep.samples("one.mat", reader="noe"), r"samples\.reader = 'noe' does not exist. Did you mean 'neo'"),
        (lambda: sweep.spikes("one.mat", reader="noe"), r"spikes\.reader = 'noe' does not exist"),
        (lambda: sweep.samples("one.mat", reader="neo", column="vn"), r"column = 'vn': .*no such column. Known: vm"),
        (lambda: sweep.samples("one.mat", reader="neo", columns=[2]), r"columns = 2: .*columns 0 to 1"),
        (lambda: sweep.samples("program.pkl", reader="neo"), r"a pickle is a program, and nothing .* is executed"),
        (lambda: sweep.spikes("broken.nwb", reader="neo"), r"file 'broken\.nwb': neo cannot read it: .*See that"),
        (lambda: sweep.spikes("missing.nwb", reader="neo"), r"there is no file 'missing\.nwb'. Correct the path"),
    ],
)
def test_what_neo_cannot_read_says_why(call: Any, message: str) -> None:
    """The error names the file, what is wrong and the remedy."""
    with pytest.raises(JobError, match=message):
        call()


def test_a_format_of_a_device_is_read(tmp_path: Path) -> None:
    """Neo's example of a reader, whose data are always the same: two streams of eight channels, six segments."""
    path = tmp_path / "device.fake"
    path.write_bytes(b"")
    judge = [one for block in neo.io.ExampleIO(str(path)).read() for one in block.segments]
    with pytest.raises(JobError, match=rf"segment must be given. .*has {len(judge)} segments"):
        sweep.samples(path, reader="neo")
    for number, expected in enumerate(judge):
        with pytest.raises(JobError, match=rf"has {len(expected.analogsignals)} signals: .*column = "):
            sweep.samples(path, reader="neo", segment=number)
        for column, one in enumerate(expected.analogsignals):
            found = sweep.samples(path, reader="neo", segment=number, column=column, start=1e6)
            np.testing.assert_array_equal(found.values, one.magnitude.T)
            assert found.interval == pytest.approx(float(one.sampling_period.rescale("ms")), rel=1e-12)
            assert found.start == pytest.approx(float(one.t_start.rescale("ms")) + 1e6)
        found_trains = sweep.spikes(path, reader="neo", segment=number, start=1e6)
        for mine, theirs in zip(found_trains.trains, expected.spiketrains, strict=True):
            since = theirs.rescale("ms").magnitude - float(theirs.t_start.rescale("ms"))
            np.testing.assert_allclose(mine, np.sort(since), atol=1e-9)


def test_nwb_is_read(tmp_path: Path) -> None:
    """A file that pynwb has written, by its own judge."""
    pynwb = pytest.importorskip("pynwb")
    import datetime

    nwb = pynwb.NWBFile("s", "i", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    nwb.add_acquisition(pynwb.TimeSeries(name="vm", data=RATES, unit="V", starting_time=0.02, rate=2000.0))
    nwb.add_unit(spike_times=[0.025, 0.03], obs_intervals=[[0.02, 0.05]])
    nwb.add_unit(spike_times=[0.05], obs_intervals=[[0.02, 0.05]])
    with pynwb.NWBHDF5IO(tmp_path / "one.nwb", "w") as file:
        file.write(nwb)
    found = sweep.samples(tmp_path / "one.nwb", reader="neo")
    np.testing.assert_allclose(found.values, RATES.T)
    assert (found.interval, found.start) == (0.5, 20.0)
    trains = sweep.spikes(tmp_path / "one.nwb", reader="neo")
    assert trains.channels == 2


def test_a_job_file_has_recordings_of_neo(folder: Path) -> None:
    """By path, with the reader."""
    (folder / "job.toml").write_text("""
observe = ["target_mse"]
[model]
units = 2
[input]
kind = "samples"
file = "one.mat"
reader = "neo"
start = -20
[target]
kind = "spikes"
file = "two.mat"
reader = "neo"
segment = 1
units = [0, 1]
start = -20
[integration]
dt = 0.5
duration = 3.0
""")
    job = sweep.load(folder / "job.toml")
    np.testing.assert_allclose(job.inputs[0].sample(0, 6, 0.5), RATES.T)
    assert job.targets[0].signal.channels == 2


def test_neo_is_imported_only_when_a_file_asks_for_it(tmp_path: Path) -> None:
    """Without it everything else works, and the error says what to install."""
    (tmp_path / "a.mat").write_bytes(b"")
    script = """
import sys
sys.modules["neo"] = None
import sweep
sweep.samples([1.0, 2.0], 1.0), sweep.spikes([[1.0], []])
try:
    sweep.spikes(sys.argv[1], reader="neo")
except sweep.JobError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.mat")], capture_output=True, text=True, check=True
    )
    assert "neo is not installed. Install it: pip install neo" in done.stdout
