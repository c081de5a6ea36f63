"""The table of statistics: what is accumulated, however it is cut into pieces, gives what NumPy says of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.backends.compiled import source
from sweep.observables import OBSERVABLES, wanted
from sweep.observables.statistics import STATISTICS, Accumulated, Wanted

STATES = np.random.default_rng(0).normal(0.3, 2.0, size=(40, 3, 5))
TRUTH = {
    "mean": STATES.mean(axis=0),
    "var": STATES.var(axis=0),
    "std": STATES.std(axis=0),
    "min": STATES.min(axis=0),
    "max": STATES.max(axis=0),
    "final": STATES[-1],
}


@given(names=st.sets(st.sampled_from(list(STATISTICS)), min_size=1), cuts=st.sets(st.integers(1, len(STATES) - 1)))
def test_a_statistic_follows_from_what_it_asks_for(names: set[str], cuts: set[int]) -> None:
    """With no more than they ask for, all statistics have the values of NumPy's functions, however the steps were cut."""
    asked = Wanted(tuple(names))
    running = {number: np.full(STATES.shape[1:], number.start) for number in asked.running}
    for piece in np.split(STATES, sorted(cuts)):
        for number, so_far in running.items():
            number.update(so_far, piece)
    moments = [STATES.mean(axis=0), STATES.var(axis=0)][: asked.moments]
    values = asked.values(
        Accumulated(
            final=STATES[-1],
            moments=moments,
            running={number.kernel: so_far for number, so_far in running.items()},
        )
    )
    assert set(values) == names
    for name, value in values.items():
        np.testing.assert_allclose(value, TRUTH[name], rtol=1e-13)


def test_every_statistic_is_known_to_this_test() -> None:
    """A statistic that is added needs its truth here."""
    assert set(TRUTH) == set(STATISTICS)


@pytest.mark.parametrize(
    ("observed", "of", "moments", "running"),
    [
        ([], "r", 0, []),
        (["x_final"], "x", 0, []),
        (["x_mean", "r_std"], "x", 1, []),
        (["x_mean", "r_std"], "r", 2, []),
        (["r_min", "r_max", "x_max"], "r", 0, ["lowest", "highest"]),
        (["r_min", "r_max", "x_max"], "x", 0, ["highest"]),
        (["target_correlation"], "r", 2, []),
        (["target_correlation"], "x", 0, []),
        (["target_mse"], "r", 0, []),
    ],
)
def test_only_what_is_needed_is_accumulated(observed: list[str], of: str, moments: int, running: list[str]) -> None:
    """Of each variable apart: no moments for extremes, no variance for a mean, none of x for a comparison of r."""
    asked = wanted(observed, of)
    assert (asked.moments, [number.kernel for number in asked.running]) == (moments, running)


def test_kernels_have_a_function_for_every_running_number() -> None:
    """The names that the host puts into a kernel are those of functions in its header."""
    header = Path(source.folder(), "observables.cuh").read_text(encoding="utf-8")
    for statistic in STATISTICS.values():
        for number in statistic.running:
            assert f"SWEEP_DEVICE lane {number.kernel}(lane so_far, lane value)" in header


def test_every_statistic_of_every_variable_is_an_observable() -> None:
    """The names of observables follow from the table."""
    assert {f"{of}_{name}" for of in "xr" for name in STATISTICS} <= set(OBSERVABLES)
