"""Transforms of samples: decibels, logarithms, standard deviations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sweep.checks import numbers_of, one_of
from sweep.checks.units import Milliseconds
from sweep.errors import JobError

Array = NDArray[np.float64]
Part = Annotated[tuple[float, float], Milliseconds]
"""From when to when, ms."""

_LOGARITHMS: Mapping[str, Callable[[Array], Array]] = {
    "dB": lambda values: 20.0 * np.log10(values),
    "log": np.log,
}
TRANSFORMS = (*_LOGARITHMS, "standardize")
"""Names of the transforms."""


def transformed(
    values: Array, begin: float, interval: float, transform: str | None, standardize: bool, part: Part | None
) -> Array:
    """Return samples, transformed.

    Parameters
    ----------
    values : ndarray
        ``(channel, time)``.
    begin, interval : float
        Time of the first sample and time between samples, ms.
    transform : str or None
        A name of :data:`TRANSFORMS`; ``dB`` is 20 log10(value), ``log`` the natural logarithm.
    standardize : bool
        Whether each channel is shifted and scaled to mean 0 and standard deviation 1 at the end.
    part : tuple of float, optional
        The samples that begin from the first of these times to before the second one have this mean and deviation; else
        all samples.

    Raises
    ------
    JobError
        If a logarithm does not exist, a channel to be standardised is constant, or the part is not one.
    """
    if transform is not None and one_of("samples.transform", transform, TRANSFORMS) in _LOGARITHMS:
        if values.min() <= 0:
            channel, sample = (int(index) for index in np.argwhere(values <= 0)[0])
            raise JobError(
                f"samples.transform = {transform!r}: only what is above 0 has a logarithm, but sample {sample} of channel "
                f"{channel} is {values[channel, sample]:g}. Raise such values to the smallest that the device could "
                "measure, or leave transform out."
            )
        values = _LOGARITHMS[transform](values)
    if standardize or transform == "standardize":
        return _standardized(values, _samples_of(part, begin, interval, values.shape[1]))
    if part is not None:
        raise JobError(
            f"samples.part = {part}: it says over which part samples are standardised, but they are not. Add standardize = "
            "True, or leave part out."
        )
    return values


def _standardized(values: Array, part: slice) -> Array:
    used = values[:, part]
    std = used.std(axis=1, keepdims=True)
    constant = np.ptp(used, axis=1) == 0  # rounding of the mean may give it a deviation
    if constant.any():
        raise JobError(
            f"samples.standardize = True: channel {int(np.argmax(constant))} never changes, so it has no scale. "
            f"Leave it out, or leave standardize out."
        )
    scaled: Array = (values - used.mean(axis=1, keepdims=True)) / std
    return scaled


def _samples_of(part: Part | None, begin: float, interval: float, count: int) -> slice:
    """Return which samples begin in a part of time."""
    if part is None:
        return slice(None)
    times = numbers_of("samples.part", part, Milliseconds)
    if len(times) != 2 or times[0] >= times[1]:
        raise JobError(
            f"samples.part = {part}: must be two times, the first before the second. Write (from, to) in ms."
        )
    # Rounding must not leave out the sample at the beginning of the part, or take the one at its end.
    first, stop = (int(np.ceil((time - begin) / interval - 1e-6)) for time in times)
    if first < 0 or stop > count or stop - first < 2:
        raise JobError(
            f"samples.part = {part}: must hold at least two samples and lie within the recording, which lasts from {begin:g} "
            f"to {begin + count * interval:g} ms. Correct it."
        )
    return slice(first, stop)
