"""Which units the names of a model mean: populations, slices, single units, and the projections between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.checks import Count, whole
from sweep.errors import JobError, short, suggest
from sweep.model.parameters import ParameterName, Place, parse_name


class Projection(NamedTuple):
    """All weights to some units from some units: those that ``gain[E,I]`` scales."""

    to: range
    source: range

    def overlaps(self, other: Projection) -> bool:
        """Whether some weight belongs to both."""
        return bool(_common(self.to, other.to) and _common(self.source, other.source))


class Units:
    """The units of a model, by their names.

    Parameters
    ----------
    units : int
        Number of units.
    populations : mapping of str to int, optional
        The populations and their sizes, in the order of the units.
    """

    def __init__(self, units: int, populations: Mapping[str, int] | None = None) -> None:
        self._units = units
        self._populations: dict[str, range] = {}
        self._layers: dict[tuple[str, ...], dict[str, range]] = {}
        start = 0
        for name, size in (populations or {}).items():
            self._populations[name] = range(start, start + size)
            start += size

    def at(self, name: ParameterName) -> tuple[range, ...]:
        """Return the units of each place in a parameter's index; all units without an index.

        Raises
        ------
        JobError
            If there is no such unit or population.
        """
        return tuple(self._place(name, place) for place in name.index) or (range(self._units),)

    def projection(self, name: str) -> Projection:
        """Return the projection that a name such as ``gain[E,I]`` scales."""
        return Projection(*self.at(parse_name(name)))

    def layers(self, base: str, names: Iterable[str]) -> dict[str, range]:
        """Return which units the names of one parameter mean, the widest first: the last one that has a unit holds for it.

        Parameters
        ----------
        base : str
            The parameter. It comes first, for all units, whether it is among the names or not.
        names : iterable of str
            Names that have values.

        Raises
        ------
        JobError
            If two names mean the same units, or if each has units that the other has not.
        """
        keys = [key for key in map(parse_name, names) if key.base == base and len(key.index) == 1]
        named = (base, *dict.fromkeys(map(str, keys)))
        if named not in self._layers:  # every block asks
            self._layers[named] = self._ordered(base, {str(key): self.at(key)[0] for key in keys})
        return self._layers[named]

    def _ordered(self, base: str, own: Mapping[str, range]) -> dict[str, range]:
        ordered = sorted(own.items(), key=lambda item: -len(item[1]))
        for place, (name, units) in enumerate(ordered):
            for wider, others in ordered[:place]:
                common = _common(units, others)
                if common and (len(common) < len(units) or len(units) == len(others)):
                    which = f"unit {common[0]}" if len(common) == 1 else f"units {common[0]} to {common[-1]}"
                    raise JobError(
                        f"{wider} and {name} both name {which}, and neither is a part of the other: it must be clear which one "
                        "holds. Name units that do not overlap, or a part of the others, for which the narrower name holds."
                    )
        return {base: range(self._units), **dict(ordered)}

    def holders(self, base: str, names: Iterable[str]) -> tuple[list[str], npt.NDArray[np.intp]]:
        """Return the layers of a parameter by name, and which of them holds for each unit, ``(unit,)``; see :meth:`layers`."""
        layers = self.layers(base, names)
        which = np.zeros(self._units, dtype=np.intp)
        for number, units in enumerate(layers.values()):
            which[units.start : units.stop] = number
        return list(layers), which

    def projections(self, names: Iterable[str]) -> dict[str, Projection]:
        """Return the projections among some names, in the order of their units.

        Raises
        ------
        JobError
            If two of them have a weight in common.
        """
        found: dict[str, Projection] = {}
        for name in dict.fromkeys(names):
            if not parse_name(name).is_factor:
                continue
            own = self.projection(name)
            for other, projection in found.items():
                if own.overlaps(projection):
                    raise JobError(
                        f"{other} and {name} both scale the weight to unit {max(own.to[0], projection.to[0])} from unit "
                        f"{max(own.source[0], projection.source[0])}: a weight has one such factor. Name units that do not "
                        "overlap."
                    )
            found[name] = own
        # In this order they are added up, whatever the order of the names.
        return dict(sorted(found.items(), key=lambda item: [(units.start, units.stop) for units in item[1]]))

    def labels(self) -> list[str]:
        """Return the population of every unit."""
        return [name for name, units in self._populations.items() for _ in units]

    def _place(self, name: ParameterName, place: Place) -> range:
        if isinstance(place, int):
            start, stop = place, place + 1
        elif ":" in place:
            first, _, last = place.partition(":")
            start, stop = int(first), int(last) if last else self._units
        elif place in self._populations:
            return self._populations[place]
        elif self._populations:
            raise JobError(
                f"{name} names the population {place!r}, which the model does not have. {suggest(place, self._populations)}"
            )
        else:
            raise JobError(
                f"{name} names the population {place!r}, but the model has none. Give model.populations, such as "
                f"{{{place!r}: {self._units}}}, whose sizes add up to units = {self._units}, or name units, such as "
                f"'{name.base}[{','.join(['0:' + str(self._units)] * len(name.index))}]'."
            )
        unit = max(start, stop - 1)
        if unit >= self._units:
            raise JobError(
                f"{name} names unit {unit}, but the model has {self._units} units, counted from 0. Name one of these."
            )
        return range(start, stop)


def check_populations(units: int, populations: Any) -> dict[str, int] | None:
    """Return populations, checked; None if there are none.

    Raises
    ------
    JobError
        If a name is not possible, if a size is not a whole number of at least 1, or if the sizes do not add up.
    """
    sizes = {name: whole(f"model.populations.{name}", size, Count) for name, size in (populations or {}).items()}
    for name in sizes:
        if not isinstance(name, str) or not name.isidentifier():
            raise JobError(
                f"model.populations: {short(name)} cannot name a population: a name has letters, digits and underscores, and "
                "begins with a letter. Rename it."
            )
    total = sum(sizes.values())
    if sizes and total != units:
        listed = " + ".join(f"{name} {size}" for name, size in sizes.items())
        raise JobError(
            f"model.populations = {listed} has {total} units: the sizes must add up to units = {units}. Correct a size, or "
            "name the other units too."
        )
    return sizes or None


def _common(one: range, other: range) -> range:
    """Return the units that two runs of units have in common."""
    return range(max(one.start, other.start), min(one.stop, other.stop))
