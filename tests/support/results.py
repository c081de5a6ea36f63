"""Small results: two units for a few steps, and the ranges that are swept."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

import sweep

TAU_S = np.geomspace(1, 100, 5)
GAIN = np.linspace(0.5, 2, 4)


def result(design: sweep.Design, **fields: Any) -> xr.Dataset:
    """Simulate two units for a few steps."""
    given: dict[str, Any] = {
        "model": sweep.Model(2, np.array([[0.0, 0.5], [-0.5, 0.0]])),
        "input": sweep.constant(1.0),
        "integration": sweep.Integration(0.5, 4.0),
        "observe": ["r_mean"],
    }
    return sweep.simulate(sweep.Job(design=design, **(given | fields)), backend="numpy")
