"""Designs from samples and tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from sweep.design.axes import Range, SampledAxis
from sweep.design.design import Design
from sweep.design.makers import grid, latin_hypercube, random, sobol, table, zipped
from sweep.errors import JobError

# There is no deadline, because a busy machine says nothing about the law.
law = settings(deadline=None, max_examples=60)

SAMPLERS = {"sobol": sobol, "latin_hypercube": latin_hypercube, "random": random}


@law
@given(kind=st.sampled_from(sorted(SAMPLERS)), n=st.integers(1, 300), seed=st.integers(0, 2**32), data=st.data())
def test_a_slice_of_a_sample_has_the_bits_of_the_whole(kind: str, n: int, seed: int, data: st.DataObject) -> None:
    """The points of a sample do not depend on the slices by which it is read, also on a logarithmic scale."""
    axis = SampledAxis(kind, n, seed, (Range("tau_s", 1, 100, log=True), Range("gain", -1, 2), Range("noise", 0, 1)))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    everything, some = axis.values(0, n), axis.values(start, stop)
    for name in axis.swept:
        np.testing.assert_array_equal(some[name], everything[name][start:stop], strict=True)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_samples_lie_within_their_ranges_and_fill_them(kind: str) -> None:
    """Every value is within its ends; uniform and log-uniform values have the mean that they should."""
    (axis,) = SAMPLERS[kind](n=4096, seed=3, tau_s=(1, 100, "log"), gain=(-1, 3)).axes
    values = axis.values(0, axis.n)
    assert values["tau_s"].min() >= 1
    assert values["tau_s"].max() <= 100
    assert np.log10(values["tau_s"]).mean() == pytest.approx(1, abs=0.05)
    assert values["gain"].min() >= -1
    assert values["gain"].max() <= 3
    assert values["gain"].mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_seeds_choose_the_sample(kind: str) -> None:
    """The same seed gives the same points, another seed gives others."""
    first, again, other = (SAMPLERS[kind](n=16, seed=s, gain=(0, 1)).axes[0].values(0, 16)["gain"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.isin(first, other).any()


@pytest.mark.parametrize("kind", ["sobol", "random"])
def test_a_longer_sample_begins_with_the_shorter(kind: str) -> None:
    """Raising n extends these samples, so results of the first points can be kept."""
    short, long = (SAMPLERS[kind](n=n, seed=1, gain=(0, 1), bias=(0, 1)).axes[0].values(0, 64) for n in (64, 128))
    np.testing.assert_equal(short, long)


def test_samples_are_those_of_scipy() -> None:
    """Sobol and Latin hypercube points are scipy's, so that a study can be checked against another tool."""
    for make, engine in ((sobol, qmc.Sobol), (latin_hypercube, qmc.LatinHypercube)):
        values = make(n=64, seed=7, gain=(0, 1), bias=(-1, 1)).axes[0].values(0, 64)
        expected = qmc.scale(engine(2, rng=7).random(64), [0, -1], [1, 1])
        np.testing.assert_array_equal(np.column_stack(list(values.values())), expected)


def test_a_latin_hypercube_uses_every_stratum_once() -> None:
    """Each of n equal parts of the range holds exactly one value."""
    values = latin_hypercube(n=50, seed=1, gain=(0, 1)).axes[0].values(0, 50)["gain"]
    np.testing.assert_array_equal(np.sort(np.floor(values * 50)), np.arange(50))


def test_sobol_warns_unless_n_is_a_power_of_two() -> None:
    """The warning comes once, when the design is made; SciPy's own warning never appears."""
    with pytest.warns(UserWarning, match=r"sobol: n = 100: .* power of two\. Use 64 or 128\.") as caught:
        design = sobol(n=100, seed=1, gain=(0, 1))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in design.blocks(7):
            design.values(block)
        sobol(n=128, seed=1, gain=(0, 1)).coordinates()


def test_a_table_is_read_from_frames_mappings_and_files(tmp_path: Path) -> None:
    """The three sources of the same table give the same design; comments, blanks and a byte-order mark are harmless."""
    columns = {"tau_s": [1.0, 2.0], "W[0,1]": [0.25, 0.5]}
    path = tmp_path / "sets.csv"
    path.write_text('\ufefftau_s, "W[0,1]"\n# measured\n1, 0.25\n2, 0.5\n', encoding="utf-8")
    for source in (columns, pd.DataFrame(columns), path, str(path)):
        design = table("cell", source)
        assert design.dims == ("cell",)
        np.testing.assert_equal(
            design.values(*design.blocks(design.size)), {k: np.array(v) for k, v in columns.items()}
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no sets. Write a header"),
        ("tau_s,gain\n1\n", "cannot be read as CSV: row 2, column 'gain' is empty. Correct"),
        ("tau_s\n1,2\n3,4\n", "cannot be read as CSV: .* 1 fields in line 2, saw 2"),
        ("tau_s\n1\nten\n", "cannot be read as CSV: .*'ten'.* Correct"),
        ("tau_s,tau_s\n1,2\n", "column 'tau_s' is there 2 times. Remove"),
        ("tau_s\n", "it has no sets. Write a header"),
        ("1,2\n3,4\n", "its first line must name the parameters"),
        ("tau_s,\n1,2\n", "column 1 has no name. Name the parameter"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A file that is not a table of numbers gives an error and never shifted or missing values."""
    path = tmp_path / "sets.csv"
    path.write_text(text)
    with pytest.raises(JobError, match=message):
        table("cell", path)


def test_a_table_never_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL given as a path is refused; nothing is downloaded."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    with pytest.raises(JobError, match="is an address, but must be a path of this machine"):
        table("cell", "http://127.0.0.1:9/sets.csv")


TENTHS = [k / 10 for k in range(11)]
COMPUTED: dict[str, Callable[[np.ndarray], Design]] = {
    "grid": lambda values: grid(gain=values),
    "zipped": lambda values: zipped("set", gain=values),
    "table": lambda values: table("set", {"gain": values}),
}


@pytest.mark.parametrize("make", COMPUTED.values(), ids=COMPUTED)
def test_computed_values_are_the_decimals_that_are_meant(make: Callable[[np.ndarray], Design]) -> None:
    """What is simulated, hashed and shown is 0.3 and not 0.30000000000000004."""
    design = make(np.linspace(0, 1, 11))
    assert design.values(design.blocks(11)[0])["gain"].tolist() == TENTHS
    assert design.coordinates()["gain"][1].tolist() == TENTHS


def test_a_set_is_found_by_its_decimal_and_by_the_value_that_was_computed() -> None:
    """Whoever goes through the values that they gave finds every set."""
    values = np.linspace(0, 1, 11)
    design = grid(gain=values)
    assert [design.index(gain=value) for value in values] == list(range(11))
    assert [design.index(gain=value) for value in TENTHS] == list(range(11))
