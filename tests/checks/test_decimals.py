"""Decimals: labels are the numbers that people write, and no other number changes."""

from __future__ import annotations

from decimal import Decimal

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
