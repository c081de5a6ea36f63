"""What was measured, from whatever holds it: arrays, tables, files, arrays with named dimensions.

All of it becomes an array (channel, time) with the time of its first sample and the time between samples, as far as they
are known. Tables and labelled arrays are known by what they offer, so that neither pandas nor xarray is imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.checks import array, one_of
from sweep.checks.decimals import shortest
from sweep.checks.units import Milliseconds, plain
from sweep.errors import JobError
from sweep.files import READERS, TIME, Column, Table, number_of, read, read_segment, warn_of_times
from sweep.signals.columns import Columns
from sweep.signals.spacing import TIME_UNITS, evenly_spaced, milliseconds

Array = NDArray[np.float64]

DIMS = ("channel", "time")
#: The attribute of a record's times that says that they are those after a step, and how long the step is, ms.
AFTER_STEP = "after_step"
_KEY = "samples.array"
_TABULAR = ("dims", "column", "columns", "time_column")


@dataclass(frozen=True, eq=False)
class Loaded:
    """Values (channel, time), or (time,), and what is known of their times, ms."""

    values: Array
    begin: float = 0.0
    interval: float | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a source is meant, in the words of `samples`."""

    column: Column | None = None
    columns: Sequence[Column] | None = None
    time_column: Column | None = None
    time_unit: str | None = None
    dims: Sequence[str] | None = None
    reader: str | None = None
    segment: int | None = None
    timed: bool = False
    """Whether the interval is given, so that times need not be looked for."""


def loaded(source: Any, choice: Choice) -> Loaded:
    """Return what was measured.

    Raises
    ------
    JobError
        If the source cannot be read, if it does not have what is chosen, or if its times are uneven.
    """
    _check(choice, of_signals=choice.reader is not None or hasattr(source, "analogsignals"))
    if isinstance(source, str | os.PathLike):
        if choice.reader is not None:
            return _of_segment(read_segment(source, choice.segment), f"the file {str(source)!r}", choice)
        content = read(source, choice.column)
        whose = f"the file {str(source)!r}"
        if isinstance(content, Table):
            return _of_columns(Columns.of_table(whose, content), choice)
        return _of_saved(content, whose, choice)
    if hasattr(type(source), "dims") and hasattr(type(source), "coords"):
        return _of_labelled(source, choice)
    if hasattr(type(source), "iloc"):
        return _of_frame(source, choice)
    if hasattr(source, "analogsignals"):
        return _of_segment(source, "the segment", choice)
    if hasattr(type(source), "t_start") and hasattr(source, "times") and hasattr(source, "magnitude"):
        _refuse(choice, _TABULAR, "a signal has none of its own. Index it instead.")
        return _of_signal(source)
    _refuse(choice, _TABULAR[1:], "only a file has columns. Index the array instead.")
    return Loaded(_by_channel(array(_KEY, source), DIMS, choice))


def _check(choice: Choice, of_signals: bool) -> None:
    if choice.column is not None and choice.columns is not None and not of_signals:
        raise JobError(
            f"samples.columns = {choice.columns!r}: column = {choice.column!r} is given too. Leave one of the two out."
        )
    columns = choice.columns
    if columns is not None and (isinstance(columns, str) or not hasattr(columns, "__len__") or not len(columns)):
        raise JobError(f"samples.columns = {choice.columns!r}: must be a list of columns. Write [first, second, ...].")
    for key, names in (("time_unit", TIME_UNITS), ("reader", READERS)):
        if getattr(choice, key) is not None:
            one_of(f"samples.{key}", getattr(choice, key), names)
    if choice.dims is not None and (
        not hasattr(choice.dims, "__len__") or tuple(choice.dims) not in (DIMS, DIMS[::-1])
    ):
        raise JobError(
            f"samples.dims = {choice.dims!r}: must name the dimensions of the array, in their order. Write "
            "('time', 'channel') or ('channel', 'time')."
        )


def _refuse(choice: Choice, keys: Sequence[str], why: str) -> None:
    """Raise JobError if something is chosen that the source does not have."""
    for key in keys:
        if (given := getattr(choice, key)) is not None:
            raise JobError(f"{_KEY}: {key} = {given!r} was given, but {why}")


def _of_saved(values: Array, whose: str, choice: Choice) -> Loaded:
    """Return an array of a file, which means the same as the array itself; columns it has if it has a row per time."""
    if isinstance(choice.column, str):  # the name of the array
        choice = replace(choice, column=None)
    if choice.dims is not None and tuple(choice.dims) == DIMS[::-1] and values.ndim == 2:
        return _of_columns(Columns.of_table(whose, Table(values, None)), choice)
    _refuse(
        choice,
        _TABULAR[1:],
        f"the array of {whose} is (channel, time). If its columns are channels, add dims = ('time', 'channel').",
    )
    return Loaded(_by_channel(values, DIMS, choice))


def _by_channel(values: Array, usual: tuple[str, str], choice: Choice) -> Array:
    """Return an array of dimensions ``usual``, or of those that the user names, as (channel, time)."""
    if values.ndim != 2:
        return values
    dims = tuple(choice.dims or usual)
    turned = values if dims == DIMS else values.T
    if choice.dims is None and len(turned) > turned.shape[1]:
        raise JobError(
            f"{_KEY}: the shape {values.shape} is read as {usual}, which is {len(turned)} channels of {turned.shape[1]} "
            f"samples: more channels than times. If it is {usual[::-1]}, add dims = {usual[::-1]}; if it is as it is "
            f"read, add dims = {usual}."
        )
    return turned


def _chosen(choice: Choice) -> list[Column]:
    return list(choice.columns) if choice.columns is not None else [] if choice.column is None else [choice.column]


def _of_columns(table: Columns, choice: Choice, times: Array | None = None) -> Loaded:
    """Return a table: a row for each time, a column for each channel, and perhaps one of times."""
    every = range(len(table.entries))
    if choice.dims is not None and tuple(choice.dims) == DIMS:
        _refuse(choice, _TABULAR[1:], "with a row for each channel, columns are times.")
        return Loaded(_by_channel(_stacked(table, every), DIMS, choice))
    wanted = [table.number(one, "columns" if choice.columns else "column") for one in _chosen(choice)]
    timer = None
    if choice.time_column is not None:
        timer = table.number(choice.time_column, "time_column")
    elif not choice.timed and times is None and len(table.timed()) == 1:
        (timer,) = table.timed()
    if timer is not None:
        name = table.name(timer)
        key = f"{table.whose}, column {timer if name is None else name!r}"
        times = milliseconds(key, table.numbers(timer), name, choice.time_unit)
    elif not wanted:
        warn_of_times(table.whose, table.names)
    kept = wanted or [number for number in every if number != timer]
    if not kept:
        raise JobError(f"{table.whose}: it has times and no values. Choose another file, or another time_column.")
    values = _by_channel(_stacked(table, kept), DIMS[::-1], choice)
    return Loaded(values) if times is None else Loaded(values, *evenly_spaced(f"{table.whose}: its times", times))


def _stacked(table: Columns, kept: Sequence[int]) -> Array:
    """Return some columns, (row, column)."""
    return np.stack([array(_KEY, table.numbers(number)) for number in kept], axis=1)


def _of_frame(frame: Any, choice: Choice) -> Loaded:
    """Return a DataFrame or a Series of pandas: a row for each time. An index of times has the times."""
    table, index, times = Columns.of_frame(frame), frame.index, None
    if index.dtype.kind in "mM" or TIME.fullmatch(str(index.name or "")):
        bare = index.to_numpy(dtype=f"{index.dtype.kind}8[ns]") if index.dtype.kind in "mM" else index.to_numpy()
        times = milliseconds(f"{table.whose}: its index", _since(bare), str(index.name or ""), choice.time_unit)
    return _of_columns(table, choice, times)


def _since(times: Any) -> Any:
    """Return dates as the time since the first of them, and other times as they are."""
    return times - times[0] if times.dtype.kind == "M" else times


def _of_labelled(source: Any, choice: Choice) -> Loaded:
    """Return an array with named dimensions: in any order, with interval and start from its coordinate of times."""
    why = f"the array names its dimensions itself: {source.dims}. Rename, index or select in the array instead."
    _refuse(choice, _TABULAR, why)
    if not hasattr(source, "to_numpy"):
        raise JobError(f"{_KEY}: is a {type(source).__name__} of several arrays. Choose one, such as .r of a result.")
    if not 1 <= source.ndim <= 2:
        raise JobError(
            f"{_KEY}: has the dimensions {source.dims}, but must have one of times and perhaps one of channels. Select."
        )
    dim = _time_dim(source)
    values = array(_KEY, source.transpose(..., dim).to_numpy())
    labels = _labels(source, dim)
    if dim not in source.coords:
        return Loaded(values, labels=labels)
    coordinate = source.coords[dim]
    given = _since(coordinate.to_numpy()) if coordinate.dtype.kind in "mM" else coordinate
    times = milliseconds(f"{_KEY}.{dim}", given, str(dim), choice.time_unit)
    begin, interval = evenly_spaced(f"{_KEY}.{dim}", times)
    # A record of ours has the times at which its steps end, and a sample has the time at which its step begins.
    begin = float(shortest(begin - float(coordinate.attrs.get(AFTER_STEP, 0.0))))
    return Loaded(values, begin, interval, labels)


def _labels(source: Any, dim: Any) -> tuple[str, ...] | None:
    """Return the labels of the channels, if they are texts."""
    others = [other for other in source.dims if other != dim and other in source.coords]
    names = source.coords[others[0]].to_numpy().tolist() if others else []
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


def _of_segment(segment: Any, whose: str, choice: Choice) -> Loaded:
    """Return a signal of a segment of neo, which ``column`` names if there are several; ``columns`` are its channels."""
    _refuse(choice, ("dims", "time_column"), "a signal of neo has its times. Leave it out.")
    signals = [*segment.analogsignals, *getattr(segment, "irregularlysampledsignals", ())]
    names = tuple(str(signal.name) for signal in signals)
    number = 0 if len(signals) == 1 else None
    if choice.column is not None:
        number = number_of(whose, Table(np.empty((0, len(signals))), names), choice.column)
    if number is None:
        raise JobError(
            f"{_KEY}: {whose} has {len(signals)} signals: {', '.join(names) or 'none'}. Say which one is meant by its number or "
            "name: column = ..."
        )
    found = _of_signal(signals[number])
    if choice.columns is None:
        return found
    head = Table(np.empty((0, len(found.values))), None)
    kept = [number_of(f"the signal {names[number]!r}", head, one, "columns") for one in choice.columns]
    return replace(found, values=found.values[kept])


def _of_signal(signal: Any) -> Loaded:
    """Return an AnalogSignal of neo (time, channel), in its own units; or one whose times are given one by one."""
    values = array(_KEY, np.asarray(signal.magnitude).T)
    if not hasattr(type(signal), "sampling_period"):
        return Loaded(values, *evenly_spaced(f"{_KEY}: its times", array(_KEY, signal.times, unit=Milliseconds)))
    begin, interval = (plain(_KEY, one, Milliseconds) for one in (signal.t_start, signal.sampling_period))
    return Loaded(values, float(shortest(begin)), float(shortest(interval)))


def _time_dim(source: Any) -> Any:
    """Return the name of the dimension of times: it is called time, or its coordinate has times."""
    dims = list(source.dims)
    named = [dim for dim in dims if TIME.fullmatch(str(dim))]
    timed = [
        dim
        for dim in dims
        if dim in source.coords
        and (source.coords[dim].dtype.kind in "mM" or source.coords[dim].attrs.get("units") in Milliseconds.factors)
    ]
    found = named or timed or (dims if len(dims) == 1 else [])
    if len(found) != 1:
        raise JobError(
            f"{_KEY}: which of the dimensions {source.dims} is that of times? Rename it, .rename({{{dims[0]!r}: 'time'}})."
        )
    return found[0]
