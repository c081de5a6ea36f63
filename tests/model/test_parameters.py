"""Parameters: their names, the values that they can take, and what the table says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep.errors import JobError
from sweep.model.parameters import PARAMETERS, SELECTORS, ParameterName, check_value, parse_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tau_s", ParameterName("tau_s")),
        (" tau_s ", ParameterName("tau_s")),
        ("tau_s[3]", ParameterName("tau_s", (3,))),
        ("bias [ 12 ]", ParameterName("bias", (12,))),
        ("W[0,1]", ParameterName("W", (0, 1))),
        ("W[ 10 , 2 ]", ParameterName("W", (10, 2))),
        ("replicate", ParameterName("replicate")),
    ],
)
def test_names_are_read_and_written_canonically(text: str, name: ParameterName) -> None:
    """A name may have spaces; its canonical spelling has none, and reads as itself."""
    assert parse_name(text) == name
    assert parse_name(str(name)) == name
    assert " " not in str(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tau_z", r"parameter 'tau_z' does not exist\. Did you mean 'tau_[sr]'\?"),
        ("Gain", r"parameter 'Gain' does not exist\. Did you mean 'gain'\?"),
        ("qqqq", r"parameter 'qqqq' does not exist\. Known: tau_s, tau_r"),
        ("tau_s[-1]", r"parameter 'tau_s\[-1\]' does not exist"),
        ("tau_s[0", r"does not exist"),
        ("", r"parameter '' does not exist"),
        ("tau_s[0,1]", r"parameter 'tau_s\[0,1\]': tau_s takes one index, the units\. Write 'tau_s'"),
        ("gain[0]", r"parameter 'gain\[0\]': gain takes two indices.*gain\[E,I\]\. Write 'gain'"),
        ("network[1]", r"parameter 'network\[1\]': network takes no index"),
        ("W", r"parameter 'W': a weight is named by two units.*'W\[0,1\]'.*sweep 'network'"),
        ("W[1]", r"parameter 'W\[1\]': a weight is named by two units"),
    ],
)
def test_names_that_do_not_exist_are_refused(text: str, message: str) -> None:
    """The message names the wrong name and the right one."""
    with pytest.raises(JobError, match=message):
        parse_name(text)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tau_s", -1.0, r"tau_s = -1: the time constant of the synaptic current must be at least 0\..*instantaneous"),
        ("tau_r[2]", [3, -2], r"tau_r\[2\] = -2: the time constant of the firing rate of unit 2 must be at least 0"),
        (
            "noise",
            [0.1, -0.1],
            r"noise = -0\.1: the standard deviation of the noise current must be at least 0\. Correct",
        ),
        ("bias", [0, np.nan], r"bias = nan at \[1\]: every number must be finite\. Remove"),
        ("W[0,1]", np.inf, r"W\[0,1\] = inf: every number must be finite"),
        ("gain", "high", r"gain = 'high': must be a number or an array of numbers"),
        ("gain", [[1, 2], [3]], r"gain = .*: its rows differ in length\. Give every row"),
        ("network", 0.5, r"network = 0\.5: the number of the weight matrix in the ensemble must be a whole number"),
        ("replicate", -1, r"replicate = -1: the number of the noise stream must be at least 0"),
    ],
)
def test_values_that_a_parameter_cannot_take_are_refused(name: str, value: Any, message: str) -> None:
    """The message names the parameter in words, the value and the bound."""
    with pytest.raises(JobError, match=message):
        check_value(name, value)


def test_values_that_a_parameter_can_take_pass() -> None:
    """Time constants of 0 are allowed, negative values are refused only where the table says so, and no values stay none."""
    for name in ("tau_s", "tau_r", "noise", "network"):
        check_value(name, [0, 1, 5])
    for name in ("gain", "bias", "slope", "threshold", "x0", "r0", "W[0,1]"):
        check_value(name, [-1e30, 0, 1e30])
    check_value("tau_s", [])


def test_the_table_is_what_the_design_says() -> None:
    """Ten parameters, of which two are one number per set, and three selectors; all have units and meanings."""
    assert set(PARAMETERS) == {
        "tau_s", "tau_r", "gain", "input_gain", "bias", "slope", "threshold", "noise", "x0", "r0"
    }  # fmt: skip
    assert {name for name, row in PARAMETERS.items() if not row.per_unit} == {"gain", "input_gain"}
    assert set(SELECTORS) == {"network", "stimulus", "replicate"}
    for name, row in {**PARAMETERS, **SELECTORS}.items():
        assert row.name == name
        assert row.long_name
        assert row.units == ("ms" if name.startswith("tau") else "1")
        check_value(name, row.default)


def test_an_index_completes_the_long_name() -> None:
    """The labels of a swept unit or weight say which it is."""
    assert parse_name("bias[2]").parameter.long_name == "constant drive of a unit of unit 2"
    assert parse_name("W[0,1]").parameter.long_name == "weight from unit 1 to unit 0"
