"""Traps: jobs that run, but whose results depend on something that the user may not have meant.

Each function looks at one trap and warns of it. None goes through the sets: the longest axis bounds what they take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sweep import philox
from sweep.checks.caution import warn
from sweep.design.axes import HeldAxis
from sweep.design.design import Design
from sweep.errors import short
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import Array
from sweep.signals.recorded import Samples
from sweep.signals.signal import Signal
from sweep.signals.targets import Target
from sweep.signals.waveforms import WhiteNoise

#: A warning names the values of so many parameters.
_NAMED = 3

_Flags = npt.NDArray[np.bool_]
_Holds = Callable[[Array], _Flags]


def look(model: Model, design: Design, inputs: Sequence[Signal], integration: Integration) -> None:
    """Warn of every trap that a job is in.

    Parameters
    ----------
    model : Model
        The model.
    design : Design
        Its sets, which fit the model.
    inputs : sequence of Signal
        Its inputs.
    integration : Integration
        Its steps. In the simultaneous scheme r sees the old x, and so x0.
    """
    _noise_of_steps(inputs, design, integration.dt)
    if _somewhere(model, design, ("noise", _positive)):
        _repeated_rows(model, design)
        if _somewhere(model, design, ("tau_s", _zero), ("noise", _positive)):
            warn(
                "tau_s = 0 with noise: an instantaneous current takes a new random number in every step, so its variance depends "
                "on dt: averaged over some time, or by tau_r, it grows in proportion to dt. Give these sets a tau_s of several "
                "dt, or no noise. For white noise of a strength s that does not depend on dt, give noise = s / sqrt(2 dt)."
            )
    else:
        _replicates_alike(design)
    if integration.scheme == "sequential" and _somewhere(model, design, ("tau_s", _zero), ("x0", _given)):
        warn(
            "x0 is given where tau_s = 0: an instantaneous current forgets it in the first step, before r sees "
            "it. Leave x0 out there, or give tau_s above 0; r0 is where the rates start."
        )


def look_at_targets(targets: Sequence[Target], dt: float) -> None:
    """Warn of targets of which only a part is compared."""
    for target in targets:
        signal = target.signal
        if isinstance(signal, Samples) and signal.read == "instant" and dt / signal.interval > 1 + 1e-9:
            warn(
                f"target (samples): a sample every {signal.interval:g} ms, but a step is dt = {dt:g} ms. Of the samples in a "
                'step only the first is compared. Use a smaller dt, or say read = "mean" to compare their mean over the step.'
            )


def _noise_of_steps(inputs: Sequence[Signal], design: Design, dt: float) -> None:
    """Warn of an input of white noise whose power depends on dt."""
    for signal in inputs:
        if not isinstance(signal, WhiteNoise) or (signal.std == 0 and "input_std" not in design.swept):
            continue
        intervals = [signal.interval]
        if "input_interval" in design.swept:
            axis = design.axis("input_interval")
            some = axis.n if isinstance(axis, HeldAxis) else 1  # points that are drawn are all alike in this
            intervals = axis.values(0, some)["input_interval"].tolist()
        uneven = next((each for each in intervals if each and abs(each / dt - round(each / dt)) > 1e-6), None)
        if None in intervals:
            warn(
                f"input: white_noise has a new number in every step of dt = {dt:g} ms, so at another dt it is another noise, and "
                f"its power is proportional to dt. Give interval = {dt:g} (ms): these are the same numbers, and they stay the "
                "same at every dt that divides it."
            )
        elif uneven is not None:
            low = math.floor(uneven / dt)
            warn(
                f"input: white_noise.interval = {uneven:g} ms is no whole number of steps of dt = {dt:g} ms: some "
                f"numbers hold for {low} steps and others for {low + 1}, so the noise depends on dt. Give a multiple of dt."
            )


def _repeated_rows(model: Model, design: Design) -> None:
    """Warn of sets along an axis that are equal in everything, and so in their noise."""
    for axis in design.axes:
        if not isinstance(axis, HeldAxis) or axis.dim in axis.swept:
            continue
        # Equal values make an equal hash: that is how sets come by their noise.
        rows = np.broadcast_to(philox.stream_hash(axis.columns), (axis.n,))
        if "noise" in axis.swept:
            noisy = (axis.columns["noise"].reshape(axis.n, -1) > 0).any(axis=1)
            rows = np.where(noisy, rows, np.arange(axis.n, dtype=np.uint64))
        _, first, count = np.unique(rows, return_index=True, return_counts=True)
        if count.max() == 1:
            continue
        one = first[count > 1].min()
        other = np.flatnonzero(rows == rows[one])[1]
        some = list(axis.columns.items())[:_NAMED]
        values = ", ".join([f"{name} = {short(column[one].tolist())}" for name, column in some])
        values += ", ..." if len(axis.columns) > _NAMED else ""
        warn(
            f"design: rows {one} and {other} along {axis.dim!r} are equal ({values}), so they share their noise and their "
            "results: they count once, not twice. To repeat a set with other noise multiply the design by replicates(n), or "
            "give the rows a column 'replicate' with different numbers."
        )


def _replicates_alike(design: Design) -> None:
    """Warn of replicates that nothing tells apart; the job has no noise."""
    if "replicate" not in design.swept:
        return
    axis = design.axis("replicate")
    if isinstance(axis, HeldAxis) and np.ptp(axis.columns["replicate"]) > 0:
        warn(
            f"replicate takes values up to {axis.range('replicate')[1]:g}, but the job has no noise: all replicates are "
            "alike. Give the parameter 'noise' a value above 0, or leave the replicates out. An input of white noise is the "
            "same for every set: sweep its seed, 'input_seed'."
        )


def _zero(values: Array) -> _Flags:
    return np.asarray(values == 0)


def _positive(values: Array) -> _Flags:
    return np.asarray(values > 0)


def _given(values: Array) -> _Flags:
    return np.asarray(values != 0)


def _somewhere(model: Model, design: Design, *wanted: tuple[str, _Holds]) -> bool:
    """Tell whether some unit of some set has values for which all of this holds."""
    names = [*model.parameters, *design.swept]
    holders = [model.named.holders(base, names) for base, _ in wanted]
    # Units for which the same names hold are looked at together.
    alike, group = np.unique(np.stack([which for _, which in holders]), axis=1, return_inverse=True)
    for number, numbers in enumerate(alike.T):
        own = [each[i] for (each, _), i in zip(holders, numbers, strict=True)]
        if _in(model, design, np.flatnonzero(group == number), own, wanted):
            return True
    return False


def _in(
    model: Model,
    design: Design,
    units: npt.NDArray[np.intp],
    names: Sequence[str],
    wanted: tuple[tuple[str, _Holds], ...],
) -> bool:
    """Tell whether it holds for any of these units, for all of which the same names hold."""
    holds: dict[str, _Flags] = {}
    for name, (base, test) in zip(names, wanted, strict=True):
        dim, values = _values(model, design, base, name)
        rows = test(values[:, units] if values.shape[1] > 1 else values)
        # What lies along the same axis varies together; what lies along different ones is combined.
        holds[dim] = rows & holds[dim] if dim in holds else rows
    some = [rows.any(axis=0) for rows in holds.values()]
    return bool(np.logical_and.reduce(np.broadcast_arrays(*some)).any())


def _values(model: Model, design: Design, base: str, name: str) -> tuple[str, Array]:
    """Return the dimension that a name of a parameter varies along, and its values there, ``(n, unit or 1)``."""
    if name not in design.swept:
        return "", model.parameter(base)[None, :]
    axis = design.axis(name)
    if isinstance(axis, HeldAxis):
        return axis.dim, axis.columns[name].reshape(axis.n, -1)
    # Points that are drawn are never 0, and one of the ends is not either.
    low, high = axis.range(name)
    return axis.dim, np.full((1, 1), high or low)
