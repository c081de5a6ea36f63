"""Decibels, logarithms and standard deviations of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sweep
from sweep.errors import JobError

VALUES = np.random.default_rng(7).gamma(2.0, [[1.0], [9.0]], (2, 400))


def test_a_sound_in_decibels_has_the_deviation_that_its_header_says() -> None:
    """The grasshopper's stimulus: 6 dB, from -36 dB to 0 dB; amplitudes, so a factor of ten is 20 dB."""
    pytest.importorskip("nitime")
    header = "# standard deviation (dB): 6\n"
    nitime = "nitime:data/grasshopper_"
    assert header in sweep.files.located(f"{nitime}spike_times1.txt").read_text()
    for number in (1, 2):
        sound = sweep.samples(f"{nitime}stimulus{number}.txt", 0.05, column=1, transform="dB").values
        assert sound.std() == pytest.approx(6.0, abs=0.02)
        assert (sound.min(), sound.max()) == pytest.approx((-36.0, 0.0), abs=1e-4)
        assert sound.mean() == pytest.approx(-18.0, abs=0.01)


def test_every_transform_is_its_formula() -> None:
    """Each alone, and a logarithm that is standardised afterwards."""
    np.testing.assert_allclose(sweep.samples([1.0, 10.0, 100.0], 1.0, transform="dB").values, [[0, 20, 40]])
    np.testing.assert_allclose(sweep.samples(VALUES, 1.0, transform="log").values, np.log(VALUES))
    by_flag = sweep.samples(VALUES, 1.0, standardize=True).values
    np.testing.assert_array_equal(sweep.samples(VALUES, 1.0, transform="standardize").values, by_flag)
    both = sweep.samples(VALUES, 1.0, transform="dB", standardize=True).values
    np.testing.assert_allclose(both, sweep.samples(VALUES, 1.0, transform="log", standardize=True).values)
    np.testing.assert_allclose(both.std(axis=1), 1.0)


@pytest.mark.parametrize("interval", [0.1, 0.5, 1 / 3])
def test_a_part_has_mean_0_and_deviation_1(interval: float) -> None:
    """The samples that begin in it, in the time of the simulation; those before and after have the same scale."""
    start = -20 * interval
    part = (30 * interval, 130 * interval)
    values = sweep.samples(VALUES, interval, start=start, standardize=True, part=part).values
    used = slice(50, 150)
    np.testing.assert_allclose(values[:, used].mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(values[:, used].std(axis=1), 1.0)
    scale = VALUES[:, used].std(axis=1, keepdims=True)
    np.testing.assert_allclose(values, (VALUES - VALUES[:, used].mean(axis=1, keepdims=True)) / scale)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "db10"}, r"samples\.transform = 'db10' does not exist. Did you mean 'dB'\?"),
        ({"transform": "dB"}, r"transform = 'dB': only what is above 0.*sample 1 of channel 0 is 0. Raise"),
        ({"transform": "log"}, r"transform = 'log': only what is above 0"),
        ({"part": (0, 2)}, r"samples\.part = \(0, 2\): .*they are not. Add standardize = True"),
        ({"standardize": True, "part": (2, 2)}, r"samples\.part = \(2, 2\): must be two times"),
        ({"standardize": True, "part": (1, 2)}, r"samples\.part = \(1, 2\): must hold at least two samples"),
        ({"standardize": True, "part": (-1, 2)}, r"lie within the recording, which lasts from 0 to 4 ms"),
        ({"standardize": True, "part": (0, 5)}, r"lie within the recording, which lasts from 0 to 4 ms"),
        ({"standardize": True, "part": (2, 4)}, r"channel 0 never changes"),
    ],
)
def test_what_cannot_be_transformed_says_why(options: dict[str, object], message: str) -> None:
    """The error names the key, the value and the remedy."""
    with pytest.raises(JobError, match=message):
        sweep.samples([1.0, 0.0, 2.0, 2.0], 1.0, **options)


def test_a_job_file_transforms_too(tmp_path: Path) -> None:
    """The same words as in Python, and the same values."""
    text = """
observe = ["r_mean"]
[model]
units = 1
[input]
kind = "samples"
values = [[1.0, 10.0, 100.0, 1000.0]]
interval = 1.0
transform = "dB"
standardize = true
part = [0, 2]
[integration]
dt = 1.0
duration = 4.0
"""
    (tmp_path / "job.toml").write_text(text)
    assert sweep.load(tmp_path / "job.toml").inputs[0].sample(0, 4, 1.0).tolist() == [[-1.0, 1.0, 3.0, 5.0]]
    for wrong, message in [
        ("[0]", r"input\.part\[1\] is missing: .* Add it"),
        ("[0, 1, 2]", r"input\.part = .*: must have 2 entries"),
        ("3", r"input\.part = 3: must be a list"),
    ]:
        (tmp_path / "job.toml").write_text(text.replace("part = [0, 2]", f"part = {wrong}"))
        with pytest.raises(JobError, match=message):
            sweep.load(tmp_path / "job.toml")
    (tmp_path / "job.toml").write_text(text.replace('"dB"', '"DB2"'))
    with pytest.raises(JobError, match=r"input\.transform.*Did you mean 'dB'"):
        sweep.load(tmp_path / "job.toml")


def test_a_constant_has_no_scale_even_if_its_mean_is_rounded() -> None:
    """The mean of a thousand times 0.1 is not 0.1."""
    with pytest.raises(JobError, match="channel 0 never changes, so it has no scale"):
        sweep.samples(np.full(1000, 0.1), 1.0, standardize=True)
