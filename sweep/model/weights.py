"""W and U: ensembles of random weight matrices, and matrices from files.

``weights[i, j]`` is the weight from unit j to unit i. An ensemble stacks networks along a first dimension. Network m of an
ensemble depends on the seed and on m alone, so a longer ensemble begins with the same networks as a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from sweep.checks import Count, NotNegative, Whole, array, checked
from sweep.errors import JobError
from sweep.files import FromFile, Source, read_numbers
from sweep.model.labelled import RECURRENT, ordered

Weights = NDArray[np.float64]

Fraction = Annotated[float, Ge(0), Le(1)]
Density = Annotated[float, Gt(0), Le(1)]

# U and perturbations that are drawn with the seed of W must not repeat the draws of W.
_NETWORK, _INPUT, _PERTURBATION = (), (1,), (2,)


@checked
def gaussian(units: Count, seed: Whole, std: NotNegative = 1.0, networks: Count | None = None) -> Weights:
    """Draw fully connected networks with independent normal weights.

    Entries are drawn from N(0, std²/units). By the circular law the spectral radius is then about ``std``.

    Parameters
    ----------
    units : int
        Number of units, N.
    seed : int
        Seed of the ensemble.
    std : float
        Spectral radius for large N, dimensionless.
    networks : int, optional
        Number of networks. Without it a single matrix is returned, the first of every ensemble with this seed.

    Returns
    -------
    array of float64
        (unit, unit), or (network, unit, unit) when ``networks`` is given; read-only.

    Raises
    ------
    JobError
        If an argument is out of its bounds.
    """
    return sparse(units, seed, density=1.0, std=std, networks=networks)


@checked
def sparse(
    units: Count, seed: Whole, density: Density, std: NotNegative = 1.0, networks: Count | None = None
) -> Weights:
    """Draw sparsely connected networks: each weight is present with probability ``density``.

    Weights that are present are drawn from N(0, std²/(density units)), so the spectral radius is about ``std`` for every
    density. With the same seed, connections that are present at a low density are also present at a higher one.

    Parameters
    ----------
    units : int
        Number of units, N.
    seed : int
        Seed of the ensemble.
    density : float
        Probability of a connection, in (0, 1].
    std : float
        Spectral radius for large N, dimensionless.
    networks : int, optional
        Number of networks; without it a single matrix is returned.

    Returns
    -------
    array of float64
        (unit, unit), or (network, unit, unit) when ``networks`` is given; read-only.

    Raises
    ------
    JobError
        If an argument is out of its bounds.
    """
    scale = std / math.sqrt(density * units)

    def draw(generator: Generator) -> Weights:
        values, present = _draw_connections(generator, units, density)
        return scale * values * present

    return _ensemble(draw, seed, networks)


@checked
def excitatory_inhibitory(
    units: Count,
    seed: Whole,
    fraction_excitatory: Fraction = 0.8,
    density: Density = 1.0,
    std: NotNegative = 1.0,
    balance: bool = True,
    networks: Count | None = None,
) -> Weights:
    """Draw networks that obey Dale's law: all weights from one unit have one sign.

    The first ``round(fraction_excitatory * units)`` units are excitatory, the others inhibitory. Magnitudes are half-normal.
    The eigenvalues fill a disc with a radius of about ``std``. A network that is not balanced has one more eigenvalue, the
    mean row sum, which may lie far outside the disc.

    Parameters
    ----------
    units : int
        Number of units, N.
    seed : int
        Seed of the ensemble.
    fraction_excitatory : float
        Fraction of excitatory units, in [0, 1]. Their weights are columns 0 to ``round(fraction_excitatory * units) - 1``.
    density : float
        Probability of a connection, in (0, 1].
    std : float
        Radius of the disc of eigenvalues for large N, dimensionless.
    balance : bool
        Whether to balance excitation and inhibition. The kind with fewer units gets stronger weights, and the weights that a
        unit receives are scaled so that its excitation and its inhibition cancel: each row that has both sums to 0.
    networks : int, optional
        Number of networks; without it a single matrix is returned.

    Returns
    -------
    array of float64
        (unit, unit), or (network, unit, unit) when ``networks`` is given; read-only.

    Raises
    ------
    JobError
        If an argument is out of its bounds, or if a network that has only one kind of unit should be balanced.

    Notes
    -----
    K. Rajan & L. F. Abbott, "Eigenvalue spectra of random matrices for neural networks", Phys. Rev. Lett. 97:188104
    (2006). The radius is the square root of the sum of the column variances. If all rows sum to 0, every eigenvalue is
    inside it.
    """
    excitatory = round(fraction_excitatory * units)
    inhibitory = units - excitatory
    if balance and not (excitatory and inhibitory):
        raise JobError(
            f"balance = True: needs units of both kinds, but fraction_excitatory = {fraction_excitatory!r} of "
            f"units = {units} makes {excitatory} excitatory and {inhibitory} inhibitory. "
            f"Choose another fraction, or balance = False."
        )
    ratio = excitatory / inhibitory if balance else 1.0
    # Variance of a half-normal number of scale 1 that is present with probability `density`.
    variance = density * (1.0 - density * 2.0 / math.pi)
    scale = std / math.sqrt(variance * (excitatory + inhibitory * ratio**2))
    signs = np.where(np.arange(units) < excitatory, scale, -scale * ratio)

    def draw(generator: Generator) -> Weights:
        values, present = _draw_connections(generator, units, density)
        weights: Weights = np.abs(values) * present * signs
        if balance:
            _balance_rows(weights, excitatory)
        return weights

    return _ensemble(draw, seed, networks)


@checked
def input_weights(units: Count, channels: Count, seed: Whole, std: NotNegative = 1.0) -> Weights:
    """Draw the weights U from input channels to units, independently from N(0, std²).

    Parameters
    ----------
    units : int
        Number of units.
    channels : int
        Number of channels of the input signal.
    seed : int
        Seed; the draws are independent of those of a network with the same seed.
    std : float
        Standard deviation of a weight, dimensionless.

    Returns
    -------
    array of float64
        (unit, channel); read-only.

    Raises
    ------
    JobError
        If an argument is out of its bounds.
    """
    return array("weights", std * _generator(seed, 0, _INPUT).standard_normal((units, channels)))


@checked
def perturb(weights: ArrayLike, fractions: Sequence[NotNegative] | NDArray[np.float64], seed: Whole) -> Weights:
    """Add normal noise of exact relative sizes to a network.

    Network m is ``weights + D``. D is normal in every entry, and scaled so that ``|D| = fractions[m] |weights|`` in the
    Frobenius norm. Every network has its own random direction D.

    Parameters
    ----------
    weights : array
        (unit, unit), the network to perturb.
    fractions : sequence of float
        (network,), relative sizes >= 0; 0 gives the original network.
    seed : int
        Seed; the draws are independent of those of a network with the same seed.

    Returns
    -------
    array of float64
        (network, unit, unit); read-only.

    Raises
    ------
    JobError
        If the weights are not a square matrix, or all zero, or if a fraction is negative.
    """
    base = array("weights", ordered("weights", weights, RECURRENT)[0])
    sizes = array("fractions", fractions)
    norm = np.linalg.norm(base)
    if base.ndim != 2 or base.shape[0] != base.shape[1] or norm == 0:
        raise JobError(
            f"weights of shape {base.shape} and norm {norm:g}: must be one square matrix that is not zero. "
            f"Take one network of the ensemble."
        )
    if sizes.ndim != 1 or sizes.size == 0 or sizes.min() < 0:
        raise JobError(f"fractions = {fractions!r}: must be a list of numbers >= 0. Write for example [0.0, 0.1, 0.2].")
    perturbed = np.empty((sizes.size, *base.shape))
    for network, size in enumerate(sizes):
        noise = _generator(seed, network, _PERTURBATION).standard_normal(base.shape)
        perturbed[network] = base + (size * norm / np.linalg.norm(noise)) * noise
    return array("weights", perturbed)


def from_file(path: Annotated[Source, FromFile()]) -> Weights:
    """Read W or U from a file.

    Parameters
    ----------
    path : str or path
        A text file (``.csv``, ``.tsv``, ``.txt``) or a ``.npy`` file. Row i has the weights to unit i. See
        `sweep.files.read_numbers`.

    Returns
    -------
    array of float64
        (unit, unit) or (unit, channel); from ``.npy`` also an ensemble (network, unit, unit). Read-only.

    Raises
    ------
    JobError
        If the file cannot be read, or does not hold two or three dimensions of finite numbers.
    """
    weights = array(f"file {str(path)!r}", read_numbers(path))
    if weights.ndim not in (2, 3):
        raise JobError(
            f"file {str(path)!r}: holds the shape {weights.shape}, but weights are (unit, unit), (unit, channel) or "
            f"(network, unit, unit). Save them with 2 or 3 dimensions."
        )
    return weights


def listed(values: Sequence[Sequence[float]]) -> Weights:
    """Take weights W or U from a list of rows.

    Parameters
    ----------
    values : sequence of sequence of float
        A row for each unit: row i has the weights to unit i.

    Returns
    -------
    array of float64
        (unit, unit) or (unit, channel); read-only.

    Raises
    ------
    JobError
        If the rows differ in length, or if an entry is not a finite number.
    """
    return array("weights", values)


#: Functions for W and for U, by their kind in a job file. The number of units comes from the model.
WEIGHTS: Mapping[str, Callable[..., Weights]] = {
    "gaussian": gaussian,
    "sparse": sparse,
    "excitatory_inhibitory": excitatory_inhibitory,
    "file": from_file,
    "values": listed,
}
INPUT_WEIGHTS: Mapping[str, Callable[..., Weights]] = {"random": input_weights, "file": from_file, "values": listed}


def _generator(seed: int, network: int, purpose: tuple[int, ...]) -> Generator:
    return Generator(PCG64(SeedSequence([seed, network], spawn_key=purpose)))


def _ensemble(draw: Callable[[Generator], Weights], seed: int, networks: int | None) -> Weights:
    if networks is None:
        return array("weights", draw(_generator(seed, 0, _NETWORK)))
    return array("weights", np.stack([draw(_generator(seed, network, _NETWORK)) for network in range(networks)]))


def _draw_connections(generator: Generator, units: int, density: float) -> tuple[Weights, NDArray[np.bool_]]:
    values = generator.standard_normal((units, units))
    return values, generator.random((units, units)) < density


def _balance_rows(weights: Weights, excitatory: int) -> None:
    excitation = weights[:, :excitatory].sum(axis=1)
    inhibition = -weights[:, excitatory:].sum(axis=1)
    both = (excitation > 0) & (inhibition > 0)
    # Both kinds are scaled to their geometric mean, so that neither becomes extreme if the other is rare.
    middle = np.sqrt(excitation[both] * inhibition[both])
    weights[both, :excitatory] *= (middle / excitation[both])[:, None]
    weights[both, excitatory:] *= (middle / inhibition[both])[:, None]
