"""What the tests of stores compare with."""

from __future__ import annotations

import pytest
import xarray as xr
from support.jobs import small

import sweep


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    """Return what the small job results in."""
    return sweep.simulate(small())
