"""Activations are their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference import ACTIVATIONS as FORMULAS

from sweep.model.activations import ACTIVATIONS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=30)
@given(values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_activations_are_their_formulas_everywhere(name: str, dtype: type, values: list[float]) -> None:
    """Each activation is finite and right over its whole range, in place and into another array."""
    z = np.array([*values, -800, -90, -20, -1, -1e-3, 0, 1e-3, 1, 20, 90, 800], dtype=dtype)
    out, place, scratch = np.empty_like(z), z.copy(), np.empty_like(z)
    with np.errstate(over="ignore", under="ignore"):
        ACTIVATIONS[name].apply(z, out, scratch)
        ACTIVATIONS[name].apply(place, place, scratch)
        expected = FORMULAS[name](z.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)
    np.testing.assert_array_equal(place, out)
