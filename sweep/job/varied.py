"""Numbers of the input that a design varies: whether the input can have every one of their values, before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from sweep.design.axes import Axis, HeldAxis
from sweep.design.design import Design
from sweep.errors import JobError
from sweep.job.parts import check_input
from sweep.model.integration import Integration
from sweep.model.parameters import Array
from sweep.signals.numbers import Varied, check_names
from sweep.signals.signal import Signal
from sweep.signals.waveforms import Formula


def check(design: Design, names: Sequence[str], inputs: Sequence[Signal], integration: Integration) -> None:
    """Check that the input can have the numbers that the design gives it.

    Parameters
    ----------
    design : Design
        The sets.
    names : sequence of str
        The numbers of the input that it varies, by their names as parameters.
    inputs : sequence of Signal
        The inputs of the job.
    integration : Integration
        For its step and its duration.

    Raises
    ------
    JobError
        If there is not exactly one input, if it does not have such a number, or if it cannot have one of the values.
    """
    if not names:
        return
    if len(inputs) != 1:
        many = f"{len(inputs)} inputs" if inputs else "no input"
        remedy = (
            "Give each its own numbers, and sweep 'stimulus'." if inputs else "Give one, such as sine(frequency=5.0)."
        )
        raise JobError(f"design: {names[0]} is swept, but the job has {many}: it must have exactly one. {remedy}")
    (signal,) = inputs
    check_names(signal, names)
    axes = [axis for axis in design.axes if set(axis.swept) & set(names)]
    own = [[name for name in axis.swept if name in names] for axis in axes]
    order = [name for some in own for name in some]
    wrong = _first_wrong(signal, order, _rows(axes, own, every=isinstance(signal, Formula)), integration)
    if wrong is not None:
        row, error = wrong
        values = ", ".join(f"{name} = {value:g}" for name, value in zip(order, row, strict=True))
        raise JobError(f"design: {values}: the input cannot be so. {error}")


def _rows(axes: Sequence[Axis], own: Sequence[list[str]], every: bool) -> Array:
    """Return rows of numbers that decide whether the input can have all of them, ``(row, name)``.

    A rule about one number is decided by its ends. A rule about two of them is decided by every row of a table, and across axes
    by the ends; this is asked for with ``every``.
    """
    ends = [_ends(axis, names) for axis, names in zip(axes, own, strict=True)]
    parts = []
    for k, (axis, names) in enumerate(zip(axes, own, strict=True)):
        whole = _values(axis, names) if every and isinstance(axis, HeldAxis) and len(names) > 1 else ends[k]
        parts += [np.concatenate(row) for row in itertools.product(*ends[:k], whole, *ends[k + 1 :])]
    return np.array(parts)


def _values(axis: HeldAxis, names: list[str]) -> Array:
    """Return the values along an axis, ``(row, name)``."""
    return np.stack([axis.columns[name] for name in names], axis=1)


def _ends(axis: Axis, names: list[str]) -> Array:
    """Return the rows in which a number has its smallest or its largest value; the corners of ranges."""
    if not isinstance(axis, HeldAxis):
        return np.array(list(itertools.product(*((one.low, one.high) for one in axis.ranges if one.name in names))))
    values = _values(axis, names)
    chosen: Array = values[np.unique([values.argmin(axis=0), values.argmax(axis=0)])]
    return chosen


def _first_wrong(
    signal: Signal, names: Sequence[str], rows: Array, integration: Integration
) -> tuple[Array, JobError] | None:
    """Return a row of numbers that the signal cannot have, and why; None if it can have all."""
    try:
        several = Varied(signal, dict(zip(names, rows.T, strict=True)))
        for one in several.together():
            check_input(one, integration)
    except JobError as error:
        if len(rows) == 1:
            return rows[0], error
        # Look in both halves, so that the message names the values of a single row.
        half = len(rows) // 2
        first = _first_wrong(signal, names, rows[:half], integration)
        return first or _first_wrong(signal, names, rows[half:], integration)
    return None
