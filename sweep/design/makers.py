"""Functions that make designs: grids, parameters that vary together, samples, tables, replicates. Designs multiply."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.checks import Count, Whole, whole
from sweep.checks.calls import called
from sweep.checks.caution import warn
from sweep.checks.paths import local
from sweep.checks.units import UNITS, plain
from sweep.design.axes import HeldAxis, Range, SampledAxis
from sweep.design.design import Design
from sweep.errors import JobError, short
from sweep.files import FromFile, Source, read_table
from sweep.model.parameters import parse_name

if TYPE_CHECKING:
    pass


class Columns(Protocol):
    """Named columns of numbers, such as a DataFrame of pandas, which is slow to import."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the names."""
        ...


@called
def grid(**values: npt.ArrayLike) -> Design:
    """Sweep every combination of values, with one dimension for each parameter, which has its name.

    Values are the decimals that are meant: the fourth of ``np.linspace(0, 1, 11)`` is 0.3, in the simulation and as a label.

    Parameters
    ----------
    **values : array_like
        ``(n,)`` different values of a parameter. ``grid(**{"W[0,1]": [...]})`` sweeps a single weight, ``"tau_s[E]"`` the
        value of a population, ``"gain[E,I]"`` the factor of all weights to E from I.

    Raises
    ------
    JobError
        If a name or a value is not possible, or if a value occurs twice.
    """
    given: Mapping[str, Any] = values
    return Design(tuple(HeldAxis(str(parse_name(name)), {name: column}).meant() for name, column in given.items()))


@called
def zipped(dim: str, **values: npt.ArrayLike) -> Design:
    """Let several parameters vary together along one dimension.

    Parameters
    ----------
    dim : str
        Name of the dimension, which must not be the name of a parameter. Its sets are numbered from 0.
    **values : array_like
        ``(n,)`` values of a parameter, or ``(n, unit)`` with a value for each unit. n is the same for all.

    Raises
    ------
    JobError
        If a name, a shape or a value is not possible.
    """
    return Design((HeldAxis(dim, dict[str, Any](values)).meant(),))


def _sampled(kind: str, n: int, seed: int, ranges: Mapping[str, tuple[Any, ...]]) -> Design:
    parsed = []
    for name, given in ranges.items():
        ends = plain(name, given, UNITS[parse_name(name).parameter.units])
        given = ends.tolist() if isinstance(ends, np.ndarray) else ends
        if not isinstance(given, tuple | list) or not (len(given) == 2 or (len(given) == 3 and given[2] == "log")):
            raise JobError(
                f"{kind}: {name} = {short(given)}: a range is (low, high) or (low, high, 'log'). Write "
                f"{name}=(low, high); for single values use grid or zipped."
            )
        parsed.append(Range(name, given[0], given[1], len(given) == 3))
    return Design((SampledAxis(kind, n, seed, tuple(parsed)),))


@called
def sobol(n: Count, seed: Whole, **ranges: tuple[Any, ...]) -> Design:
    """Draw points of a scrambled Sobol sequence, which fill the ranges more evenly than chance, along ``point``.

    Parameters
    ----------
    n : int
        Number of points. It should be a power of two, and is at most 2**30.
    seed : int
        Seed of the scrambling.
    **ranges : tuple
        The low and the high end of a parameter: uniform between them, log-uniform if ``"log"`` comes third.

    Raises
    ------
    JobError
        If a name, an end or a number is not possible.

    Warns
    -----
    UserWarning
        If n is not a power of two.

    See Also
    --------
    scipy.stats.qmc.Sobol : the sequence (Joe & Kuo's directions, LMS and digital shift).
    """
    design = _sampled("sobol", n, seed, ranges)
    if n & (n - 1):
        below = 1 << (int(n).bit_length() - 1)
        warn(f"sobol: n = {n}: Sobol points are balanced only if n is a power of two. Use {below} or {2 * below}.")
    return design


@called
def latin_hypercube(n: Count, seed: Whole, **ranges: tuple[Any, ...]) -> Design:
    """Draw a Latin hypercube along ``point``: each of n equal strata of every range is used exactly once.

    All points are computed and kept when the first one is needed, so memory is O(n). Another n gives other points.

    Parameters
    ----------
    n : int
        Number of points.
    seed : int
        Seed of the sample.
    **ranges : tuple
        The low and the high end of a parameter: uniform between them, log-uniform if ``"log"`` comes third.

    Raises
    ------
    JobError
        If a name, an end or a number is not possible.
    """
    return _sampled("latin_hypercube", n, seed, ranges)


@called
def random(n: Count, seed: Whole, **ranges: tuple[Any, ...]) -> Design:
    """Draw independent points along ``point``.

    Parameters
    ----------
    n : int
        Number of points.
    seed : int
        Seed of the sample.
    **ranges : tuple
        The low and the high end of a parameter: uniform between them, log-uniform if ``"log"`` comes third.

    Raises
    ------
    JobError
        If a name, an end or a number is not possible.
    """
    return _sampled("random", n, seed, ranges)


@called
def table(dim: str, frame: Annotated[Columns | Mapping[str, npt.ArrayLike] | Source, FromFile(("file",))]) -> Design:
    """Take the sets from a table: a row each, along one dimension.

    Parameters
    ----------
    dim : str
        Name of the dimension, which must not be the name of a parameter. Its sets are numbered from 0.
    frame : DataFrame, mapping of columns, or path of a CSV file
        The columns are parameters. In a file the first line has their names (``"W[0,1]"`` in quotes); ``#`` begins a comment.

    Raises
    ------
    JobError
        If the file cannot be read, or if a name or a value is not possible.
    """
    if isinstance(frame, str | os.PathLike):
        frame = _read_csv(local("table", frame))
    elif not isinstance(frame, Mapping) and not hasattr(frame, "columns"):
        raise JobError(
            f"table {dim!r} is {short(frame)}: it must be a DataFrame, a mapping of columns or a CSV path. Give one."
        )
    names = [str(name) for name in frame]
    for name in names:
        if names.count(name) > 1:
            raise JobError(f"table {dim!r}: column {name!r} is there {names.count(name)} times. Remove the others.")
    given: Any = frame
    columns = {str(name): given[name] for name in given}
    return Design((HeldAxis(dim, columns).meant(),))


def _read_csv(path: Path) -> Mapping[str, npt.ArrayLike]:
    """Return the columns of a CSV file by the names in its header."""
    try:
        found = read_table(path)
    except (OSError, ValueError) as error:
        raise JobError(f"table {str(path)!r} cannot be read as CSV: {error} Correct the path or the file.") from error
    if not found.values.size:
        raise JobError(
            f"table {str(path)!r}: it has no sets. Write a header with names of parameters, and a row for each set."
        )
    if found.names is None:
        raise JobError(
            f"table {str(path)!r}: its first line must name the parameters, and has only numbers. Write a header such as "
            "tau_s,gain."
        )
    for number, name in enumerate(found.names):
        if not name:
            raise JobError(
                f"table {str(path)!r}: column {number} has no name. Name the parameter, or remove the column."
            )
        if found.names.count(name) > 1:
            raise JobError(
                f"table {str(path)!r}: column {name!r} is there {found.names.count(name)} times. Remove the others."
            )
    return dict(zip(found.names, found.values.T, strict=True))


@called
def replicates(n: Count) -> Design:
    """Repeat every set with n independent streams of noise, along ``replicate``.

    Parameters
    ----------
    n : int
        Number of replicates of every set.

    Raises
    ------
    JobError
        If n is not a whole number of at least 1.
    """
    return grid(replicate=np.arange(whole("replicates.n", n, Count)))


#: Functions that make designs, by their names in a job file, where their arguments are keys.
DESIGNS: Mapping[str, Callable[..., Design]] = {
    "grid": grid,
    "zipped": zipped,
    "sobol": sobol,
    "latin_hypercube": latin_hypercube,
    "random": random,
    "table": table,
    "replicates": replicates,
}
