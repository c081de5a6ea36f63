"""The parameter table, the activations, and what a model refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference import ACTIVATIONS as FORMULAS

from sweep import Model
from sweep.errors import JobError
from sweep.model.activations import ACTIVATIONS
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
        ("tau_s[0,1]", r"parameter 'tau_s\[0,1\]': tau_s takes one index, the unit\. Write 'tau_s'"),
        ("gain[0]", r"parameter 'gain\[0\]': gain takes no index\. Write 'gain'"),
        ("network[1]", r"parameter 'network\[1\]': network takes no index"),
        ("W", r"parameter 'W': a weight is named by two units.*'W\[0,1\]'.*sweep 'network'"),
        ("W[1]", r"parameter 'W\[1\]': a weight is named by two units"),
    ],
)
def test_names_that_do_not_exist_are_refused(text: str, message: str) -> None:
    """The message names what was written and what would be right."""
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
    """Zero time constants are allowed, signs matter only where the table says so, and nothing is nothing."""
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=30)
@given(values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_activations_are_their_formulas_everywhere(name: str, dtype: type, values: list[float]) -> None:
    """Each activation is finite and right from tail to tail, in place and out of place."""
    z = np.array([*values, -800, -90, -20, -1, -1e-3, 0, 1e-3, 1, 20, 90, 800], dtype=dtype)
    out, place, scratch = np.empty_like(z), z.copy(), np.empty_like(z)
    with np.errstate(over="ignore", under="ignore"):
        ACTIVATIONS[name].apply(z, out, scratch)
        ACTIVATIONS[name].apply(place, place, scratch)
        expected = FORMULAS[name](z.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)
    np.testing.assert_array_equal(place, out)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"units": 0}, r"model\.units = 0: must be a whole number of at least 1"),
        ({"units": 2.0}, r"model\.units = 2\.0"),
        ({"units": True}, r"model\.units = True"),
        ({"activation": "tahn"}, r"model\.activation = 'tahn' does not exist\. Did you mean 'tanh'\?"),
        (
            {"weights": np.zeros((3, 2))},
            r"model\.weights has shape \(3, 2\): it must be \(2, 2\) or \(networks, 2, 2\)",
        ),
        ({"weights": np.zeros(4)}, r"model\.weights has shape \(4,\)"),
        ({"weights": np.zeros((0, 2, 2))}, r"model\.weights has shape \(0, 2, 2\)"),
        ({"weights": [[0, np.nan], [0, 0]]}, r"model\.weights = nan at \[0, 1\]: every number must be finite"),
        (
            {"weights": "gaussian"},
            r"model\.weights = 'gaussian': must be a number or an array of numbers, none masked\. Remove",
        ),
        ({"input_weights": np.zeros((3, 2))}, r"model\.input_weights has shape \(3, 2\): it must be \(2, channels\)"),
        ({"input_weights": np.zeros(2)}, r"model\.input_weights has shape \(2,\).*Transpose"),
        ({"parameters": {"tua_s": 1.0}}, r"parameter 'tua_s' does not exist\. Did you mean 'tau_s'\?"),
        ({"parameters": {"tau_s": -1.0}}, r"tau_s = -1"),
        (
            {"parameters": {"tau_s": [1.0] * 3}},
            r"model\.parameters\.tau_s has shape \(3,\): give one number, or one per",
        ),
        (
            {"parameters": {"gain": [1.0, 2.0]}},
            r"model\.parameters\.gain has shape \(2,\): it takes one number per set",
        ),
        ({"parameters": {"tau_s[0]": 1.0}}, r"model\.parameters\.tau_s\[0\]: .*a list for tau_s, or sweep tau_s\[0\]"),
        ({"parameters": {"W[0,1]": 1.0}}, r"model\.parameters\.W\[0,1\]: .*into the weights, or sweep W\[0,1\]"),
        ({"parameters": {"gain": 1.0, " gain": 2.0}}, r"names a parameter twice"),
    ],
)
def test_models_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    """Shapes, names and values are checked when the model is made."""
    with pytest.raises(JobError, match=message):
        Model(**({"units": 2} | fields))


def test_a_model_cannot_be_changed() -> None:
    """Arrays are copied and read-only, so that neither the caller's array nor the model's changes the other."""
    weights, taus = np.zeros((2, 2)), np.ones(2)
    model = Model(units=2, weights=weights, input_weights=weights, parameters={"tau_s": taus})
    weights[:], taus[:] = 5, 5
    assert model.weights is not None
    assert model.input_weights is not None
    for array, value in ((model.weights, 0), (model.input_weights, 0), (model.parameter("tau_s"), 1)):
        assert (array == value).all()
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0, 0] = 1
    with pytest.raises(AttributeError):
        model.units = 3


def test_networks_counts_the_ensemble() -> None:
    """A matrix, or none, is an ensemble of one."""
    assert Model(units=2).networks == 1
    assert Model(units=2, weights=np.zeros((2, 2))).networks == 1
    assert Model(units=2, weights=np.zeros((4, 2, 2))).networks == 4


def test_an_input_needs_weights_unless_they_can_be_assumed() -> None:
    """One channel reaches all units, N channels reach one each, and anything else needs input weights."""
    np.testing.assert_array_equal(Model(units=3).input_matrix(1), np.ones((3, 1)))
    np.testing.assert_array_equal(Model(units=3).input_matrix(3), np.eye(3))
    np.testing.assert_array_equal(Model(units=1).input_matrix(1), [[1]])
    with pytest.raises(
        JobError, match=r"the input has 2 channels and the model 3 units.*input_weights of shape \(3, 2\)"
    ):
        Model(units=3).input_matrix(2)
    with pytest.raises(JobError, match=r"model\.input_weights has 2 channels but the input has 1: they must agree"):
        Model(units=3, input_weights=np.ones((3, 2))).input_matrix(1)
