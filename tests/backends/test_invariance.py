"""A set's result depends on that set alone, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.jobs import TRAPS, Results, Simulate, assert_same_bits

from sweep import Design, Integration, Job, Model, Target, gaussian, grid, record, replicates, samples, sine, zipped
from sweep.model.parameters import PARAMETERS
from sweep.signals.waveforms import white_noise

pytestmark = TRAPS
UNITS = (1, 3, 5, 16, 17, 32, 64, 128)
PRECISIONS = ("float32", "float64")

Whole = Callable[[int, str], Results]

POINTS = 80


@lru_cache
def points(units: int) -> dict[str, np.ndarray]:
    """Return values of many parameters for some sets, which compensate their sums, diverge, or do neither."""
    rng = np.random.default_rng(units)
    return {
        "tau_s": rng.choice([0.0, 2.0, 30.0, 5000.0], POINTS),
        "tau_r": rng.uniform(2, 20, (POINTS, units)),
        "gain": np.where(np.arange(POINTS) % 9 == 4, 1e30, rng.uniform(0, 1, POINTS)),
        "noise": rng.choice([0.0, 0.2], POINTS),
        "threshold": rng.normal(0, 0.3, (POINTS, units)),
        "stimulus": rng.integers(0, 2, POINTS).astype(float),
        "replicate": rng.integers(0, 3, POINTS).astype(float),
    }


def job(units: int, precision: str, design: Design, sets_per_block: int | None = None, **parameters: float) -> Job:
    """Return a job with noise, targets and records, of which two parameters are common."""
    rng = np.random.default_rng(0)
    return Job(
        model=Model(
            units=units,
            weights=gaussian(units=units, seed=1),
            activation="softplus",
            parameters={"bias": -0.5, "slope": 1.1} | parameters,
        ),
        input=[sine(frequency=30.0), white_noise(std=0.5, seed=1)],
        target=Target(samples(rng.normal(size=(units, 30)), interval=1.0, dims=("channel", "time")), lags=[0, 2]),
        design=design,
        integration=Integration(dt=1, duration=21, transient=2, precision=precision),
        observe=["x_mean", "r_var", "r_min", "x_max", "r_final", "target_correlation", "target_mse",
                 record("x", every=4), record("r", every=4)],
        seed=7,
        sets_per_block=sets_per_block,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(simulate: Simulate) -> Whole:
    """Return a way to simulate all points in one block, once for every size and precision."""
    return lru_cache(lambda units, precision: simulate(job(units, precision, zipped("point", **points(units)))))


sizes = st.sampled_from([(units, precision) for units in UNITS for precision in PRECISIONS])


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", UNITS)
def test_the_points_are_a_fair_trial(whole: Whole, units: int, precision: str) -> None:
    """Some sets diverge and most do not, and their results differ."""
    results = whole(units, precision)
    diverged = results["status"] == 2
    assert 5 <= diverged.sum() < 20
    assert len(np.unique(results["x_mean"][~diverged, 0])) == (~diverged).sum()


@pytest.mark.product
@settings(max_examples=40)
@given(size=sizes, sets_per_block=st.integers(1, POINTS), batch=st.none() | st.integers(1, 2 * POINTS))
def test_blocks_and_batches_change_nothing(
    simulate: Simulate, whole: Whole, size: tuple[int, str], sets_per_block: int, batch: int | None
) -> None:
    """For any size of blocks and batches the bits are those of a single block."""
    split = job(*size, zipped("point", **points(size[0])), max(sets_per_block, 8))
    assert_same_bits(simulate(split, batch), whole(*size))


@pytest.mark.product
@settings(max_examples=40)
@given(size=sizes, chosen=st.lists(st.integers(0, POINTS - 1), min_size=1, max_size=140))
def test_order_subset_and_repetition_change_nothing(
    simulate: Simulate, whole: Whole, size: tuple[int, str], chosen: list[int]
) -> None:
    """A design of some of the points, in any order and also repeated, gives each point the same bits as the whole design."""
    some = zipped("point", **{name: values[chosen] for name, values in points(size[0]).items()})
    assert_same_bits(simulate(job(*size, some)), whole(*size), chosen)


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", UNITS)
def test_extending_a_design_changes_nothing(simulate: Simulate, units: int, precision: str) -> None:
    """More values or another axis do not change the sets that were there before."""
    small = grid(tau_s=[2.0, 9.0], noise=[0.1])
    large = grid(noise=[0.4, 0.1], tau_s=[1.0, 2.0, 5.0, 9.0, 4000.0], gain=[0.5, 1.0, 0.2])
    first, second = simulate(job(units, precision, small)), job(units, precision, large)
    chosen = [second.design.index(noise=0.1, tau_s=tau, gain=1.0) for tau in (2.0, 9.0)]
    assert_same_bits(first, simulate(second), chosen)


@pytest.mark.product(quick=1)
@pytest.mark.parametrize(("units", "precision"), [(3, "float32"), (17, "float64")])
@pytest.mark.parametrize("name", ["stimulus", "replicate", *PARAMETERS])
def test_swept_or_common_is_the_same(simulate: Simulate, name: str, units: int, precision: str) -> None:
    """A value gives the same bits as a common parameter and in a sweep; neutral values do so too."""
    values = {"stimulus": (1, 0), "replicate": (2, 0), "tau_s": (4.0, 0.0), "tau_r": (4.0, 2e4)}.get(name, (0.0, 1.0))
    swept = simulate(job(units, precision, grid(**{name: values}, x0=[0.3]) if name != "x0" else grid(x0=values)))
    for index, value in enumerate(values):
        common = {name: float(value)} | ({"x0": 0.3} if name != "x0" else {})
        assert_same_bits(simulate(job(units, precision, Design(()), **common)), swept, [index])


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [3, 17])
def test_running_one_point_again_gives_its_bits(simulate: Simulate, whole: Whole, units: int, precision: str) -> None:
    """A single set, whose values are all common parameters of the model, has the same result as in the sweep."""
    for point in (0, 4, 41):
        own = {name: values[point] for name, values in points(units).items()}
        results = simulate(job(units, precision, Design(()), **own))
        assert_same_bits(results, whole(units, precision), [point])


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("units", [3, 8, 20])
def test_sets_with_weights_of_their_own_do_not_see_each_other(simulate: Simulate, units: int) -> None:
    """Other sets, blocks and batches change nothing, also with ensembles of networks and single weights."""
    rng = np.random.default_rng(1)
    columns = {
        "network": rng.integers(0, 4, POINTS).astype(float),
        "W[0,1]": rng.normal(size=POINTS),
        "noise": rng.choice([0.0, 0.2], POINTS),
        "gain": rng.uniform(0, 1, POINTS),
    }

    def ensemble(chosen: np.ndarray, sets_per_block: int | None = None) -> Job:
        return Job(
            model=Model(units=units, weights=gaussian(units=units, seed=1, networks=4)),
            input=sine(frequency=30.0),
            design=zipped("point", **{name: values[chosen] for name, values in columns.items()}),
            integration=Integration(dt=1, duration=20),
            observe=["x_mean", "r_std", record("x", every=7)],
            sets_per_block=sets_per_block,
        )

    expected = simulate(ensemble(np.arange(POINTS)))
    assert_same_bits(simulate(ensemble(np.arange(POINTS), 7)), expected)
    assert_same_bits(simulate(ensemble(np.arange(POINTS)), 3), expected)
    for chosen in (rng.permutation(POINTS), np.arange(5, 40, 3), np.array([17])):
        assert_same_bits(simulate(ensemble(chosen)), expected, chosen)


def differences(simulate: Simulate, pairing: str) -> np.ndarray:
    """Return x of noisy units minus the part that the bias explains, (bias, replicate, time, unit)."""
    noisy = Job(
        model=Model(units=6, activation="linear", parameters={"noise": 1.0, "tau_s": 5.0}),
        design=grid(bias=[0.0, 1.0, 2.0]) * replicates(2),
        integration=Integration(dt=1, duration=200, precision="float64"),
        observe=[record("x")],
        seed=3,
        noise_pairing=pairing,
    )
    x = simulate(noisy)["x"].reshape(3, 2, 200, 6)
    return x - np.array([0.0, 1.0, 2.0])[:, None, None, None] * (1 - 0.8 ** np.arange(1, 201))[:, None]


def test_common_noise_is_shared_by_sets_with_the_same_replicate(simulate: Simulate) -> None:
    """With noise_pairing "common" sets differ only by their parameters, and replicates by their noise."""
    x = differences(simulate, "common")
    np.testing.assert_allclose(x[1:], x[:1] + 0 * x[1:], rtol=0, atol=1e-12)
    assert abs(np.corrcoef(x[0, 0].ravel(), x[0, 1].ravel())[0, 1]) < 0.2


def test_independent_noise_is_each_sets_own(simulate: Simulate) -> None:
    """With noise_pairing "independent" no two sets, replicates or units share noise."""
    x = differences(simulate, "independent")
    streams = x.transpose(0, 1, 3, 2).reshape(-1, 200)
    correlation = np.corrcoef(np.diff(streams, axis=1)) - np.eye(len(streams))
    assert np.abs(correlation).max() < 0.4
