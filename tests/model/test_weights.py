"""W and U: ensembles are reproducible, and have the right spectra, signs and densities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweep.errors import JobError
from sweep.model import weights as network

Draw = Callable[..., NDArray[np.float64]]

ENSEMBLES = {
    "gaussian": network.gaussian,
    "sparse": lambda units, seed, **options: network.sparse(units, seed, 0.3, **options),
    "excitatory_inhibitory": network.excitatory_inhibitory,
    "unbalanced": lambda units, seed, **options: network.excitatory_inhibitory(units, seed, balance=False, **options),
}


@pytest.fixture(params=ENSEMBLES)
def draw(request: pytest.FixtureRequest) -> Draw:
    """Offer every kind of ensemble in turn."""
    return ENSEMBLES[request.param]


def radius(weights: NDArray[np.float64]) -> float:
    """Return the spectral radius."""
    return float(np.abs(np.linalg.eigvals(weights)).max())


def test_same_seed_gives_same_weights(draw: Draw) -> None:
    """A seed always gives the same network, and another seed another one."""
    assert np.array_equal(draw(20, 3), draw(20, 3))
    assert not np.array_equal(draw(20, 3), draw(20, 4))


@given(networks=st.integers(1, 6), seed=st.integers(0, 2**64))
def test_network_of_an_ensemble_does_not_depend_on_its_length(networks: int, seed: int) -> None:
    """A longer ensemble begins with the shorter one, and a single network is its first."""
    ensemble = network.gaussian(5, seed, networks=networks)
    assert ensemble.shape == (networks, 5, 5)
    assert np.array_equal(ensemble, network.gaussian(5, seed, networks=6)[:networks])
    assert np.array_equal(ensemble[0], network.gaussian(5, seed))


def test_networks_of_an_ensemble_differ(draw: Draw) -> None:
    """Every network of an ensemble is drawn independently."""
    ensemble = draw(10, 1, networks=3)
    assert len({weights.tobytes() for weights in ensemble}) == 3


def test_weights_are_plain_read_only_float64(draw: Draw) -> None:
    """Weights are read-only, so that a job cannot change."""
    weights = draw(10, 1)
    assert weights.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1.0


@pytest.mark.parametrize("kind", ["gaussian", "sparse", "excitatory_inhibitory"])
@pytest.mark.parametrize("std", [0.5, 1.5])
def test_spectral_radius_is_about_std(kind: str, std: float) -> None:
    """By the circular law the eigenvalues of a large network reach as far as std."""
    assert radius(ENSEMBLES[kind](400, 2, std=std)) == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize(("fraction", "density"), [(0.5, 1.0), (0.8, 0.2), (0.6, 0.5)])
def test_balanced_spectral_radius_does_not_depend_on_the_mixture(fraction: float, density: float) -> None:
    """Balance keeps every eigenvalue in the disc, for all fractions and densities."""
    weights = network.excitatory_inhibitory(400, 1, fraction, density)
    assert radius(weights) == pytest.approx(1.0, rel=0.12)


def test_unbalanced_network_has_one_eigenvalue_outside_of_the_disc() -> None:
    """Without balance the mean row sum is an eigenvalue; the others stay in the disc."""
    weights = network.excitatory_inhibitory(400, 1, balance=False)
    sizes = np.sort(np.abs(np.linalg.eigvals(weights)))
    assert sizes[-1] == pytest.approx(abs(weights.sum(axis=1).mean()), rel=0.05)
    assert sizes[-1] > 5
    assert sizes[-2] == pytest.approx(1.0, rel=0.15)


def test_gaussian_entries_have_variance_of_one_over_units() -> None:
    """The entries are N(0, std^2/units)."""
    weights = network.gaussian(300, 0, std=2.0)
    assert weights.mean() == pytest.approx(0.0, abs=5 * 2 / 300**1.5)
    assert weights.std() == pytest.approx(2.0 / np.sqrt(300), rel=0.02)


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_density_is_the_fraction_of_weights_present(density: float) -> None:
    """The fraction of weights that are present is the density, with and without Dale's law."""
    for weights in (network.sparse(300, 1, density), network.excitatory_inhibitory(300, 1, density=density)):
        assert np.count_nonzero(weights) / weights.size == pytest.approx(density, abs=0.01)


def test_sparser_network_keeps_a_part_of_the_connections() -> None:
    """With one seed, what is connected at a low density is connected at a higher one."""
    few, many = network.sparse(50, 1, 0.1) != 0, network.sparse(50, 1, 0.4) != 0
    assert np.all(many[few])
    assert np.array_equal(network.sparse(50, 1, 1.0), network.gaussian(50, 1))


@given(units=st.integers(2, 30), seed=st.integers(0, 1000), density=st.floats(0.05, 1.0), fraction=st.floats(0.0, 1.0))
def test_every_unit_either_excites_or_inhibits(units: int, seed: int, density: float, fraction: float) -> None:
    """Dale's law: the weights from one unit, a column, have one sign."""
    excitatory = round(fraction * units)
    balance = 0 < excitatory < units
    weights = network.excitatory_inhibitory(units, seed, fraction, density, balance=balance)
    assert np.all(weights[:, :excitatory] >= 0)
    assert np.all(weights[:, excitatory:] <= 0)


def test_balance_cancels_excitation_and_inhibition_of_each_unit() -> None:
    """Each row of a balanced network sums to 0, even if few units are inhibitory."""
    weights = network.excitatory_inhibitory(100, 1, fraction_excitatory=0.9, networks=3)
    np.testing.assert_allclose(weights.sum(axis=-1), 0.0, atol=1e-13)


def test_input_weights_are_standard_normal_and_apart_from_the_network() -> None:
    """U has the standard deviation asked for, and does not repeat the draws of W under the same seed."""
    weights = network.input_weights(200, 50, seed=1, std=3.0)
    assert weights.shape == (200, 50)
    assert weights.std() == pytest.approx(3.0, rel=0.03)
    other = network.gaussian(100, 1)
    assert abs(np.corrcoef(weights.ravel(), other.ravel())[0, 1]) < 0.05


@given(fractions=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_perturbation_has_the_relative_size_asked_for(fractions: list[float], seed: int) -> None:
    """The Frobenius norm of the change is that of the weights times the fraction, exactly."""
    weights = network.sparse(12, 1, 0.5)
    changed = network.perturb(weights, fractions, seed)
    assert changed.shape == (len(fractions), 12, 12)
    sizes = np.linalg.norm(changed - weights, axis=(1, 2)) / np.linalg.norm(weights)
    np.testing.assert_allclose(sizes, fractions, rtol=1e-9, atol=1e-14)


def test_perturbations_have_directions_of_their_own() -> None:
    """Network m of a perturbation depends on the seed and m alone; 0 is the network itself."""
    weights = network.gaussian(10, 1)
    changed = network.perturb(weights, [0.0, 0.1, 0.1], seed=1)
    assert np.array_equal(changed[0], weights)
    assert not np.allclose(changed[1], changed[2])
    assert np.array_equal(changed[:2], network.perturb(weights, [0.0, 0.1], seed=1))


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".tsv", ".txt"])
def test_weights_come_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    """A matrix saved in any of the formats is read with the same values, read-only."""
    weights = network.gaussian(4, 1)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npy":
        np.save(path, weights)
    else:
        np.savetxt(path, weights, delimiter={".csv": ",", ".tsv": "\t", ".txt": " "}[suffix], fmt="%.17g")
    read = network.from_file(path)
    assert np.array_equal(read, weights)
    assert not read.flags.writeable


def test_one_column_of_input_weights_stays_a_matrix(tmp_path: Path) -> None:
    """U of one channel is (unit, 1) after reading, not (unit,)."""
    (tmp_path / "u.csv").write_text("1\n2\n3\n")
    assert network.from_file(tmp_path / "u.csv").shape == (3, 1)


def test_ensemble_comes_back_from_npy(tmp_path: Path) -> None:
    """An ensemble keeps its three dimensions in .npy."""
    ensemble = network.gaussian(3, 1, networks=2)
    np.save(tmp_path / "w.npy", ensemble)
    assert np.array_equal(network.from_file(tmp_path / "w.npy"), ensemble)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network.gaussian(0, 1), r"units = 0: must be a whole number of at least 1"),
        (lambda: network.gaussian(2.5, 1), r"units = 2.5: must be a whole number"),
        (lambda: network.gaussian(True, 1), r"units = True: must be a whole number"),
        (lambda: network.gaussian(3, -1), r"seed = -1: must be a whole number of at least 0"),
        (lambda: network.gaussian(3, 1, networks=0), r"networks = 0: must be a whole number of at least 1"),
        (lambda: network.gaussian(3, 1, std=-1.0), r"std = -1: must be at least 0"),
        (lambda: network.gaussian(3, 1, std=np.nan), r"std = nan: must be finite"),
        (lambda: network.gaussian(3, 1, std="1"), r"std = '1': must be a number"),
        (lambda: network.sparse(3, 1, 0.0), r"density = 0: must be above 0"),
        (lambda: network.sparse(3, 1, 1.5), r"density = 1.5: must be above 0 and at most 1"),
        (
            lambda: network.excitatory_inhibitory(3, 1, -0.1),
            r"fraction_excitatory = -0.1: must be at least 0 and at most 1",
        ),
        (lambda: network.excitatory_inhibitory(3, 1, 1.0), r"balance = True: needs units of both kinds.*3 excitatory"),
        (lambda: network.input_weights(3, 0, 1), r"channels = 0: must be a whole number of at least 1"),
        (lambda: network.perturb(np.ones((2, 3)), [0.1], 1), r"shape \(2, 3\).*one square matrix"),
        (lambda: network.perturb(np.zeros((2, 2)), [0.1], 1), r"norm 0: must be .* not zero"),
        (lambda: network.perturb(np.eye(2), [-0.1], 1), r"fractions = \[-0.1\]: must be a list of numbers >= 0"),
        (lambda: network.perturb(np.eye(2), 0.1, 1), r"fractions = 0.1: must be a list"),
        (lambda: network.perturb([[1, np.nan], [0, 1]], [0.1], 1), r"weights = nan at \[0, 1\]: .* must be finite"),
        (lambda: network.perturb("w", [0.1], 1), r"weights = 'w': must be a number or an array"),
    ],
)
def test_bad_argument_is_refused_with_its_rule(call: Callable[[], object], message: str) -> None:
    """The error names the key, its value and the rule."""
    with pytest.raises(JobError, match=message):
        call()


def test_weights_of_one_dimension_are_refused(tmp_path: Path) -> None:
    """A file that holds no matrix is refused with its shape."""
    np.save(tmp_path / "w.npy", np.ones(3))
    with pytest.raises(JobError, match=r"holds the shape \(3,\), but weights are"):
        network.from_file(tmp_path / "w.npy")
