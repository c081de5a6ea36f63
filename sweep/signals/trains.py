"""Spike trains, from whatever holds them: lists of times, lists of trains, tables, files, recordings of neo.

All of it becomes a list of trains, each an array of times in ms that are counted from the beginning of the recording. Trains and
tables are known by what they offer, so that neither neo nor pandas is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt
from numpy.typing import NDArray

from sweep.checks import array, one_of, whole
from sweep.checks.decimals import shortest
from sweep.checks.units import Milliseconds, plain
from sweep.errors import JobError, short
from sweep.files import READERS, Column, Table, read, read_cells, read_segment
from sweep.signals.columns import Columns
from sweep.signals.spacing import TIME_UNITS, milliseconds

Array = NDArray[np.float64]

_KEY = "spikes.times"
#: How a header calls a column of units.
_UNIT = re.compile(r"(?:unit|neuron|cell|cluster)s?(?:[ _]?ids?)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Trains:
    """Times of spikes (train, spike) in ms from the beginning of the recording, and when it begins and how long it is."""

    times: Sequence[Array]
    begin: float = 0.0
    length: float | None = None


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What of a source is meant, in the words of `spikes`."""

    column: Column | None = None
    time_unit: str | None = None
    unit_column: Column | None = None
    units: Sequence[Column] | None = None
    reader: str | None = None
    segment: int | None = None


def trains(source: Any, chosen: Chosen) -> Trains:
    """Return the trains of a source.

    Raises
    ------
    JobError
        If the source cannot be read, if it does not have what is chosen, or if something is no time.
    """
    for key, known in (("time_unit", list(TIME_UNITS)), ("reader", list(READERS))):
        if getattr(chosen, key) is not None:
            one_of(f"spikes.{key}", getattr(chosen, key), known)
    if chosen.units is not None and (
        isinstance(chosen.units, str) or not hasattr(chosen.units, "__len__") or not len(chosen.units)
    ):
        raise JobError(f"spikes.units = {chosen.units!r}: must be a list of units. Write [first, second, ...].")
    if isinstance(source, str | os.PathLike):
        return _of_file(source, chosen)
    if hasattr(type(source), "iloc") and hasattr(source, "columns"):
        return _of_columns(Columns.of_frame(source), chosen)
    for key in ("column", "unit_column"):
        if (given := getattr(chosen, key)) is not None:
            raise JobError(
                f"{_KEY}: {key} = {given!r} was given, but only a table has columns. Index the array instead."
            )
    return _numbered(_of_object(source, chosen), chosen)


def _of_file(source: Any, chosen: Chosen) -> Trains:
    """Return the trains of a file: a table of times, an array of times, or a recording that neo reads."""
    if chosen.reader is not None:
        return _numbered(_of_neo(read_segment(source, chosen.segment).spiketrains), chosen)
    cells = read_cells(source, chosen.column)
    if cells is not None:
        return _numbered(Trains([_times(cell, chosen, f"[{number}]") for number, cell in enumerate(cells)]), chosen)
    content, whose = read(source, chosen.column, empty=True), f"the file {str(source)!r}"
    if isinstance(content, Table):
        return _of_columns(Columns.of_table(whose, content), chosen)
    if content.ndim == 2 and 1 not in content.shape and not isinstance(chosen.column, str):
        return _of_columns(Columns.of_table(whose, Table(content, None)), chosen)
    return Trains([_times(content.ravel() if 1 in content.shape else content, chosen)])


def _of_object(source: Any, chosen: Chosen) -> Trains:
    """Return the trains of a list of times, a list of trains, or what neo has."""
    if hasattr(source, "spiketrains"):
        return _of_neo(source.spiketrains)
    if _is_train(source):
        return _of_neo([source])
    own = type(source)
    if isinstance(source, np.ndarray) and source.dtype.kind == "O":
        source, own = source.ravel().tolist(), list
    if hasattr(own, "__getitem__") and hasattr(own, "__len__") and not hasattr(own, "__array__"):
        listed = [] if isinstance(source, Mapping) else list(source)
        if listed and all(map(_is_train, listed)):
            return _of_neo(listed)
        if any(np.ndim(each) for each in listed if not isinstance(each, str)):
            return Trains([_times(each, chosen, f"[{number}]") for number, each in enumerate(listed)])
    return Trains([_times(source, chosen)])


def _times(value: Any, chosen: Chosen, place: str = "") -> Array:
    """Return the times of one train, ms."""
    times = milliseconds(_KEY + place, value, None, chosen.time_unit)
    if times.ndim != 1:
        raise JobError(
            f"{_KEY}{place}: must be a list of times, but has the shape {times.shape}. Give the times of one unit, a list of "
            "such lists for several, or name a column of the file."
        )
    return times


def _of_columns(table: Columns, chosen: Chosen) -> Trains:
    """Return the trains of a table: a row for each spike, with its time and perhaps its unit."""
    count = len(table.entries)
    timer = None if chosen.column is None else table.number(chosen.column, "column")
    unit = None if chosen.unit_column is None else table.number(chosen.unit_column, "unit_column")
    units = [number for number, name in enumerate(table.names or ()) if _UNIT.fullmatch(name)]
    if unit is None and timer is None and len(table.timed()) == len(units) == 1:
        unit = units[0]
    if timer is None and unit is not None:
        others = table.timed() or [number for number in range(count) if number != unit]
        timer = others[0] if len(others) == 1 else None
    elif timer is None and count < 2:
        timer = 0
    if timer is None:
        raise JobError(
            f"{_KEY}: must be a list of times, but {table.whose} has {count} columns. Name the one of times, column = ...; "
            "and if it has several trains the one of units, unit_column = ..."
        )
    given = table.numbers(timer) if count else np.empty(0)
    times = milliseconds(f"{_KEY}: {table.whose}", given, table.name(timer) if count else None, chosen.time_unit)
    return Trains([times] if unit is None else _apart(times, np.asarray(table.entries[unit]), table.whose, chosen))


def _apart(times: Array, labels: NDArray[Any], whose: str, chosen: Chosen) -> list[Array]:
    """Return the times of each unit: of those that are named, or of all that have spikes, in the order of their labels."""
    own = [_label(label, f"{whose}: row {row} of the column of units") for row, label in enumerate(labels.tolist())]
    known = sorted(set(own), key=lambda label: (isinstance(label, str), label))  # numbers come before texts
    wanted = known if chosen.units is None else [_label(label, "spikes.units") for label in chosen.units]
    if not wanted or (known and not set(wanted) & set(known)):
        there = ", ".join(f"{label:g}" if isinstance(label, float) else repr(label) for label in known[:9]) or "none"
        raise JobError(
            f"spikes.units = {short(chosen.units)}: no unit of {whose} is meant, which has spikes of {there}. Name units that "
            "are there; one without spikes may be named too."
        )
    return [times[[label == one for label in own]] for one in wanted]


def _label(value: Any, where: str) -> float | str:
    """Return the label of a unit; a text that is a number means the number."""
    if isinstance(value, str) and value.strip():
        try:
            return float(value)
        except ValueError:
            return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    raise JobError(
        f"{where} = {short(value)}: must be the number or the name of a unit. Give each spike its unit, or drop it."
    )


def _numbered(found: Trains, chosen: Chosen) -> Trains:
    """Return the trains whose numbers are given, if any are."""
    if chosen.units is None:
        return found
    count = len(found.times)
    rule = Annotated[int, Ge(0), Lt(count)]
    remedy = f"There are {count} trains, counted from 0."
    return replace(found, times=[found.times[whole("spikes.units", one, rule, remedy)] for one in chosen.units])


def _is_train(value: Any) -> bool:
    """Return whether something is a SpikeTrain of neo, or like one."""
    return hasattr(value, "t_start") and hasattr(value, "t_stop") and not hasattr(type(value), "t_start")


def _of_neo(given: Any) -> Trains:
    """Return SpikeTrains, counted from the beginning that all of them share."""
    listed = list(given)
    ends = {
        tuple(float(shortest(plain(_KEY, end, Milliseconds))) for end in (one.t_start, one.t_stop)) for one in listed
    }
    if len(ends) != 1:
        raise JobError(
            f"{_KEY}: all trains must begin and end together, but there are {len(listed)} trains with (t_start, t_stop) = "
            f"{', '.join(map(str, sorted(ends)[:3])) or 'none'} ms. Cut them to the same part with time_slice."
        )
    ((begin, stop),) = ends
    length = stop - begin
    times = [np.clip(array(_KEY, one, unit=Milliseconds) - begin, 0.0, length) for one in listed]
    return Trains(times, begin, length or None)
