"""Decimals: labels are the numbers that people write, and no other number changes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.checks import decimals


@given(digits=st.integers(1, 9999), places=st.integers(0, 6), steps=st.integers(1, 10**7))
def test_a_multiple_of_a_decimal_is_the_decimal(digits: int, places: int, steps: int) -> None:
    """A number of steps of dt is what one gets with pencil and paper."""
    dt = Decimal(digits).scaleb(-places)
    exact = dt * steps
    found = decimals.shortest(steps * float(dt))
    assert found == float(exact) or len(exact.normalize().as_tuple().digits) > 12


@pytest.mark.parametrize(
    "value", [1 / 3, 2 / 3, np.pi, 0.1 + 1e-13, 0.0, 1e-300, 5e-324, 1e300, np.nan, np.inf, -np.inf]
)
def test_other_numbers_stay_as_they_are(value: float) -> None:
    """What is no short decimal is not made one."""
    np.testing.assert_array_equal(decimals.shortest(value), value)


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_keeps_its_decimal(value: float) -> None:
    """A float32 becomes the float64 that is written with the same digits, and stays the same float32."""
    single = np.array([value], dtype=np.float32)
    (found,) = decimals.widened(single)
    assert np.float32(found) == single[0]
    if 1e-12 < abs(value) < 1e28:
        assert found == float(str(single[0]))


def test_wider_numbers_are_not_changed() -> None:
    """Float64 and integers are handed on."""
    for values in (np.array([0.1, 0.1 + 0.2]), np.array([1, 2])):
        assert decimals.widened(values) is values


SPACED = {
    "linspace": (np.linspace(0, 1, 11), [k / 10 for k in range(11)]),
    "linspace around 0": (np.linspace(-1, 1, 21), [k / 10 for k in range(-10, 11)]),
    "arange": (np.arange(-50, 50, 0.1), [k / 10 for k in range(-500, 500)]),
    "many": (np.linspace(0, 5, 50_001), [k / 10_000 for k in range(50_001)]),
    "small": (np.linspace(0, 1e-9, 11), [float(f"{k}e-10") for k in range(11)]),
    "large": (np.arange(0.05, 1.0001, 0.05) * 1e9, [k * 5e7 for k in range(1, 21)]),
    "falling": (np.linspace(1, 0, 11), [k / 10 for k in range(10, -1, -1)]),
    "logarithmic": (np.geomspace(1e-3, 1e3, 7), [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0]),
    "a single value": ([3 * 0.1], [0.3]),
}


@pytest.mark.parametrize(("computed", "meant"), SPACED.values(), ids=SPACED)
def test_values_along_an_axis_become_the_decimals_that_are_meant(computed: Any, meant: list[float]) -> None:
    """Whatever rounding errors their computation has."""
    assert decimals.meant(computed).tolist() == meant
    assert decimals.meant(meant).tolist() == meant


AS_THEY_ARE = {
    "thirds": np.linspace(0, 1, 4),
    "logarithmic": np.geomspace(1, 100, 32)[1:-1],
    "far apart": np.array([1.2345678901234e-13, 1e5, 2e5]),
    "neighbours": np.array([0.3, 3 * 0.1]),
    "close": 1 + np.arange(5) * 2.0**-52,
    "one value": np.zeros(3),
    "drawn": np.random.default_rng(0).normal(size=(40, 3)),
}


@pytest.mark.parametrize("values", AS_THEY_ARE.values(), ids=AS_THEY_ARE)
def test_values_that_are_no_short_decimals_stay(values: np.ndarray) -> None:
    """Not a bit of them changes, and values that differ still do."""
    np.testing.assert_array_equal(decimals.meant(values), values)
