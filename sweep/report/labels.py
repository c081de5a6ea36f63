"""The labels at a position of a result: which there are, which of them to say, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from sweep.errors import JobError
from sweep.job import Report
from sweep.model.parameters import PARAMETERS, SELECTORS, parse_name

Position = dict[str, int]


def is_parameter(name: str) -> bool:
    """Return whether a coordinate is a parameter that can be swept."""
    try:
        return bool(parse_name(name).base)
    except JobError:
        return False


def along(ds: xr.Dataset, dim: str) -> list[str]:
    """Return the coordinates that label a dimension: first its own, then parameters in the order of their table.

    Rate constants come last.
    """
    order = {name: i for i, name in enumerate((*PARAMETERS, "W", *SELECTORS))}
    names = [str(n) for n, c in ds.coords.items() if c.dims == (dim,) and (n == dim or str(n).startswith("alpha_"))]
    names += [str(n) for n, c in ds.coords.items() if c.dims[:1] == (dim,) and n != dim and is_parameter(str(n))]
    return sorted(names, key=lambda n: (n != dim, order.get(n.partition("[")[0], len(order)), n))


def labels_at(ds: xr.Dataset, position: Position) -> dict[str, Any]:
    """Return the labels at a position: numbers, or tuples for parameters with a value for each unit."""
    labels = {}
    for dim, index in position.items():
        for name in along(ds, dim):
            value = ds[name].isel({dim: index}).to_numpy()
            labels[name] = value.item() if value.ndim == 0 else tuple(value.tolist())
    return labels


def telling(ds: xr.Dataset, labels: Mapping[str, Any], report: Report) -> tuple[str, ...]:
    """Return the labels to say.

    A rate constant is said in place of its time constant if the report is drawn over it, and otherwise not at all.
    """
    rates = {name for name in labels if name.startswith("alpha_")}
    asked = rates & {report.x, report.y, report.panel}
    silent = (rates - asked) | {f"tau_{name[-1]}" for name in asked}
    return tuple(name for name in labels if name not in silent and ds.sizes[ds[name].dims[0]] > 1)


def phrase(name: str, value: Any, units: str) -> str:
    """Return a label as text, such as ``tau_s = 0.43 ms``."""
    number = f"{min(value):.4g} to {max(value):.4g}" if isinstance(value, tuple) else f"{value:.4g}"
    return f"{name} = {number}{'' if units == '1' else f' {units}'}"
