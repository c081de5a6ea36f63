"""Weights with named dimensions: turned into the order that the model has, with the labels of the units.

Arrays of xarray and tables of pandas are known by what they offer, so that neither is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.errors import JobError

TO = ("to", "target")
"""Names of the dimension of the units that weights lead to."""
_FROM = ("from", "source")
RECURRENT = ((("network",), True), (TO, False), (_FROM, False))
"""Dimensions of W: their names, and whether they may be left out."""
INPUT = (((*TO, "unit"), False), (("channel",), False))
"""Dimensions of U."""

Labels = tuple[str, ...]
_Dims = Sequence[tuple[tuple[str, ...], bool]]


def ordered(key: str, weights: Any, dims: _Dims, labels: Labels | None = None) -> tuple[Any, Labels | None]:
    """Return weights in the order of a model, and the labels of its units.

    Parameters
    ----------
    key : str
        What they are, for messages.
    weights : array_like
        Anything. Only what has named dimensions is changed.
    dims : sequence of tuple
        :data:`RECURRENT` or :data:`INPUT`.
    labels : tuple of str, optional
        Labels that the units have already. Rows and columns with the same labels are put in this order.

    Raises
    ------
    JobError
        If a dimension has another name, or if labels do not agree.
    """
    if hasattr(type(weights), "iloc"):
        return _of_frame(key, weights, len(dims) == len(RECURRENT), labels)
    if not (hasattr(type(weights), "dims") and hasattr(type(weights), "coords")):
        return weights, labels
    given = list(weights.dims)
    wanted = []
    for names, optional in dims:
        found = [dim for dim in given if dim in names]
        if len(found) == 1:
            wanted += found
        elif found or not optional:
            raise _misnamed(key, given, dims)
    if len(wanted) < len(given):
        raise _misnamed(key, given, dims)
    turned = weights.transpose(*wanted)
    for dim in wanted:
        if dim in ("network", "channel") or dim not in turned.coords:
            continue
        own = tuple(map(str, turned.coords[dim].to_numpy()))
        if labels is None:
            labels = own
        elif own != labels:
            turned = turned.isel({dim: _places(f"{key}.{dim}", own, labels)})
    return turned.to_numpy(), labels


def _of_frame(key: str, frame: Any, recurrent: bool, labels: Labels | None) -> tuple[Any, Labels | None]:
    """Return a DataFrame of pandas in the order of a model: a row for each unit that weights lead to.

    Rows have the units' labels if they are texts. So have the columns of W, while those of U are channels.
    """
    for axis, name in enumerate(("index", "columns") if recurrent else ("index",)):
        own = tuple(getattr(frame, name))
        if not own or not all(isinstance(label, str) for label in own):
            continue
        if labels is None:
            labels = own
        elif own != labels:
            frame = frame.take(_places(f"{key}.{name}", own, labels), axis=axis)
    return frame.to_numpy(), labels


def _places(key: str, own: Labels, labels: Labels) -> list[int]:
    """Return where each label is among the own ones."""
    if sorted(own) != sorted(labels) or len(set(own)) < len(own):
        strange = next((one for one in own if one not in labels), own[0])
        raise JobError(
            f"{key}: its labels must be those of the units, each once, but {strange!r} does not fit: the units are "
            f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}. Correct the coordinate, or drop it."
        )
    return [own.index(label) for label in labels]


def _misnamed(key: str, given: Sequence[Any], dims: _Dims) -> JobError:
    words = ", ".join(f"{' or '.join(map(repr, names))}{' (if any)' if optional else ''}" for names, optional in dims)
    return JobError(
        f"{key}: has the dimensions {tuple(given)}, but must have {words}. Rename them: .rename(...); or give .to_numpy() with "
        "weights[i, j] from j to i."
    )
