"""Decimals: labels are the numbers that people write, and no other number changes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

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


@given(ends=st.tuples(*[st.decimals(-1000, 1000, places=3)] * 2), num=st.integers(1, 50))
def test_linspace_is_rounded_once(ends: tuple[Decimal, Decimal], num: int) -> None:
    """Every value is the float nearest to the exact one, so that decimals are decimals, and the ends the ends."""
    start, stop = map(Fraction, ends)
    exact = [start + (stop - start) * k / max(1, num - 1) for k in range(num)]
    found = decimals.linspace(float(start), float(stop), num)
    assert found.tolist() == [float(value) for value in exact]
    np.testing.assert_allclose(found, np.linspace(float(start), float(stop), num), rtol=1e-14, atol=1e-12)


def test_linspace_has_the_decimals_that_numpy_has_not() -> None:
    """The fourth of eleven values from 0 to 1 is 0.3."""
    assert decimals.linspace(0, 1, 11).tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert np.linspace(0, 1, 11)[3] != 0.3
