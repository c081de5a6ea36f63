"""Make signals of what was measured, from arrays, files, and whatever else holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from sweep.checks import Duration, OneOf, Whole, number
from sweep.checks.calls import called
from sweep.checks.units import Milliseconds
from sweep.errors import JobError
from sweep.files import READERS, Column, FromFile, Source
from sweep.signals.loaded import Choice, loaded
from sweep.signals.recorded import READS, Samples, Spikes, Start
from sweep.signals.signal import Signal
from sweep.signals.spacing import TIME_UNITS
from sweep.signals.trains import Chosen, trains
from sweep.signals.transforms import TRANSFORMS, Part, transformed

# Intervals that differ by less are the same, but for the digits that somebody wrote.
_SAME = 1e-6


@called
def samples(
    array: Annotated[ArrayLike | Source, FromFile(("file", "resource", "values"))],
    interval: Duration | None = None,
    standardize: bool = False,
    column: Column | None = None,
    start: Start = 0.0,
    read: Annotated[str, OneOf(READS)] = "instant",
    transform: Annotated[str, OneOf(TRANSFORMS)] | None = None,
    part: Part | None = None,
    columns: Sequence[Column] | None = None,
    time_column: Column | None = None,
    time_unit: Annotated[str, OneOf(TIME_UNITS)] | None = None,
    dims: Sequence[str] | None = None,
    reader: Annotated[str, OneOf(READERS)] | None = None,
    segment: Whole | None = None,
) -> Samples:
    """Make a signal from measured values.

    As an input each value holds until the next; values that follow each other faster than the steps are averaged over each
    step, by how much of the step each of them lasts. As a target each value is compared once, at its own time: with the state
    after the step that begins then.

    Parameters
    ----------
    array : array or path
        The values, (time,) or (channel, time). A text file, or a DataFrame of pandas, has a row for each time and a column
        for each channel; an array in a file means what the array itself means. A DataArray of xarray has its dimensions in
        any order. A record of a result belongs to the steps after which it was kept; if it was averaged or went through
        pandas since, its times are taken as they are, so move them by ``start``. An AnalogSignal of neo has its times, and
        keeps its units. For files and package resources see `sweep.files.read`.
    interval : float, optional
        Time between samples, ms. It may be left out if the source has times, which then must be even: a coordinate or
        index of times, or a column of times.
    standardize : bool
        Whether to shift and scale each channel to mean 0 and standard deviation 1, after the transform, over all samples or
        over ``part``.
    column : int or str, optional
        The only column to use, by its number, counted from 0, or its name in the header; in a file of several arrays
        the name of one.
    start : float
        When the recording begins, on the clock of the simulation, ms: the time of the first sample. If the source has times,
        it is added to them. What lies before 0 ms is not used. So ``start = -5000`` begins 5 s into the recording.
    read : {"instant", "mean"}
        What a value of a target is: the state at its time, or the mean over the interval that begins at its time. A mean is
        compared with the mean of the rate over the steps of its interval.
    transform : str, optional
        ``dB`` makes amplitudes decibels, 20 log10(value), as a sound level counts them; ``log`` takes the natural logarithm;
        ``standardize`` is the same as ``standardize = True``. It is applied to the samples, before anything is averaged.
    part : tuple of float, optional
        The part over which mean and standard deviation are taken, (from, to) in ms on the clock of the simulation. With
        (transient, duration) of the run it is what is observed; without it all samples count.
    columns : sequence of int or str, optional
        The columns to use, a channel each, in this order; by default all except that of times.
    time_column : int or str, optional
        The column of times. If ``interval`` is left out, a column called time, perhaps with its unit as in ``time (s)``, is
        found without it.
    time_unit : str, optional
        Unit of times that carry none and have none in their header: ``us``, ``ms`` or ``s``; ms by default.
    dims : sequence of str, optional
        What the dimensions of an array or a table are, if they are not as above: ``("time", "channel")`` or
        ``("channel", "time")``. An array with more channels than times needs it.
    reader : str, optional
        ``neo`` reads the file with neo, which knows NWB and the formats of vendors (the extra ``data``); values keep their
        units. ``column`` names one of several signals, and ``columns`` its channels.
    segment : int, optional
        Which segment of such a file, counted from 0, if there are several.

    Returns
    -------
    Samples

    Raises
    ------
    JobError
        If the source cannot be read, if the values are not finite numbers in one or two dimensions, if its times are
        uneven, if it cannot be transformed, or if the recording ends before the simulation begins. A job whose steps need
        what is before the first sample, or after the last, is refused.
    """
    choice = Choice(
        column=column,
        columns=columns,
        time_column=time_column,
        time_unit=time_unit,
        dims=dims,
        reader=reader,
        segment=segment,
        timed=interval is not None,
    )
    found = loaded(array, choice)
    if interval is None:
        interval = found.interval
    if interval is None:
        raise JobError(
            "samples.interval must be given: the time between samples, ms. Add interval = ..., or say which column has the "
            "times: time_column = ..."
        )
    begin = found.begin + number("samples.start", start, Start)
    made = Samples(found.values, interval, begin, read, found.labels)
    if found.interval is not None and abs(found.interval - made.interval) > _SAME * made.interval:
        raise JobError(
            f"samples.interval = {made.interval:g} ms: the times of the recording are {found.interval:g} ms apart. Leave "
            "interval out, or correct time_unit."
        )
    changed = transformed(made.values, made.start, made.interval, transform, standardize, part)
    return made if changed is made.values else replace(made, values=changed)


@called
def spikes(
    times: Annotated[ArrayLike | Source, Milliseconds, FromFile(("file", "resource", "times"))],
    window: Duration | None = None,
    duration: Duration | None = None,
    time_unit: Annotated[str, OneOf(TIME_UNITS)] | None = None,
    column: Column | None = None,
    start: Start = 0.0,
    unit_column: Column | None = None,
    units: Sequence[Column] | None = None,
    reader: Annotated[str, OneOf(READERS)] | None = None,
    segment: Whole | None = None,
) -> Spikes:
    """Make a spike train, or a signal of spike counts; of several units, a channel each.

    Parameters
    ----------
    times : array or path
        The times of the spikes, (spike,), in any order, perhaps with units; or a list of such trains, of which some may be
        empty. Of neo a SpikeTrain, several, or a Segment, which say when the recording begins and ends. A file, a package
        resource or a DataFrame has a row for each spike; see `sweep.files.read`.
    window : float, optional
        Width of the windows in which spikes are counted, ms, at least one step; the first begins with the recording. The
        value is the number of spikes in the window. As a target each number is compared once, with the mean of the rate
        over the steps of its window. Without it spikes are impulses of area 1, as rho(t) in the paper.
    duration : float, optional
        Length of the recording, ms, counted from its beginning as the times are. Without it the signal has no end, and no
        spikes after the last one.
    time_unit : str, optional
        Unit of ``times`` that carry none and have none in their header: ``us``, ``ms`` or ``s``; ms by default.
    column : int or str, optional
        The column of a table that holds the times, by its number, counted from 0, or its name in the header; in a file of
        several arrays the name of one.
    start : float
        When the recording begins, on the clock of the simulation, ms. It is added to all times: a spike at time s of the
        recording occurs at ``start`` + s. What lies before 0 ms is not used. So signals of one recording keep together
        if all of them have the same ``start``.
    unit_column : int or str, optional
        The column of a table that says which unit each spike is of. If neither column is named, a column called unit (or
        neuron, cell, cluster) and one called time are found without it.
    units : sequence of int or str, optional
        The units to use, a channel each, in this order: as the column of units has them, where one without spikes is an
        empty train; of other sources the numbers of trains, counted from 0. By default all, and of a table all that have
        spikes, sorted.
    reader : str, optional
        ``neo`` reads the file with neo, which knows NWB and the formats of vendors (the extra ``data``).
    segment : int, optional
        Which segment of such a file, counted from 0, if there are several.

    Returns
    -------
    Spikes

    Raises
    ------
    JobError
        If the source cannot be read, if a time is not finite or is outside of the recording, if trains do not begin and end
        together, or if the recording ends before the simulation begins.
    """
    chosen = Chosen(
        column=column, time_unit=time_unit, unit_column=unit_column, units=units, reader=reader, segment=segment
    )
    found = trains(times, chosen)
    sizes = None if len(found.times) == 1 else tuple(train.size for train in found.times)
    begin = found.begin + number("spikes.start", start, Start)
    length = found.length if duration is None else duration
    return Spikes(np.concatenate([*found.times]), window, length, begin, sizes)


#: Functions that make recordings, by their kind in a job file.
RECORDINGS: Mapping[str, Callable[..., Signal]] = {"samples": samples, "spikes": spikes}
