"""Every back end computes what the equations say, compared with a plain float64 loop (support/reference.py)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.jobs import TRAPS, Simulate, network
from support.reference import assert_agrees, own_values, trajectory

import sweep
from sweep import Integration, Job, Model, Target, gaussian, grid, record, replicates, samples, sine, zipped
from sweep.model.activations import ACTIVATIONS
from sweep.model.parameters import PARAMETERS
from sweep.observables import OBSERVABLES, Record
from sweep.signals.targets import model_output
from sweep.signals.waveforms import constant, white_noise

pytestmark = TRAPS
UNITS = (1, 2, 3, 4, 5, 8, 16, 17, 32, 48, 100)
PRECISIONS = ("float32", "float64")
SCHEMES = ("sequential", "simultaneous")
STATISTICS = tuple(name for name, row in OBSERVABLES.items() if not row.compares)
COMPARISONS = ("target_correlation", "target_mse")


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("number", range(len(UNITS)), ids=[f"N{n}" for n in UNITS])
def test_every_observable_for_every_size(simulate: Simulate, number: int, precision: str) -> None:
    """Statistics, comparisons and records of noisy driven networks of all sizes are those of the plain loop."""
    units = UNITS[number]
    rng = np.random.default_rng(number)
    job = Job(
        model=network(units, activation=list(ACTIVATIONS)[number % 5]),
        input=sine(amplitude=1.0, frequency=40.0),
        target=[
            Target(samples(rng.normal(size=80), interval=1.0), lags=[-1.5, 0, 0.5, 4]),
            Target(
                samples(rng.normal(size=(units, 80)), interval=0.5, dims=("channel", "time")), lags=[-1.5, 0, 0.5, 4]
            ),
        ],
        design=grid(tau_s=[0.0, 2.0, 20.0], noise=[0.0, 0.2]),
        integration=Integration(dt=0.5, duration=25.5, transient=3.5, scheme=SCHEMES[number % 2], precision=precision),
        observe=[*STATISTICS, *COMPARISONS, record("r", every=3), record("x", every=3)],
        seed=number,
    )
    assert_agrees(simulate(job), job)


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("units", [3, 20])
def test_every_activation_and_scheme(
    simulate: Simulate, units: int, activation: str, scheme: str, precision: str
) -> None:
    """All activations agree in both schemes, far into their tails."""
    job = Job(
        model=network(units, activation=activation),
        input=sine(amplitude=[3.0] * units, frequency=30.0, phase=np.arange(units)),
        design=grid(slope=[-1.0, 0.5, 8.0], threshold=[0.0, 10.0]),
        integration=Integration(dt=1, duration=30, scheme=scheme, precision=precision),
        observe=["r_mean", "x_final", "r_final", record("r", every=5, units=[2, 0])],
    )
    if activation in ("relu", "linear", "softplus"):
        # A slope of 8 would let these three grow without bound.
        job = Job(
            model=network(units, activation=activation, weights=gaussian(units=units, seed=1, std=0.1)),
            **{f: getattr(job, f) for f in ("input", "design", "integration", "observe")},
        )
    assert_agrees(simulate(job), job)


#: Two values each that are not the default, and by which results differ.
SWEPT: dict[str, tuple[float, float]] = {
    "tau_s": (0.0, 7.0),
    "tau_r": (0.0, 15.0),
    "gain": (-0.5, 0.9),
    "input_gain": (0.0, -2.0),
    "bias": (0.5, -1.0),
    "slope": (0.5, 2.0),
    "threshold": (0.4, -0.3),
    "noise": (0.0, 0.4),
    "x0": (1.0, -1.0),
    "r0": (1.0, 0.0),
    "network": (2, 0),
    "stimulus": (1, 0),
    "replicate": (5, 1),
}


def between(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw values of a parameter; time constants are 0 or at least a step, which is stable."""
    low, high = sorted(SWEPT[name])
    if not name.startswith("tau"):
        return rng.uniform(low, high, shape)
    return rng.uniform(0.5, high, shape) * (rng.random(shape) < 0.7)


def swept_job(units: int, design: sweep.Design, precision: str, noise: float = 0.1) -> Job:
    """Return a job whose design may sweep anything."""
    base = network(units)
    parameters = dict(base.parameters) | {"noise": noise}
    return Job(
        model=Model(
            units=units,
            weights=gaussian(units=units, seed=3, networks=3, std=0.8),
            input_weights=np.random.default_rng(0).normal(size=(units, 2)),
            parameters=parameters,
        ),
        input=[sine(amplitude=[1.0, 0.5], frequency=[20.0, 50.0]), white_noise(std=0.8, seed=4, channels=2)],
        design=design,
        integration=Integration(dt=0.5, duration=15, transient=2, precision=precision),
        observe=["x_mean", "r_std", "r_max", "x_final", record("x", every=2)],
        seed=11,
    )


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [3, 20])
@pytest.mark.parametrize("name", [*SWEPT, *(f"{n}[1]" for n, row in PARAMETERS.items() if row.per_unit), "W[0,2]"])
def test_every_parameter_swept_alone(simulate: Simulate, name: str, units: int, precision: str) -> None:
    """Any parameter, a parameter of one unit, and a single weight may differ between sets, and change the result."""
    job = swept_job(units, grid(**{name: SWEPT.get(name.partition("[")[0], (3.0, -1.0))}), precision)
    results = simulate(job)
    assert_agrees(results, job)
    assert not np.array_equal(results["x"][0], results["x"][1])


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [3, 20])
@pytest.mark.parametrize("name", [name for name, row in PARAMETERS.items() if row.per_unit])
def test_every_parameter_per_unit(simulate: Simulate, name: str, units: int, precision: str) -> None:
    """A parameter may have a value for every unit of every set."""
    values = between(np.random.default_rng(5), name, (5, units))
    job = swept_job(units, zipped("point", **{name: values}), precision)
    assert_agrees(simulate(job), job)


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [3, 16, 17, 40])
def test_everything_swept_at_once(simulate: Simulate, units: int, precision: str) -> None:
    """Networks, weights, inputs, units and replicates can vary together."""
    rng = np.random.default_rng(6)
    design = (
        grid(network=[2, 0, 1], **{"W[1,0]": [-0.5, 0.5], "W[2,2]": [0.3]})
        * zipped("point", stimulus=[0, 1, 1], gain=[0.5, 0.9, -0.4], bias=rng.normal(0, 0.3, (3, units)))
        * grid(**{"tau_s[2]": [0.0, 3.0]})
        * replicates(2)
    )
    job = swept_job(units, design, precision)
    assert_agrees(simulate(job), job)


@pytest.mark.product
@pytest.mark.parametrize("units", [3, 20])
@pytest.mark.parametrize("channels", ["one", "each", "weighted"])
def test_input_reaches_the_units_that_it_should(simulate: Simulate, units: int, channels: str) -> None:
    """One channel goes to all units, N channels go to one unit each, and input weights describe all other cases."""
    count = {"one": 1, "each": units, "weighted": 5}[channels]
    weights = np.random.default_rng(1).normal(size=(units, count)) if channels == "weighted" else None
    job = Job(
        model=Model(units=units, input_weights=weights, parameters={"tau_s": 2.0}),
        input=white_noise(std=1.0, seed=2, channels=count),
        design=grid(input_gain=[0.5, 2.0]),
        integration=Integration(dt=1, duration=20, precision="float64"),
        observe=["x_final", "x_std", "r_mean"],
    )
    results = simulate(job)
    assert_agrees(results, job)
    assert (np.ptp(results["x_final"], axis=1) == 0).all() == (channels == "one")


@pytest.mark.parametrize("every", [1, 2, 7, 16, 17, 40])
@pytest.mark.parametrize("transient", [0, 1, 15, 16, 33])
def test_records_and_statistics_for_every_transient(simulate: Simulate, every: int, transient: int) -> None:
    """A record keeps the state after every n-th step since the end of the transient; statistics use all steps."""
    job = Job(
        model=network(3),
        input=sine(frequency=35.0),
        design=grid(gain=[0.2, 0.8]),
        integration=Integration(dt=1, duration=75, transient=transient, precision="float64"),
        observe=["r_mean", "r_var", "r_min", "r_max", "x_var", record("r", every=every, units=[2, 0])],
    )
    assert_agrees(simulate(job), job)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("steps", [1, 2, 3, 15, 16, 17, 31, 32, 33])
def test_runs_of_any_number_of_steps(simulate: Simulate, steps: int, precision: str) -> None:
    """Short runs, and runs whose end is not the end of a stretch of observed steps, lose no step."""
    job = Job(
        model=network(2),
        input=sine(frequency=35.0),
        target=Target(white_noise(std=1.0, seed=1, channels=2)),
        design=grid(noise=[0.0, 0.3]),
        integration=Integration(dt=1, duration=steps, precision=precision),
        observe=["r_mean", "x_var", "r_max", "r_final", "target_mse", record("x")],
    )
    assert_agrees(simulate(job), job)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("pairing", ["independent", "common"])
def test_noise_of_every_seed_and_pairing(simulate: Simulate, seed: int, pairing: str) -> None:
    """The noise is that of Philox under the job's seed and the set's stream, in Euler-Maruyama's scaling."""
    job = Job(
        model=network(5),
        design=grid(noise=[0.5, 1.0]) * replicates(3),
        integration=Integration(dt=0.5, duration=10, precision="float64"),
        observe=[record("x")],
        seed=seed,
        noise_pairing=pairing,
    )
    assert_agrees(simulate(job), job)


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [1, 4, 6, 24])
def test_the_student_that_is_the_teacher_has_no_error(simulate: Simulate, units: int, precision: str) -> None:
    """If a target is made by the model itself, the mean squared difference at equal parameters is 0, and only there."""
    job = Job(
        model=network(units),
        input=sine(frequency=35.0),
        target=Target(model_output({"tau_s": 6.0, "gain": 0.5}), lags=[0, 1]),
        design=grid(tau_s=[3.0, 6.0], gain=[0.5, 1.0]),
        integration=Integration(dt=1, duration=40, transient=5, precision=precision),
        observe=COMPARISONS,
    )
    results = simulate(job)
    assert_agrees(results, job)
    assert (results["target_mse"][2, 0] == 0).all()
    assert (results["target_mse"][[0, 1, 3], 0] > 0).all()
    assert results["target_correlation"][2, 0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pairing", ["independent", "common"])
def test_a_noisy_teacher_has_noise_of_its_own(simulate: Simulate, pairing: str) -> None:
    """The set that equals its teacher differs from it by the noise of both, in every replicate."""
    parameters = {"tau_s": 4.0, "tau_r": 2.0, "noise": 0.5}
    job = Job(
        model=Model(units=24, activation="linear", parameters=parameters),
        target=[Target(model_output({})), Target(model_output({"replicate": 1}))],
        design=replicates(3),
        integration=Integration(dt=1, duration=4000, transient=50),
        observe=[*COMPARISONS, "r_var"],
        noise_pairing=pairing,
    )
    results = simulate(job)
    assert_agrees(results, job)
    # Two independent rates of one variance differ by twice the variance, and do not correlate.
    mse = results["target_mse"].mean(axis=(2, 3))
    np.testing.assert_allclose(mse, 2 * results["r_var"].mean(), rtol=0.05)
    assert np.abs(results["target_correlation"].mean(axis=(2, 3))).max() < 0.02


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 1e6])
def test_a_constant_correlates_with_nothing(simulate: Simulate, level: float, precision: str) -> None:
    """The correlation is NaN if the target or the rate never changes, also if their means are rounded."""
    job = Job(
        model=Model(units=2, activation="linear", parameters={"x0": level, "r0": [level, 0.0], "bias": level}),
        target=[Target(constant(level)), Target(sine(frequency=30.0))],
        integration=Integration(dt=1, duration=301, precision=precision),
        observe=["target_correlation", "r_std"],
    )
    results = simulate(job)
    assert np.isnan(results["target_correlation"][0, 0]).all()
    assert results["r_std"][0, 0] == 0
    assert np.isnan(results["target_correlation"][0, 1, 0, 0])
    assert np.isfinite(results["target_correlation"][0, 1, 0, 1])


def test_a_teacher_that_diverges_is_an_error(simulate: Simulate) -> None:
    """A target made by a model that diverges is refused, because nothing can be compared with it."""
    job = Job(
        model=Model(units=1, weights=[[1.0]], activation="linear", parameters={"x0": 1.0, "tau_s": 2.0, "tau_r": 2.0}),
        target=Target(model_output({"gain": 1e6})),
        integration=Integration(dt=1, duration=100),
        observe=["target_mse"],
    )
    with pytest.raises(sweep.JobError, match=r"target \(model\).*diverges.*Lower"):
        simulate(job)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw a job of any kind that does not diverge."""
    units = draw(st.sampled_from([1, 2, 3, 5, 8, 16, 17, 33]))
    swept = draw(st.lists(st.sampled_from(sorted(SWEPT)), unique=True, max_size=3))
    per_unit = [name for name in swept if name in PARAMETERS and PARAMETERS[name].per_unit and draw(st.booleans())]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    design = sweep.Design(())
    for name in swept:
        if name in per_unit:
            design *= zipped(f"{name}_point", **{name: between(rng, name, (3, units))})
        else:
            design *= grid(**{name: SWEPT[name]})
    if units > 1 and draw(st.booleans()):
        design *= grid(**{"W[0,1]": [-0.3, 0.4]})
    base = swept_job(units, design, draw(st.sampled_from(PRECISIONS)), draw(st.sampled_from([0.0, 0.1])))
    steps = draw(st.integers(2, 40))
    timing = Integration(
        dt=0.5,
        duration=0.5 * steps,
        transient=0.5 * draw(st.integers(0, steps - 1)),
        scheme=draw(st.sampled_from(SCHEMES)),
        precision=base.integration.precision,
    )
    return Job(
        model=base.model,
        input=base.input,
        target=Target(white_noise(std=1.0, seed=1), lags=[0, 1]),
        design=design,
        integration=timing,
        observe=draw(
            st.lists(st.sampled_from([*STATISTICS, "target_mse", Record("x"), Record("r")]), unique=True, min_size=1)
        ),
        seed=draw(st.integers(0, 2**64 - 1)),
        noise_pairing=draw(st.sampled_from(["independent", "common"])),
        sets_per_block=draw(st.none() | st.integers(1, 20)),
    )


@pytest.mark.product
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(job=jobs())
def test_any_job(simulate: Simulate, job: Job) -> None:
    """For any kind of job the back end and the plain loop agree."""
    assert_agrees(simulate(job), job)


def test_simulate_labels_what_the_back_end_returns(backend: str) -> None:
    """The public function gives every set the labels of its values."""
    job = swept_job(3, grid(tau_s=[2.0, 8.0, 4.0], gain=[0.5, 1.0]), "float64")
    dataset = sweep.simulate(job, backend=backend)
    for index in range(job.design.size):
        chosen = dataset.sel(job.design.labels(index))
        x, _ = trajectory(job, own_values(job, index))
        np.testing.assert_allclose(chosen["x"], x[5::2], rtol=1e-10, atol=1e-12)
