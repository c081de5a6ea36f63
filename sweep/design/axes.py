"""Axes of a design: parameters whose values are held in memory, or drawn from ranges when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sweep.checks import Count, Whole, array, check_fields, decimals, number, one_of
from sweep.checks.units import UNITS, plain
from sweep.errors import JobError
from sweep.model.parameters import PARAMETERS, SELECTORS, Array, check_value, parse_name
from sweep.observables import ALWAYS, OBSERVABLES, VARIABLES
from sweep.signals.numbers import INPUT_NUMBERS  # from there, so that it is filled in
from sweep.spec import stored

#: Names of the result's own dimensions and variables. No dimension of a design may have one of these.
RESERVED = (
    *("unit", "recorded_unit", "time", "lag", "target", "alpha_s", "alpha_r"),
    *(variable.name for variable in ALWAYS),
    *VARIABLES,
    *OBSERVABLES,
)

# scipy's Sobol sequence has 30 bits and ends there.
_SOBOL_POINTS = 2**30


def _check_slice(start: int, stop: int, n: int) -> None:
    if not 0 <= start <= stop <= n:
        raise IndexError(f"values {start} to {stop} of an axis that has {n}")


@stored("HeldAxis")
@dataclass(frozen=True, eq=False)
class HeldAxis:
    """An axis whose values are held in memory.

    Parameters
    ----------
    dim : str
        Name of the dimension. If it is the name of the only parameter, this is an axis of a grid, and the values are labels.
    columns : mapping of str to array_like
        The parameters that vary together, each ``(n,)``, or ``(n, unit)`` with a value for each unit.

    Raises
    ------
    JobError
        If a name, a shape or a value is not possible, or if labels are not unique.
    """

    dim: str
    columns: Mapping[str, Array]

    def __post_init__(self) -> None:
        """Check everything, write the names in their standard spelling, and make the arrays read-only."""
        columns: dict[str, Array] = {}
        for given, values in self.columns.items():
            name = str(parse_name(given))
            if name in columns:
                raise JobError(f"axis {self.dim!r}: parameter {name!r} is named twice. Remove one of the two.")
            columns[name] = _column(self.dim, name, values)
        if not columns:
            raise JobError(
                f"axis {self.dim!r} has no parameters: an axis varies at least one. Name one with its values."
            )
        object.__setattr__(self, "columns", columns)
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise JobError(
                f"axis {self.dim!r} has parameters with {lengths} values: parameters of one axis vary together and "
                "need equally many. Give as many values of each, or multiply two axes for all combinations."
            )
        if tuple(columns) == (self.dim,):
            self._check_labels(columns[self.dim])
        else:
            self._check_dim()

    def meant(self) -> HeldAxis:
        """Return the axis with the decimals that are meant, so that 0.1 * 3 is found as 0.3."""
        return HeldAxis(self.dim, {name: decimals.meant(column) for name, column in self.columns.items()})

    @property
    def n(self) -> int:
        """Number of values of each parameter."""
        return len(next(iter(self.columns.values())))

    @property
    def swept(self) -> tuple[str, ...]:
        """The parameters that vary along the axis."""
        return tuple(self.columns)

    def width(self, name: str) -> int:
        """Return the number of values of the parameter in one set: 1, or one for each unit."""
        column = self.columns[name]
        return column.shape[1] if column.ndim == 2 else 1

    def range(self, name: str) -> tuple[float, float]:
        """Smallest value above 0 (inf if there is none) and largest value of a parameter."""
        column = self.columns[name]
        return float(np.min(column, where=column > 0, initial=np.inf)), float(column.max())

    def values(self, start: int, stop: int) -> dict[str, Array]:
        """Return values ``start`` to ``stop - 1`` of each parameter, ``(n,)`` or ``(n, unit)`` float64, read-only."""
        _check_slice(start, stop, self.n)
        return {name: column[start:stop] for name, column in self.columns.items()}

    def _check_labels(self, column: Array) -> None:
        if column.ndim != 1:
            raise JobError(
                f"{self.dim} has shape {column.shape}: the values of a grid are one-dimensional labels. For one value "
                f"per unit write zipped('set', {self.dim}=...) with a dimension name of your own."
            )
        values, counts = np.unique(column, return_counts=True)
        doubles = np.flatnonzero(counts > 1)
        if doubles.size:
            raise JobError(
                f"{self.dim} = {values[doubles[0]]} occurs {counts[doubles[0]]} times: the values of a grid label its "
                "sets and must be unique. Remove the doubles, or use replicates(n) to repeat with other noise."
            )

    def _check_dim(self) -> None:
        if not isinstance(self.dim, str) or not self.dim.isidentifier():
            raise JobError(
                f"dimension {self.dim!r}: a dimension is named with letters, digits and underscores. Rename it."
            )
        if self.dim in RESERVED or self.dim.startswith("target_"):
            raise JobError(
                f"dimension {self.dim!r}: the result has a dimension or variable of that name. Call it something else, "
                "such as 'point'."
            )
        if self.dim in PARAMETERS or self.dim in SELECTORS or self.dim in INPUT_NUMBERS:
            raise JobError(
                f"dimension {self.dim!r} varies {', '.join(self.columns)}: only the axis of a grid is named after its "
                f"parameter. Call it something else, such as 'point', or use grid({self.dim}=...)."
            )


def _column(dim: str, name: str, values: npt.ArrayLike) -> Array:
    """Return one parameter's values along an axis as a read-only float64 copy, ``(n,)`` or ``(n, unit)``."""
    key = parse_name(name)
    per_unit = key.parameter.per_unit and not key.index
    given = array(f"{name} along {dim!r}", values, written=True, unit=UNITS[key.parameter.units])
    if given.ndim == 0:
        raise JobError(
            f"{name} = {given}: an axis needs several values. Write [{given}], or put a value common to all sets into "
            "the model's parameters."
        )
    if given.ndim > 1 + per_unit:
        rule = "(n,), or (n, unit) for one value per unit" if per_unit else "(n,), one number per set"
        raise JobError(f"{name} along {dim!r} has shape {given.shape}: it must be {rule}. Reshape it.")
    if not given.size:
        raise JobError(f"{name} along {dim!r} is empty: an axis needs at least one value. Give one, or drop the axis.")
    if given.ndim == 2 and given.shape[1] == 1:
        # With a single unit, a value for each unit is a value for each set.
        given = given[:, 0]
    return check_value(name, given)


@stored("Range")
@dataclass(frozen=True)
class Range:
    """The range of a sampled parameter, uniform or log-uniform between two ends.

    Parameters
    ----------
    name : str
        Name of the parameter.
    low, high : float
        The ends, in the parameter's units.
    log : bool
        Whether the logarithm is uniform, instead of the value.

    Raises
    ------
    JobError
        If the parameter is not continuous, or if the ends are not possible.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Check the ends, and write the name in its standard spelling."""
        key = parse_name(self.name)
        what = f"range {key} = ({self.low}, {self.high})"
        if key.parameter.integer:
            raise JobError(f"{what}: {key} counts, and a range is for continuous parameters. Use grid({key}=range(n)).")
        for end in ("low", "high"):
            bare = plain(f"range {key}: {end}", getattr(self, end), UNITS[key.parameter.units])
            object.__setattr__(self, end, number(f"range {key}: {end}", bare))
        check_value(str(key), [self.low, self.high])
        if not self.low < self.high:
            raise JobError(
                f"{what}: the low end must be below the high end. Swap them, or put a value common to all sets into "
                "the model's parameters."
            )
        if self.log and self.low <= 0:
            raise JobError(f"{what}: a logarithmic range must lie above 0. Raise the low end, or leave out 'log'.")
        object.__setattr__(self, "name", str(key))

    def scale(self, unit_interval: Array) -> Array:
        """Map numbers in [0, 1) to the range."""
        # A contiguous copy, because for a strided column NumPy's exp may use other code, which gives other last bits.
        u = np.ascontiguousarray(unit_interval)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        values = u * (high - low) + low
        return np.clip(np.exp(values) if self.log else values, self.low, self.high)


# scipy.stats takes a second to import, and most designs are grids, so it is imported only where it is needed.


def _sobol(n: int, d: int, seed: int, start: int, stop: int) -> Array:
    from scipy.stats import qmc

    engine = qmc.Sobol(d, rng=seed)
    # The first draw is a single point, because SciPy warns if the first draw is not a power of two, even for a slice.
    head = np.asarray(engine.random(1), dtype=np.float64)[start:stop]
    if start > 1:
        engine.fast_forward(start - 1)
    return np.concatenate([head, engine.random(stop - max(start, 1))]) if stop > 1 else head


@lru_cache(maxsize=2)
def _latin_hypercube_whole(n: int, d: int, seed: int) -> Array:
    from scipy.stats import qmc

    points = np.asarray(qmc.LatinHypercube(d, rng=seed).random(n), dtype=np.float64)
    points.setflags(write=False)
    return points


def _latin_hypercube(n: int, d: int, seed: int, start: int, stop: int) -> Array:
    # Every stratum is used once, so no point is known before all are. This takes O(n) memory; equal axes share it.
    return _latin_hypercube_whole(n, d, seed)[start:stop]


def _random(n: int, d: int, seed: int, start: int, stop: int) -> Array:
    # PCG64 uses one step for one float64, so the generator can jump to any point.
    return np.random.Generator(np.random.PCG64(seed).advance(start * d)).random((stop - start, d))


_SAMPLERS: Mapping[str, Callable[[int, int, int, int, int], Array]] = {
    "sobol": _sobol,
    "latin_hypercube": _latin_hypercube,
    "random": _random,
}


@stored("SampledAxis")
@dataclass(frozen=True)
class SampledAxis:
    """An axis of points drawn from ranges. Any slice is computed when it is needed, and not kept.

    A slice has the same bits as in the whole. ``random`` jumps to a slice at once. ``sobol`` skips to it in constant memory,
    in about 3 ns for each point. ``latin_hypercube`` needs all points, ``(n, parameter)`` float64; these are computed once
    per process and kept. The first points of ``sobol`` and ``random`` do not depend on n.

    Parameters
    ----------
    kind : {"sobol", "latin_hypercube", "random"}
        How the points are drawn.
    n : int
        Number of points.
    seed : int
        Seed of the sample, at least 0.
    ranges : tuple of Range
        The range of each parameter. Their order is part of the sample: it says which column belongs to which parameter.

    Raises
    ------
    JobError
        If a number or a name is not possible, or if a parameter is named twice.
    """

    dim: ClassVar[str] = "point"

    kind: str
    n: Count
    seed: Whole
    ranges: tuple[Range, ...]

    def __post_init__(self) -> None:
        """Check everything."""
        one_of("sample kind", self.kind, _SAMPLERS)
        check_fields(self, self.kind)
        object.__setattr__(self, "ranges", tuple(self.ranges))
        names = self.swept
        if not names:
            raise JobError(
                f"{self.kind} has no ranges: it draws at least one parameter. Write for example tau_s=(1, 100)."
            )
        for name in names:
            if names.count(name) > 1:
                raise JobError(f"{self.kind}: parameter {name!r} is named twice. Remove one of the two.")
        if self.kind == "sobol" and self.n > _SOBOL_POINTS:
            raise JobError(
                f"sobol: n = {self.n}: the sequence ends after 2**30 points. Lower n, or use random(n, seed, ...)."
            )

    @property
    def swept(self) -> tuple[str, ...]:
        """The parameters that vary along the axis."""
        return tuple(r.name for r in self.ranges)

    def width(self, name: str) -> int:
        """Return the number of values of the parameter in one set, which is 1."""
        return 1

    def range(self, name: str) -> tuple[float, float]:
        """Smallest value above 0 and largest value that the parameter can have."""
        (own,) = (r for r in self.ranges if r.name == name)
        return own.low or math.ulp(0.0), own.high

    def meant(self) -> SampledAxis:
        """Return the axis itself: points that are drawn are what they are."""
        return self

    def values(self, start: int, stop: int) -> dict[str, Array]:
        """Return values ``start`` to ``stop - 1`` of each parameter, ``(n,)`` float64."""
        _check_slice(start, stop, self.n)
        points = _SAMPLERS[self.kind](self.n, len(self.ranges), self.seed, start, stop)
        return {r.name: r.scale(points[:, column]) for column, r in enumerate(self.ranges)}


Axis = HeldAxis | SampledAxis
