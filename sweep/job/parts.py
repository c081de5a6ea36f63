"""Whether the parts of a job fit each other: what none of them can check alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sweep.design.design import Design
from sweep.errors import JobError
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import PARAMETERS, parse_name
from sweep.signals.measurements import Measured
from sweep.signals.signal import Signal
from sweep.signals.targets import ModelOutput, Target

# Times are sums of steps, and may miss a duration by rounding.
_ROUNDING = 1e-12


def check_design(design: Design, model: Model, inputs: Sequence[Signal], integration: Integration) -> None:
    """Check that what is swept is there, and that Euler's method is stable for all of it.

    Raises
    ------
    JobError
        If a unit, a population, a network or an input does not exist, names contradict each other, values per unit are of
        another number of units, or dt/tau is 2 or more; see :meth:`Integration.check_stability`, which also warns.
    """
    names = [*model.parameters, *design.swept]
    try:
        for name in design.swept:
            model.named.at(parse_name(name))
        scaled = model.named.projections(names)
        layers = {base: model.named.holders(base, names) for base in PARAMETERS}
    except JobError as error:
        raise JobError(f"design: {error}") from None
    if scaled and model.weights is None and not any(parse_name(name).base == "W" for name in names):
        raise JobError(
            f"{next(iter(scaled))} scales weights, and the model has none. Give model.weights, or leave it out."
        )
    for holders, which in layers.values():
        idle = [name for name in holders if name in design.swept and holders.index(name) not in which]
        if idle:
            held = ", ".join(holders[number] for number in np.unique(which))
            raise JobError(
                f"design: {idle[0]} holds for no unit, because {held} name all of them: sweeping it would change nothing. "
                f"Sweep these, or leave them out of model.parameters."
            )
    for name in design.swept:
        width = design.axis(name).width(name)
        if width not in (1, model.units):
            raise JobError(
                f"design: {name} has {width} values per set, one per unit, but the model has {model.units} units. Give as "
                "many, or one for all."
            )
    if model.populations and "population" in design.dims:
        raise JobError(
            "dimension 'population': results of a model with populations have a coordinate of that name. Call it something "
            "else, such as 'point'."
        )
    for name, count, what in (("network", model.networks, "weight matrices"), ("stimulus", len(inputs), "inputs")):
        highest = _highest(name, design, model)
        if highest >= max(count, 1):
            raise JobError(
                f"{name} = {highest:g}: the job has {count} {what}, counted from 0. Give more, or sweep fewer."
            )
    shortest = {}
    for base in ("tau_s", "tau_r"):
        tau = math.inf
        holders, which = layers[base]
        for number in np.unique(which):
            if holders[number] in design.swept:
                tau = min(tau, design.axis(holders[number]).range(holders[number])[0])
            else:
                common = np.broadcast_to(model.parameter(base), which.shape)[which == number]
                tau = min(tau, common.min(where=common > 0, initial=math.inf))
        if math.isfinite(tau):
            shortest[base] = float(tau)
    integration.check_stability(shortest)


def check_inputs(inputs: Sequence[Signal], model: Model, integration: Integration) -> None:
    """Check that every input has the channels of the others and of the model, and lasts as long as the run.

    Raises
    ------
    JobError
        If not, or if it cannot be sampled in steps of dt, or is the output of a model.
    """
    channels = {signal.channels for signal in inputs}
    if len(channels) > 1:
        raise JobError(
            f"input: the signals of an ensemble have {sorted(channels)} channels; all must have as many. Correct them."
        )
    for signal in inputs:
        if isinstance(signal, ModelOutput):
            raise JobError("input: the output of a model can be a target, not an input. Record it and use samples().")
        check_input(signal, integration)
        if model.input_weights is None:
            _check_order("input", signal, model)
    if channels:
        model.input_matrix(channels.pop())


def check_input(signal: Signal, integration: Integration) -> None:
    """Raise JobError if an input is shorter than the run, or cannot be sampled in steps of dt."""
    if signal.duration < integration.duration * (1 - _ROUNDING):
        raise JobError(
            f"input lasts {signal.duration:g} ms but integration.duration = {integration.duration:g} ms: the input must "
            "last as long. Shorten the duration."
        )
    signal.sample(0, 1, integration.dt)


def check_targets(targets: Sequence[Target], model: Model, integration: Integration) -> None:
    """Check that every target can be compared with the rates, at all of its lags.

    Raises
    ------
    JobError
        If lags differ or are no whole numbers of steps, channels are not those of the units, the target ends before the run, or
        it cannot be sampled in steps of dt.
    """
    if len({target.lags for target in targets}) > 1:
        raise JobError("target: several targets share their lags. Give all the same.")
    for target in targets:
        for lag in target.lags:
            integration.count("target.lags", lag)
        signal = target.signal
        if not isinstance(signal, Measured) and min(target.lags) < -integration.transient:
            raise JobError(
                f"target.lags = {min(target.lags):g} ms: with integration.transient = {integration.transient:g} ms the target "
                "would be read before its start. Use a longer transient or a smaller lag."
            )
        if isinstance(signal, ModelOutput):
            continue
        if signal.channels not in (1, model.units):
            raise JobError(
                f"target has {signal.channels} channels: it needs 1, compared with every unit, or one per unit "
                f"({model.units}). Choose channels, or correct units."
            )
        _check_order("target", signal, model)
        # A last measurement that is not whole may be missing.
        spacing = signal.spacing if isinstance(signal, Measured) else 0.0
        missing = integration.duration - signal.duration
        if missing > integration.duration * _ROUNDING and missing > spacing * (1 - _ROUNDING):
            raise JobError(
                f"target lasts {signal.duration:g} ms but integration.duration = {integration.duration:g} ms: the target must "
                "last as long. Shorten the duration."
            )
        if not isinstance(signal, Measured):
            signal.sample(0, 1, integration.dt)


def _check_order(key: str, signal: Signal, model: Model) -> None:
    """Raise JobError if the channels of a signal have labels of units, but not each that of its own unit."""
    named = getattr(getattr(signal, "recorded", signal), "labels", None)
    units = model.unit_labels
    if named is None or units is None or len(named) != len(units) or not set(named) & set(units):
        return
    for number, (channel, unit) in enumerate(zip(named, units, strict=True)):
        if channel != unit:
            raise JobError(
                f"{key}: channel {number} is {channel!r} and unit {number} is {unit!r}, but each unit gets the channel of its "
                "number. Put both into one order, for example with .sel(...)."
            )


def _highest(selector: str, design: Design, model: Model) -> float:
    """Return the largest value of a selector."""
    return design.axis(selector).range(selector)[1] if selector in design.swept else model.parameter(selector).item()
