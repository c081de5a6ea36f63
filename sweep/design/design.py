"""Labelled sets and blocks: which parameter sets there are, and which of them are stored together.

A design is a tuple of axes, and never a list of all its sets. Everything is computed for single blocks, when it is needed. So
10**8 sets are planned as fast as ten. Sets are numbered in C order: the last axis varies fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from sweep.checks import Count, number, whole
from sweep.checks.decimals import shortest
from sweep.design.axes import Axis, HeldAxis
from sweep.errors import JobError, short, suggest
from sweep.model.parameters import Array, parse_name
from sweep.spec import stored


@dataclass(frozen=True)
class Block:
    """One block: its number, and its sets, which form a hyper-rectangle along the design's dimensions."""

    number: int
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The block's region in an array over the design's dimensions."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of sets along each dimension. The last block of a dimension may be smaller than the others."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of sets."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Blocks:
    """A sequence of :class:`Block`: equal hyper-rectangles that cover the design, numbered in C order.

    Parameters
    ----------
    sets : tuple of int
        The shape of the design.
    shape : tuple of int
        The shape of one block, which is that of a chunk in the store.
    """

    sets: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each dimension."""
        return tuple(-(-n // m) for n, m in zip(self.sets, self.shape, strict=True))

    def __len__(self) -> int:
        """Return the number of blocks."""
        return math.prod(self.counts)

    def __getitem__(self, number: int) -> Block:
        """Return a block by its number."""
        number = range(len(self))[number]
        start = tuple(i * m for i, m in zip(_unravel(number, self.counts), self.shape, strict=True))
        stop = tuple(min(a + m, n) for a, m, n in zip(start, self.shape, self.sets, strict=True))
        return Block(number=number, start=start, stop=stop)

    def __iter__(self) -> Iterator[Block]:
        """Return an iterator over the blocks, in order."""
        return (self[number] for number in range(len(self)))

    def slabs(self, sets: int) -> Iterator[range]:
        """Join consecutive blocks to hyper-rectangles of at most ``sets`` sets, but at least one block.

        Yields
        ------
        range
            The numbers of the blocks. Their region goes from the start of the first to the stop of the last.
        """
        first = 0
        for slab in Blocks(sets=self.counts, shape=_cut(self.counts, max(1, sets // math.prod(self.shape)))):
            yield range(first, first + slab.size)
            first += slab.size


def _cut(lengths: tuple[int, ...], room: int) -> tuple[int, ...]:
    """Return the shape of equal parts of at most ``room`` points: last dimensions whole, part of one, single points."""
    shape: list[int] = []
    for n in reversed(lengths):
        most = min(n, room)
        # As many parts as needed, but of about equal length, so that the last one is not tiny.
        shape.append(-(-n // -(-n // most)))
        room = room // n if room >= n else 1
    return tuple(reversed(shape))


def _unravel(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    # With Python's integers, because a design may have more sets than NumPy's integers can count.
    position: list[int] = []
    for n in reversed(shape):
        number, i = divmod(number, n)
        position.append(i)
    return tuple(reversed(position))


@stored("Design")
@dataclass(frozen=True, eq=False)
class Design:
    """All parameter sets, with labels: every combination of the points of the axes.

    Designs can be multiplied. ``Design(())`` is one set without dimensions; multiplying by it changes nothing.

    Parameters
    ----------
    axes : tuple of HeldAxis or SampledAxis
        One for each dimension. The last one varies fastest.

    Raises
    ------
    JobError
        If there are two equal dimensions or parameters, or if the numbers of units differ.
    """

    axes: tuple[Axis, ...] = ()

    def __post_init__(self) -> None:
        """Check that the axes fit together."""
        object.__setattr__(self, "axes", tuple(self.axes))
        owner: dict[str, str] = {}
        for axis in self.axes:
            if self.dims.count(axis.dim) > 1:
                raise JobError(
                    f"dimension {axis.dim!r} is there twice: the dimensions of a design must differ. Put the "
                    "parameters into one axis, or name the dimensions differently."
                )
            for name in axis.swept:
                if name in owner:
                    raise JobError(
                        f"parameter {name!r} is swept twice, along {owner[name]!r} and {axis.dim!r}: a set has one "
                        "value of each parameter. Remove one of the two."
                    )
                owner[name] = axis.dim
        held = [axis for axis in self.axes if isinstance(axis, HeldAxis)]
        units = {name: c.shape[1] for axis in held for name, c in axis.columns.items() if c.ndim == 2}
        if len(set(units.values())) > 1:
            raise JobError(
                f"per-unit values have {units} units: they must agree. Give one value per unit of the model."
            )

    def __mul__(self, other: Design) -> Design:
        """Combine every set of this design with every set of the other.

        Raises
        ------
        JobError
            If the other is not a design.
        """
        if not isinstance(other, Design):
            raise _no_design(f"design * {short(other)}", other)
        return Design(self.axes + other.axes)

    def __rmul__(self, other: object) -> NoReturn:
        """Refuse what is not a design on the left, as on the right."""
        raise _no_design(f"{short(other)} * design", other)

    def meant(self) -> Design:
        """Return the design with the decimals that are meant. Those of older stores have the rounding errors of their values."""
        return Design(tuple(axis.meant() for axis in self.axes))

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(axis.dim for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of sets along each dimension."""
        return tuple(axis.n for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of sets."""
        return math.prod(self.shape)

    @property
    def swept(self) -> tuple[str, ...]:
        """Names of the swept parameters, in order."""
        return tuple(name for axis in self.axes for name in axis.swept)

    def axis(self, name: str) -> Axis:
        """Return the axis along which a parameter varies."""
        return next(axis for axis in self.axes if name in axis.swept)

    def blocks(self, sets_per_block: int) -> Blocks:
        """Cut the design into blocks.

        A block has the last dimensions as a whole, about equal parts of one dimension, and single points of the first ones.

        Parameters
        ----------
        sets_per_block : int
            The largest number of sets of a block.

        Raises
        ------
        JobError
            If `sets_per_block` is not a whole number of at least 1.
        """
        return Blocks(sets=self.shape, shape=_cut(self.shape, whole("sets_per_block", sets_per_block, Count)))

    def values(self, block: Block) -> dict[str, Array]:
        """Return the values of the swept parameters in a block.

        Parameters
        ----------
        block : Block
            One of :meth:`blocks`.

        Returns
        -------
        dict of str to ndarray
            The values of every swept parameter, ``(set,)`` or ``(set, unit)`` float64, with the block's sets in C order.
        """
        values: dict[str, Array] = {}
        for k, axis in enumerate(self.axes):
            for name, column in axis.values(block.start[k], block.stop[k]).items():
                unit = column.shape[1:]
                spread = column.reshape(*(-1 if i == k else 1 for i in range(len(self.axes))), *unit)
                values[name] = np.broadcast_to(spread, block.shape + unit).reshape(block.size, *unit)
        return values

    def coordinates(self) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any], dict[str, str]]]:
        """Return the labels of the result, in the form that xarray takes: ``{name: (dims, values, attributes)}``.

        Along an axis of a grid the parameter is the index. Along other axes the sets are numbered, and the parameters are
        coordinates ``(dim,)`` or ``(dim, unit)``. Selectors are int64, all others float64. All values of sampled axes are
        computed here, so memory and time grow with the longest axis, but not with the number of sets.
        """
        coordinates: dict[str, tuple[tuple[str, ...], npt.NDArray[Any], dict[str, str]]] = {}
        for axis in self.axes:
            if axis.dim not in axis.swept:
                about = {"units": "1", "long_name": f"number along {axis.dim}"}
                coordinates[axis.dim] = ((axis.dim,), np.arange(axis.n, dtype=np.int64), about)
            for name, column in axis.values(0, axis.n).items():
                parameter = parse_name(name).parameter
                about = {"units": parameter.units, "long_name": parameter.long_name}
                values = column.astype(np.int64) if parameter.integer else column
                coordinates[name] = ((axis.dim, "unit")[: column.ndim], values, about)
        return coordinates

    def labels(self, index: int) -> dict[str, float | int | Array]:
        """Return the labels of one set, by which :meth:`index` finds it.

        Parameters
        ----------
        index : int
            Number of the set in C order.

        Returns
        -------
        dict
            Every swept parameter: a float, an int (selectors) or an array ``(unit,)``. Also the position along each axis
            whose dimension is not a parameter.

        Raises
        ------
        JobError
            If there is no such set.
        """
        if whole("set", index) >= self.size:
            raise JobError(f"set {index} does not exist: the design has {self.size} sets. Use 0 to {self.size - 1}.")
        labels: dict[str, float | int | Array] = {}
        for axis, position in zip(self.axes, _unravel(int(index), self.shape), strict=True):
            if axis.dim not in axis.swept:
                labels[axis.dim] = position
            for name, column in axis.values(position, position + 1).items():
                number = int if parse_name(name).parameter.integer else float
                labels[name] = column[0] if column.ndim == 2 else number(column[0])
        return labels

    def index(self, **labels: npt.ArrayLike) -> int:
        """Return the number of the set that has these labels.

        Parameters
        ----------
        **labels
            A value for every dimension: for an axis of a grid the parameter's value, for other axes the position. The
            parameters along these other axes may be given too; they must then agree with the position.

        Returns
        -------
        int
            Number of the set in C order.

        Raises
        ------
        JobError
            If a dimension is missing, if a label is unknown, or if no set has exactly this value.
        """
        given = {name.replace(" ", ""): value for name, value in labels.items()}
        known = dict.fromkeys((*self.dims, *self.swept))
        for name in given:
            if name not in known:
                raise JobError(f"label {name!r}: the design has no such dimension or parameter. {suggest(name, known)}")
        index = 0
        for axis in self.axes:
            if axis.dim not in given:
                raise JobError(
                    f"label {axis.dim!r} is missing: a set has one label along every dimension. Give {axis.dim}=..."
                )
            index = index * axis.n + _position(axis, given)
        return index


def _no_design(what: str, other: object) -> JobError:
    times = other if isinstance(other, int) and other > 0 else "n"
    return JobError(
        f"{what}: a design is multiplied by a design, and gives all combinations of their sets. To repeat every set with "
        f"other noise multiply by replicates({times}), to sweep a parameter by grid(name=[...])."
    )


def _position(axis: Axis, given: Mapping[str, npt.ArrayLike]) -> int:
    """Return the position along an axis that the labels name."""
    label = given[axis.dim]
    if axis.dim in axis.swept:
        column = axis.values(0, axis.n)[axis.dim]
        value = number(f"label {axis.dim}", label)
        found = np.flatnonzero((column == value) | (column == shortest(value)))
        if not found.size:
            nearest = float(column[np.abs(column - value).argmin()])
            raise JobError(
                f"label {axis.dim} = {value}: no set has it, and labels match exactly. The nearest is {nearest!r}."
            )
        return int(found[0])
    position = whole(f"label {axis.dim}", label)
    if position >= axis.n:
        raise JobError(f"label {axis.dim} = {position}: the axis has {axis.n} points. Use 0 to {axis.n - 1}.")
    for name, column in axis.values(position, position + 1).items():
        if name in given and not np.array_equal(column[0], given[name]):
            raise JobError(
                f"label {name} = {given[name]!r}: at {axis.dim} = {position} it is {column[0]}. Leave {name} out, or "
                "correct it."
            )
    return position
