"""The sets of a teacher: a model that makes a target, simulated as if it were one of the job's own sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sweep.design.axes import HeldAxis
from sweep.design.design import Design
from sweep.model.network import Model
from sweep.model.parameters import Array, parse_name
from sweep.signals.signal import Signal
from sweep.signals.targets import Target
from sweep.signals.waveforms import Constant


def parameters(given: Mapping[str, Any], instead: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with others instead of them. One of all units takes the place of those of some units.

    Parameters that are None instead are left as they are, because a design has their values.
    """
    whole = {name for name in instead if not parse_name(name).index}
    kept = {
        name: value for name, value in given.items() if parse_name(name).is_factor or parse_name(name).base not in whole
    } | {name: value for name, value in given.items() if name in whole}
    return kept | {name: value for name, value in instead.items() if value is not None}


def sets(model: Model, design: Design, rows: Mapping[str, Array]) -> Design:
    """Return the design of a teacher.

    It sweeps what the design of the job sweeps, so that a back end takes the same steps for it, to the bit.

    Parameters
    ----------
    model : Model
        The teacher's model.
    design : Design
        The design of the job.
    rows : mapping of str to ndarray
        Values of swept parameters, ``(teacher,)``; the others have the value of the model in every row.
    """
    if not design.swept:
        return Design(())
    n = max(map(len, rows.values()), default=1)
    columns: dict[str, Array] = {}
    for name in design.swept:
        # What is swept in some units alone is given for all units, because the teacher's may differ in any of them.
        key = parse_name(name)
        own = name if key.base == "W" or key.is_factor else key.base
        columns[own] = rows[own] if own in rows else _repeated(model, design, name, n, rows)
    return Design((HeldAxis("teacher", columns),))


def _repeated(model: Model, design: Design, name: str, n: int, rows: Mapping[str, Array]) -> Array:
    """Return the model's value of a swept parameter, ``(n,)``, or ``(n, unit)`` where it may differ between units."""
    key = parse_name(name)
    if key.is_factor:
        return np.full(n, float(np.asarray(model.parameters.get(name, 1.0))))
    if key.base == "W":
        weights = np.zeros((1, model.units, model.units)) if model.weights is None else model.weights
        network = rows.get("network", np.broadcast_to(model.parameter("network"), (n,))).astype(np.intp)
        to, source = key.entry
        entries: Array = weights.reshape(-1, model.units, model.units)[network, to, source]
        return entries
    value = model.parameter(key.base)
    width = model.units if key.index else max(value.size, design.axis(name).width(name))
    return np.broadcast_to(value, (n, width)) if width > 1 else np.repeat(value, n)


def stand_ins(targets: tuple[Target, ...], dt: float) -> tuple[Target, ...]:
    """Return as many targets with as many lags, which need nothing: with fewer a back end might choose another kernel."""
    zero: Signal = Constant(0.0)
    return tuple(Target(zero, tuple(k * dt for k in range(len(target.lags)))) for target in targets)
