"""What can be observed: its names, its layout, and statistics that lose no digits over many steps."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import Simulate

from sweep import Integration, Job, Model, Target, grid, record, samples
from sweep.errors import JobError
from sweep.observables import ALWAYS, OBSERVABLES, STATUS, Record, parse, record_steps, variables

TIMING = Integration(dt=0.5, duration=20, transient=5)


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ([], r"observe is empty: name at least one observable\. Known: x_mean"),
        (["r_maen"], r"observe = 'r_maen' does not exist\. Did you mean 'r_mean'\?"),
        (["r_mean", "x_var", "r_mean"], r"observe names 'r_mean' 2 times: once is enough\. Remove"),
        (["r"], r"observe = 'r': a whole trajectory is asked for by record\('r', every=\.\.\.\)"),
        (["target_mse"], r"observe = 'target_mse': it compares with a target, and the job has none\. Give"),
        ([record("r", units=[0, 3])], r"record\('r', units=\[0, 3\]\): unit 3 does not exist, the model has 3 units"),
        ([record("r", every=31)], r"record\('r', every=31\): only 30 steps follow the transient\. Use a smaller"),
        ([record("r"), record("r")], r"observe names 'r' 2 times"),
        ([record("r"), record("x", every=2)], r"records of x and r share their times and units: give both the same"),
        ([record("r", units=[0]), record("x")], r"records of x and r share their times and units"),
    ],
)
def test_what_cannot_be_observed_is_refused(observe: list[str | Record], message: str) -> None:
    """The message has the value, the rule, and what to write instead."""
    with pytest.raises(JobError, match=message):
        parse(observe, 3, TIMING, has_target=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("y",), r"record\.variable = 'y' does not exist\. Known: x, r"),
        (("r", 0), r"record\.every = 0: must be a whole number of at least 1"),
        (("r", 1.5), r"every = 1\.5"),
        (("r", True), r"every = True"),
        (("r", 1, []), r"record\.units = \[\]: give different unit numbers, counted from 0"),
        (("r", 1, [0, 0]), r"units = \[0, 0\]"),
        (("r", 1, [-1]), r"units = -1: must be a whole"),
        (("r", 1, [0.5]), r"units = 0\.5: must be a whole"),
    ],
)
def test_records_that_are_not_possible_are_refused(arguments: tuple[object, ...], message: str) -> None:
    """A record needs a variable, a whole number of steps and different units."""
    with pytest.raises(JobError, match=message):
        record(*arguments)


def test_one_observable_may_be_given_without_a_list() -> None:
    """A single name or record is a list of one."""
    assert parse("r_mean", 3, TIMING, has_target=False) == ("r_mean",)
    assert parse(record("r"), 3, TIMING, has_target=False) == (record("r"),)


@given(every=st.integers(1, 60), transient=st.integers(0, 59), steps=st.integers(60, 90))
def test_a_record_counts_from_the_end_of_the_transient(every: int, transient: int, steps: int) -> None:
    """The steps kept are every, 2 every, ... after the transient, none beyond the end."""
    kept = record_steps(every, Integration(dt=1, duration=steps, transient=transient))
    assert kept.tolist() == [step for step in range(transient, steps) if (step - transient + 1) % every == 0]


def test_the_layout_names_dimensions_and_units() -> None:
    """Statistics have units, comparisons lags and targets before them, records time; all have long names."""
    observe = ["r_mean", "target_mse", record("r", every=4, units=[2, 0])]
    layout = variables(observe, 3, TIMING, lags=5, targets=2)
    assert [(v.name, v.dims, v.shape) for v in layout] == [
        ("r_mean", ("unit",), (3,)),
        ("target_mse", ("target", "lag", "unit"), (2, 5, 3)),
        ("r", ("time", "recorded_unit"), (7, 2)),
    ]
    assert variables(observe, 3, TIMING, lags=5, targets=None)[1].dims == ("lag", "unit")
    assert variables([record("r", units=[1])], 3, TIMING, lags=0, targets=None)[0].dims == ("time", "unit")
    assert layout[2].bytes_per_set == 7 * 2 * 4
    for variable in (*layout, *ALWAYS):
        assert variable.attrs["long_name"]
        assert variable.attrs["units"]


def test_status_zero_is_not_run() -> None:
    """A chunk that was never written is read as zeros, and zeros must not look finished."""
    assert STATUS["not_run"] == 0
    assert len(set(STATUS.values())) == len(STATUS)


def test_every_observable_says_what_it_is() -> None:
    """The table is complete: six statistics of x and of r, and two comparisons."""
    assert len(OBSERVABLES) == 14
    assert {name for name, row in OBSERVABLES.items() if row.compares} == {"target_correlation", "target_mse"}
    assert all(re.search(r"synaptic current|firing rate", row.long_name) for row in OBSERVABLES.values())


def test_statistics_keep_their_digits_over_many_steps(simulate: Simulate) -> None:
    """In float32, statistics over 131072 steps are right to 1e-6, and for difficult signals to 1e-5.

    The signals are a mean of 0.9 with a deviation of 0.01; the same after a start far away; a value that never changes
    again after a start far away; and a slow drift. Sums shifted by the first state lose the last three.
    """
    steps = 2**17
    rng = np.random.default_rng(0)
    time = np.arange(steps)
    signals = np.stack(
        [
            rng.normal(0.9, 0.01, steps),
            np.where(time < 20, 100.0, 0) + rng.normal(0.9, 0.01, steps),
            np.where(time < 1, 3.0, 0.9),
            30 * time / steps + rng.normal(0, 0.01, steps),
        ]
    )
    target = signals * 5 + rng.normal(0, 1, signals.shape) + 1000
    job = Job(
        model=Model(units=4, activation="linear", parameters={"tau_s": 0.0, "tau_r": 0.0}),
        input=samples(signals, interval=1.0),
        target=Target(samples(target, interval=1.0)),
        integration=Integration(dt=1, duration=steps),
        observe=["r_mean", "r_var", "x_var", "x_std", "r_min", "r_max", "target_correlation", "target_mse"],
    )
    results = {name: value[0] for name, value in simulate(job).items()}
    seen = signals.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(results["r_mean"], seen.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(results["r_var"][0], seen[0].var(), rtol=1e-6)
    for name, expected in {
        "r_var": seen.var(axis=1),
        "x_var": seen.var(axis=1),
        "x_std": seen.std(axis=1),
        "r_min": seen.min(axis=1),
        "r_max": seen.max(axis=1),
    }.items():
        np.testing.assert_allclose(results[name], expected, rtol=1e-5, err_msg=name)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(seen, target, strict=True)]
    np.testing.assert_allclose(results["target_correlation"][0], correlation, rtol=0, atol=1e-6)
    np.testing.assert_allclose(results["target_mse"][0], ((seen - target) ** 2).mean(axis=1), rtol=1e-6)


@pytest.mark.product
def test_observing_more_changes_nothing(simulate: Simulate) -> None:
    """The values of a variable do not depend on what else is observed."""

    def job(*observe: str | Record) -> Job:
        return Job(
            model=Model(units=5, weights=np.eye(5), parameters={"noise": 0.3, "tau_s": 3.0}),
            target=Target(samples(np.sin(np.arange(60)), interval=1.0), lags=[0, 1]),
            design=grid(gain=[0.3, 0.8]),
            integration=Integration(dt=1, duration=50, transient=7),
            observe=observe,
        )

    everything = (*OBSERVABLES, record("r", every=3), record("x", every=3))
    together = simulate(job(*everything))
    for item in everything:
        name = item.variable if isinstance(item, Record) else item
        assert simulate(job(item))[name].tobytes() == together[name].tobytes(), name
