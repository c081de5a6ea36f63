"""A network: its parts fit together, and it cannot be changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep import Model
from sweep.errors import JobError


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
    """A single matrix, or no matrix, is an ensemble of one."""
    assert Model(units=2).networks == 1
    assert Model(units=2, weights=np.zeros((2, 2))).networks == 1
    assert Model(units=2, weights=np.zeros((4, 2, 2))).networks == 4


def test_an_input_needs_weights_unless_they_can_be_assumed() -> None:
    """One channel goes to all units, N channels go to one unit each, and all other inputs need input weights."""
    np.testing.assert_array_equal(Model(units=3).input_matrix(1), np.ones((3, 1)))
    np.testing.assert_array_equal(Model(units=3).input_matrix(3), np.eye(3))
    np.testing.assert_array_equal(Model(units=1).input_matrix(1), [[1]])
    with pytest.raises(
        JobError, match=r"the input has 2 channels and the model 3 units.*input_weights of shape \(3, 2\)"
    ):
        Model(units=3).input_matrix(2)
    with pytest.raises(JobError, match=r"model\.input_weights has 2 channels but the input has 1: they must agree"):
        Model(units=3, input_weights=np.ones((3, 2))).input_matrix(1)
