"""Time: whole steps, rate constants, and when Euler's method is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import Design, Integration, Job, Model, grid, random, zipped
from sweep.errors import JobError
from sweep.model.integration import rate_constant


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dt": 0}, r"integration\.dt = 0: must be above 0"),
        ({"dt": -1}, r"integration\.dt = -1: must be above 0"),
        ({"dt": float("nan")}, r"integration\.dt = nan: must be finite"),
        ({"dt": "1"}, r"integration\.dt = '1': must be a number"),
        ({"dt": True}, r"integration\.dt = True"),
        ({"duration": 0.1}, r"integration\.duration = 0\.1 ms: must hold at least one step of 0\.5 ms"),
        ({"duration": float("inf")}, r"integration\.duration = inf: must be finite"),
        ({"duration": 10.2}, r"integration\.duration = 10\.2 ms: must be a whole number of steps of dt = 0\.5 ms\. "
                             r"The nearest is 10 ms"),
        ({"transient": -1}, r"integration\.transient = -1: must be at least 0"),
        ({"transient": 10}, r"integration\.transient = 10 ms: .*Shorten it or lengthen the duration"),
        ({"transient": float("nan")}, r"integration\.transient = nan: must be finite"),
        ({"transient": 0.3}, r"integration\.transient = 0\.3 ms: must be a whole number of steps"),
        ({"scheme": "euler"}, r"integration\.scheme = 'euler' does not exist\. Known: sequential, simultaneous"),
        ({"scheme": "sequental"}, r"integration\.scheme = 'sequental' does not exist\. Did you mean 'sequential'\?"),
        ({"precision": "float16"}, r"integration\.precision = 'float16' does not exist\. Did you mean 'float"),
    ],
)  # fmt: skip
def test_times_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    """The message names the key, the value and what is possible."""
    with pytest.raises(JobError, match=message):
        Integration(**({"dt": 0.5, "duration": 10} | fields))


@given(steps=st.integers(1, 10**7), dt=st.sampled_from([0.1, 0.25, 1 / 3, 0.001, 0.7, 1.0, 2.5]))
def test_a_whole_number_of_steps_is_recognised(steps: int, dt: float) -> None:
    """Rounding of steps times dt never adds or loses a step."""
    timing = Integration(dt=dt, duration=steps * dt, transient=(steps // 2) * dt)
    assert timing.steps == steps
    assert timing.transient_steps == steps // 2


def test_numbers_of_any_kind_are_milliseconds() -> None:
    """Integers and NumPy's numbers become floats, so that equal jobs are equal."""
    assert Integration(np.float32(0.5), np.int64(10), 5) == Integration(0.5, 10.0, 5.0)
    assert Integration(1, 2).dtype == np.float32
    assert Integration(1, 2, precision="float64").dtype == np.float64


def test_a_time_constant_of_zero_is_instantaneous() -> None:
    """The rate constant is dt/tau, and 1 at tau = 0."""
    np.testing.assert_array_equal(rate_constant(0.5, [0.0, 0.5, 2.0]), [1.0, 1.0, 0.25])


def stable(design: Design | None = None, dt: float = 1.0, allow_unstable: bool = False, **parameters: Any) -> Job:
    """Make a job of two units."""
    return Job(
        model=Model(units=2, parameters=parameters),
        design=design or Design(()),
        integration=Integration(dt, 10, allow_unstable=allow_unstable),
        observe=["r_mean"],
    )


UNSTABLE: list[dict[str, Any]] = [
    {"tau_s": 0.5},
    {"tau_r": [10.0, 0.4]},
    {"design": grid(tau_s=[0.5, 10.0])},
    {"design": grid(**{"tau_r[1]": [0.5, 10.0]})},
    {"design": zipped("point", tau_s=[[10, 10], [10, 0.1]])},
    {"design": random(5, 1, tau_r=(0.3, 10))},
]


@pytest.mark.parametrize("fields", UNSTABLE, ids=range(len(UNSTABLE)))
def test_an_unstable_step_is_refused_wherever_it_comes_from(fields: dict[str, Any]) -> None:
    """With dt/tau of 2 or more there is an error that names the remedy, unless allow_unstable is set."""
    rule = r"tau_[sr] = 0\.\d ms with integration\.dt = 1 ms: dt/tau = .*unstable from 2 on\. "
    with pytest.raises(JobError, match=rule + r"Use a dt of at most 0\.\d ms, a longer tau_[sr], or exactly 0"):
        stable(**fields)
    with pytest.warns(UserWarning, match="overshoots"):
        stable(allow_unstable=True, **fields)


def test_a_step_that_overshoots_warns() -> None:
    """With dt/tau above 1 and below 2 the job runs with a warning."""
    with pytest.warns(UserWarning, match=r"tau_s = 0\.6 ms with integration\.dt = 1 ms: dt/tau = 1\.66667 is above 1"):
        stable(tau_s=0.6)


def test_stable_steps_pass_without_a_word() -> None:
    """dt/tau up to 1, and a time constant of 0, are neither refused nor warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stable(tau_s=1.0, tau_r=0.0)
        stable(dt=0.1, tau_s=0.1)
        stable(grid(tau_s=[0.0, 1.0, 5.0]), tau_r=[0.0, 1.0])
        # The model's own value counts only if the design does not replace it.
        stable(grid(tau_s=[2.0]), tau_s=0.1)
