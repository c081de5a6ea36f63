"""Parameters of populations, and factors of the weights between them, on every back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.jobs import Simulate, assert_same_bits, network
from support.reference import TOLERANCE, assert_agrees

import sweep
from sweep import Design, Integration, Job, Model, gaussian, grid, record, sine, zipped
from sweep.model.parameters import PARAMETERS

#: Numbers of units of which some make each kernel: a thread per set, lanes, a tile that shares its weights, a product.
UNITS = (70, 3, 20, 150)
FACTORS = [0.5, 1.0, 2.0, -1.3]


def job(units: int, design: Design, precision: str = "float32", weights: Any = None, **parts: Any) -> Job:
    """Return a job of an excitatory and an inhibitory population."""
    own = dict(network(units).parameters) | {"noise": 0.1} | parts.pop("parameters", {})
    return Job(
        model=Model(
            units=units,
            weights=gaussian(units=units, seed=1) if weights is None else weights,
            parameters=own,
            populations={"E": units - units // 3, "I": units // 3},
        ),
        input=sine(frequency=30.0),
        design=design,
        integration=Integration(dt=1, duration=20, transient=3, precision=precision),
        observe=["x_mean", "r_std", record("x", every=4)],
        seed=5,
        **parts,
    )


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("units", [20, 3, 70])
@pytest.mark.parametrize("name", [name for name, row in PARAMETERS.items() if row.per_unit])
def test_values_of_populations_are_those_of_an_array(simulate: Simulate, name: str, units: int) -> None:
    """Swept or common, for populations, slices or units, to the bit, and with the noise of the same set."""
    values = np.array([[2.0, 3.0], [2.0, 9.0], [7.0, 3.0], [7.0, 9.0]]) / (1 if name.startswith("tau") else 10)
    inhibitory = units // 3
    written = np.repeat(values, [units - inhibitory, inhibitory], axis=1)
    expected = simulate(job(units, zipped("p", **{name: written})))
    start = units - inhibitory
    for of_e, of_i in (("E", "I"), (f"0:{start}", f"{start}:")):
        design = grid(**{f"{name}[{of_e}]": values[::2, 0], f"{name}[{of_i}]": values[:2, 1]})
        assert_same_bits(simulate(job(units, design)), expected)
    narrower = grid(**{name: values[::2, 0], f"{name}[I]": values[:2, 1]})
    assert_same_bits(simulate(job(units, narrower)), expected)
    half = {name: 77.0, f"{name}[I]": float(values[0, 1])}
    assert_same_bits(simulate(job(units, grid(**{f"{name}[E]": values[::2, 0]}), parameters=half)), expected, [0, 2])
    common = {f"{name}[E]": float(values[3, 0]), f"{name}[I]": float(values[3, 1])}
    whole = zipped("p", **{name: written[3:]})
    assert_same_bits(
        simulate(job(units, zipped("p", gain=[0.7]), parameters=common | {"gain": 0.7})), simulate(job(units, whole))
    )


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("units", UNITS)
def test_a_factor_scales_its_weights(simulate: Simulate, units: int, precision: str) -> None:
    """A sweep of gain[E,I] has the results of networks whose weights to E from I are written out, to rounding."""
    weights = gaussian(units=units, seed=1)
    excitatory = units - units // 3
    several = np.array([weights] * len(FACTORS))
    several[:, :excitatory, excitatory:] *= np.array(FACTORS)[:, None, None]
    silent: dict[str, Any] = {"noise": 0.0}
    swept = simulate(job(units, grid(**{"gain[E,I]": FACTORS}), precision, parameters=silent))
    written = simulate(job(units, grid(network=range(len(FACTORS))), precision, several, parameters=silent))
    for name, values in written.items():
        np.testing.assert_allclose(swept[name], values, **TOLERANCE[precision])
    assert np.ptp(swept["x_mean"], axis=0)[:excitatory].min() > 0


@pytest.mark.product(quick=2)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("units", UNITS)
def test_factors_networks_entries_and_populations_vary_together(simulate: Simulate, units: int, precision: str) -> None:
    """All factors at once, over an ensemble, with weights that are replaced, are those of the plain loop."""
    design = grid(
        network=[2, 0], **{"gain[E,I]": [0.4, -0.6], "gain[0,E]": [1.5, 1.0], f"W[0,{units - 1}]": [0.3, -0.2]}
    ) * zipped(
        "p", **{"gain[I,I]": [0.5, 1.2], "tau_s[E]": [3.0, 8.0], "tau_s[I]": [4.0, 2.0], "bias[1:3]": [0.2, 0.1]}
    )
    one = job(
        units, design, precision, gaussian(units=units, seed=3, networks=3, std=0.6), parameters={"gain[I,E]": 0.8}
    )
    results = simulate(one)
    assert_agrees(results, one)
    assert_same_bits(simulate(one, batch=5), results)


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("units", [20, 3, 70])
def test_a_factor_is_the_same_swept_or_common(simulate: Simulate, units: int) -> None:
    """A set that is run again with its factor as a common parameter has the bits of the sweep."""
    swept = simulate(job(units, grid(**{"gain[E,I]": FACTORS})))
    for number, factor in enumerate(FACTORS):
        again = job(units, Design(()), parameters={"gain[E,I]": factor})
        assert_same_bits(simulate(again), swept, [number])


def test_a_factor_of_one_keeps_the_noise(simulate: Simulate) -> None:
    """The noise depends on the values of a set, not on which are swept; any other factor gives other noise."""
    one = simulate(job(20, grid(**{"gain[E,I]": [1.0, 2.0]}), "float64"))
    plain = simulate(job(20, grid(gain=[0.7]), "float64"))
    np.testing.assert_allclose(one["x"][0], plain["x"][0], rtol=1e-10, atol=1e-12)
    assert (one["x"][0] != one["x"][1]).all()


def test_a_teacher_has_populations_too(simulate: Simulate) -> None:
    """Its parameters are named as those of the sets; the set that equals it has no error, and no other one."""
    one = job(
        20,
        grid(**{"tau_s[E]": [3.0, 8.0], "gain[E,I]": [0.5, 1.0], "gain[I,I]": [0.8]}),
        "float64",
        parameters={"noise": 0.0, "tau_s[0]": 4.0},
        target=sweep.Target(sweep.model_output({"gain[I,I]": 0.8, "gain[E,I]": 0.5, "tau_s[E]": 3.0})),
    )
    one = one.changed(observe=["target_mse"])
    errors = simulate(one)["target_mse"].mean(axis=(1, 2))
    assert errors[0] == 0
    assert (errors[1:] > 1e-6).all()
