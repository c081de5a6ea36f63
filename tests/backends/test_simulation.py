"""The simulation compared with known results: closed forms, limits, order, precision, divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_lyapunov
from support.jobs import TRAPS, Simulate
from support.reference import ACTIVATIONS, first_not_finite, own_values, trajectory

import sweep
from sweep import Design, Integration, Job, Model, gaussian, grid, record, replicates, sine, zipped
from sweep.signals.waveforms import white_noise

PRECISIONS = ("float32", "float64")
ROUNDING = {"float32": 2e-6, "float64": 2e-14}
SCHEMES = ("sequential", "simultaneous")


# ------------------------------------------------------------------------------------------------------- closed forms


@pytest.mark.product(quick=1)
@TRAPS
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_uncoupled_linear_units_relax_geometrically(simulate: Simulate, scheme: str, precision: str) -> None:
    """Without drive x decays as (1 - alpha_s)^n, and r follows it as the two-step recursion says."""
    tau_s, tau_r, steps = np.array([0.0, 2.0, 10.0, 80.0]), np.array([0.0, 3.0, 25.0]), 60
    job = Job(
        model=Model(units=1, activation="linear", parameters={"x0": 1.0, "r0": 0.5}),
        design=grid(tau_s=tau_s, tau_r=tau_r),
        integration=Integration(dt=1, duration=steps, scheme=scheme, precision=precision),
        observe=[record("x"), record("r")],
    )
    results = simulate(job)
    q, p = (np.array([0.0 if tau == 0 else 1 - 1 / tau for tau in taus]) for taus in (tau_s, tau_r))
    q, p = (v.reshape(-1, 1) for v in np.meshgrid(q, p, indexing="ij"))
    n = np.arange(1, steps + 1)
    # r_n = p^n r_0 + (1 - p) sum over k of p^(n - k) x_k, k = 1 ... n or, when r sees the old x, 0 ... n - 1.
    seen = q ** (n if scheme == "sequential" else n - 1)
    lag = n[:, None] - n[None, :]
    driven = (1 - p) * np.einsum("snk,sk->sn", np.where(lag >= 0, p[..., None] ** np.maximum(lag, 0), 0.0), seen)
    np.testing.assert_allclose(results["x"][..., 0], q**n, rtol=0, atol=ROUNDING[precision])
    np.testing.assert_allclose(results["r"][..., 0], p**n * 0.5 + driven, rtol=0, atol=ROUNDING[precision])


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_driven_unit_settles_where_both_equations_vanish(simulate: Simulate, activation: str, precision: str) -> None:
    """The steady state is x = input_gain u + bias and r = f(slope (x - threshold)) for all time constants."""
    job = Job(
        model=Model(units=2, activation=activation, parameters={"bias": [0.3, -0.4], "slope": 2.0, "threshold": 0.1}),
        input=sweep.constant(0.5),
        design=grid(tau_s=[0.0, 4.0], tau_r=[0.0, 6.0], input_gain=[-1.0, 3.0]),
        integration=Integration(dt=1, duration=300, precision=precision),
        observe=["x_final", "r_final"],
    )
    results = simulate(job)
    x = np.tile(np.add.outer([-0.5, 1.5], [0.3, -0.4]), (4, 1))
    np.testing.assert_allclose(results["x_final"], x, rtol=0, atol=ROUNDING[precision])
    r = ACTIVATIONS[activation](2.0 * (x - 0.1))
    np.testing.assert_allclose(results["r_final"], r, rtol=0, atol=2 * ROUNDING[precision])


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("units", [2, 8, 30])
def test_a_linear_network_settles_at_the_solution_of_its_linear_system(simulate: Simulate, units: int) -> None:
    """The steady state of a linear network is (1 - g W)^-1 b."""
    weights = gaussian(units=units, seed=1, std=0.5)
    bias = np.random.default_rng(0).normal(size=units)
    job = Job(
        model=Model(units=units, weights=weights, activation="linear", parameters={"bias": bias, "tau_r": 3.0}),
        design=grid(gain=[-0.7, 0.0, 0.9]),
        integration=Integration(dt=1, duration=1500, precision="float64"),
        observe=["x_final", "r_final"],
    )
    results = simulate(job)
    expected = [np.linalg.solve(np.eye(units) - g * weights, bias) for g in (-0.7, 0.0, 0.9)]
    np.testing.assert_allclose(results["x_final"], expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(results["r_final"], expected, rtol=1e-11, atol=1e-12)


def test_stationary_variance_of_an_uncoupled_unit(simulate: Simulate) -> None:
    """Noise sigma gives a linear unit the variance sigma^2 / (1 - alpha_s / 2), also far from small steps."""
    alphas = np.array([0.05, 0.2, 1.0])
    job = Job(
        model=Model(units=64, parameters={"noise": 0.7, "tau_r": 0.0}),
        design=grid(tau_s=1 / alphas) * replicates(20),
        integration=Integration(dt=1, duration=1600, transient=200),
        observe=["x_mean", "x_var"],
        seed=5,
    )
    results = simulate(job)
    power = (results["x_var"] + results["x_mean"] ** 2).reshape(3, -1).mean(axis=1)
    # 64 units x 20 replicates x 1400 steps, correlated over 1/alpha steps: a standard error of 0.5 % at most.
    np.testing.assert_allclose(power, 0.49 / (1 - alphas / 2), rtol=0.02)


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("units", [3, 6])
def test_covariance_of_a_noisy_linear_network_solves_the_lyapunov_equation(
    simulate: Simulate, units: int, scheme: str
) -> None:
    """The stationary covariance of (x, r) is that of the linear system which the scheme defines."""
    rng = np.random.default_rng(units)
    weights, gain, sigma = rng.normal(0, 0.6 / units**0.5, (units, units)), 0.9, rng.uniform(0.5, 1.5, units)
    tau_s, tau_r = rng.uniform(2, 6, units), rng.uniform(2, 6, units)
    job = Job(
        model=Model(
            units=units,
            weights=weights,
            activation="linear",
            parameters={"gain": gain, "noise": sigma, "tau_s": tau_s, "tau_r": tau_r},
        ),
        design=replicates(256),
        integration=Integration(dt=1, duration=1000, transient=100, scheme=scheme),
        observe=[record("x", every=10), record("r", every=10)],
        seed=3,
    )
    results = simulate(job)
    states = np.concatenate([results["x"], results["r"]], axis=-1).reshape(-1, 2 * units)
    one, a_s, a_r, w = np.eye(units), np.diag(1 / tau_s), np.diag(1 / tau_r), gain * weights
    kick = np.diag(sigma * np.sqrt(2 / tau_s))
    if scheme == "sequential":
        matrix = np.block([[one - a_s, a_s @ w], [a_r @ (one - a_s), one - a_r + a_r @ a_s @ w]])
        noise = np.vstack([kick, a_r @ kick])
    else:
        matrix = np.block([[one - a_s, a_s @ w], [a_r, one - a_r]])
        noise = np.vstack([kick, 0 * kick])
    expected = solve_discrete_lyapunov(matrix, noise @ noise.T)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # 256 x 90 states, nearly independent: a standard error of about 1 %; the schemes differ by more than 5 %.
    np.testing.assert_allclose(states.T @ states / len(states) / scale, expected / scale, rtol=0, atol=0.04)


# ------------------------------------------------------------------------------------------------ order and the limits


def euler_job(dt: float, scheme: str) -> Job:
    """Return a nonlinear driven network of three units."""
    return Job(
        model=Model(
            units=3,
            weights=[[0.0, 1.5, -1.0], [-1.2, 0.4, 0.8], [0.9, -0.7, 0.3]],
            activation="tanh",
            parameters={"tau_s": [8.0, 5.0, 11.0], "tau_r": [4.0, 9.0, 6.0], "bias": [0.2, 0.0, -0.1], "gain": 1.4,
                        "slope": 1.3, "threshold": [0.0, 0.1, -0.2], "x0": [0.5, -0.3, 0.1], "r0": [0.0, 0.2, -0.4]},
        ),
        input=sine(amplitude=0.8, frequency=25.0, phase=0.3),
        integration=Integration(dt=dt, duration=32, scheme=scheme, precision="float64"),
        observe=["x_final", "r_final"],
    )  # fmt: skip


def final_state(simulate: Simulate, job: Job) -> np.ndarray:
    """Return (x, r) at the end of the only set."""
    results = simulate(job)
    return np.concatenate([results["x_final"][0], results["r_final"][0]])


@pytest.mark.product
def test_euler_converges_with_order_one_in_both_schemes(simulate: Simulate) -> None:
    """The error against an adaptive solver, and the difference of the schemes, fall in proportion to the step."""
    model = euler_job(1.0, "sequential").model
    p = model.parameters

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        x, r = state[:3], state[3:]
        u = 0.8 * math.sin(2 * math.pi * 0.025 * t + 0.3)
        return np.concatenate(
            [(-x + 1.4 * model.weights @ r + u + p["bias"]) / p["tau_s"],
             (-r + np.tanh(1.3 * (x - p["threshold"]))) / p["tau_r"]]
        )  # fmt: skip

    start = np.concatenate([p["x0"], p["r0"]])
    exact = solve_ivp(slope, (0, 32), start, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    steps = 2.0 ** -np.arange(2, 7)
    ends = {s: np.array([final_state(simulate, euler_job(dt, s)) for dt in steps]) for s in SCHEMES}
    gaps = {s: np.abs(end - exact).max(axis=1) for s, end in ends.items()}
    gaps["between"] = np.abs(ends["sequential"] - ends["simultaneous"]).max(axis=1)
    for name, gap in gaps.items():
        order = np.polyfit(np.log(steps), np.log(gap), 1)[0]
        assert 0.9 < order < 1.1, f"{name}: order {order}, {gap}"


def limit_job(units: int, activation: str, **taus: float) -> Job:
    """Return a driven network with some time constants of 0, which starts with r = f(x)."""
    rng = np.random.default_rng(units)
    x0, bias = rng.normal(size=(2, units))
    return Job(
        model=Model(
            units=units,
            weights=gaussian(units=units, seed=2),
            input_weights=rng.normal(size=(units, 2)),
            activation=activation,
            parameters={"x0": x0 * (taus["tau_s"] > 0), "r0": ACTIVATIONS[activation](x0), "bias": bias, **taus},
        ),
        input=white_noise(std=1.0, seed=1, channels=2, interval=0.5),
        integration=Integration(dt=0.5, duration=10, precision="float64"),
        observe=[record("r")],
    )


def parts(job: Job, start: str) -> tuple[Any, ...]:
    """Return W, U, b and the state at the start."""
    return job.model.weights, job.model.input_weights, job.model.parameters["bias"], job.model.parameters[start]


@pytest.mark.product(quick=1)
@pytest.mark.parametrize("units", [1, 4, 20])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
class TestLimits:
    """With a time constant of 0 the model is a network of the textbooks, each written out here in a few lines."""

    def test_without_time_constants_it_is_an_elman_network(
        self, simulate: Simulate, units: int, activation: str
    ) -> None:
        """Where tau_s = tau_r = 0: r_t = f(W r_(t-1) + U u_t + b)."""
        job = limit_job(units, activation, tau_s=0.0, tau_r=0.0)
        w, u, b, r = parts(job, "r0")
        rates = []
        for drive in job.inputs[0].sample(0, 20, 0.5).T:
            r = ACTIVATIONS[activation](w @ r + u @ drive + b)
            rates.append(r)
        np.testing.assert_allclose(simulate(job)["r"][0], rates, rtol=0, atol=1e-13)

    def test_without_membrane_delay_it_is_the_leaky_current_network(
        self, simulate: Simulate, units: int, activation: str
    ) -> None:
        """Where tau_r = 0: tau dx/dt = -x + W f(x) + U u + b."""
        job = limit_job(units, activation, tau_s=4.0, tau_r=0.0)
        w, u, b, x = parts(job, "x0")
        rates = []
        for drive in job.inputs[0].sample(0, 20, 0.5).T:
            x = x + 0.5 / 4.0 * (-x + w @ ACTIVATIONS[activation](x) + u @ drive + b)
            rates.append(ACTIVATIONS[activation](x))
        np.testing.assert_allclose(simulate(job)["r"][0], rates, rtol=0, atol=1e-13)

    def test_without_synaptic_delay_it_is_the_leaky_rate_network(
        self, simulate: Simulate, units: int, activation: str
    ) -> None:
        """Where tau_s = 0: tau dr/dt = -r + f(W r + U u + b)."""
        job = limit_job(units, activation, tau_s=0.0, tau_r=4.0)
        w, u, b, r = parts(job, "r0")
        rates = []
        for drive in job.inputs[0].sample(0, 20, 0.5).T:
            r = r + 0.5 / 4.0 * (-r + ACTIVATIONS[activation](w @ r + u @ drive + b))
            rates.append(r)
        np.testing.assert_allclose(simulate(job)["r"][0], rates, rtol=0, atol=1e-13)


# ----------------------------------------------------------------------------------------------------------- precision


def plain_float32(x0: float, alpha: float, steps: int) -> float:
    """Relax from x0 to 1 by plain float32 sums."""
    x, a, one = np.float32(x0), np.float32(alpha), np.float32(1)
    for _ in range(steps):
        x += a * (one - x)
    return float(x)


def test_slow_units_lose_nothing_in_float32(simulate: Simulate) -> None:
    """With dt/tau of 1e-4 and 1e-5 x and r end within 1e-6 of the closed form, where plain sums are 1e-4 off."""
    alphas, start, steps = np.array([1e-4, 1e-5]), np.array([0.0, 0.95]), 100_000
    # Units 0 and 1 start at x = 0 and 0.95; unit 2 has x = 1 always, so that its r relaxes as the x of unit 1 does.
    job = Job(
        model=Model(units=3, activation="linear", parameters={"bias": 1.0, "x0": [*start, 1.0], "r0": start[1]}),
        design=zipped("point", tau_s=1 / alphas, tau_r=1 / alphas),
        integration=Integration(dt=1, duration=steps),
        observe=["x_final", "r_final"],
    )
    results = simulate(job)
    exact = 1 - (1 - start) * np.exp(steps * np.log1p(-alphas))[:, None]
    np.testing.assert_allclose(results["x_final"][:, :2], exact, rtol=1e-6)
    np.testing.assert_allclose(results["r_final"][:, 2], exact[:, 1], rtol=1e-6)
    plain = np.array([plain_float32(start[1], alpha, steps) for alpha in alphas])
    assert (np.abs(plain / exact[:, 1] - 1) > 1e-4).all()


@pytest.mark.parametrize("tau", [100.0, 999.0, 1001.0, 3000.0])
def test_float32_is_good_to_five_digits_for_any_time_constant(simulate: Simulate, tau: float) -> None:
    """With and without compensated sums, float32 stays close to the closed form."""
    job = Job(
        model=Model(units=1, activation="linear", parameters={"bias": 1.0, "tau_s": tau}),
        integration=Integration(dt=1, duration=8000),
        observe=["x_final"],
    )
    assert simulate(job)["x_final"][0, 0] == pytest.approx(1 - (1 - 1 / tau) ** 8000, rel=1e-5)


# ---------------------------------------------------------------------------------------------------------- divergence


def growing_job(design: Design, units: int = 2, precision: str = "float32", **integration: Any) -> Job:
    """Return a linear network whose sets grow without bound if the gain is large."""
    timing = {"dt": 1, "duration": 120, "precision": precision} | integration
    return Job(
        model=Model(
            units=units,
            weights=np.eye(units) + 0.01 * gaussian(units=units, seed=1),
            activation="relu",
            parameters={"x0": 1.0, "r0": 1.0, "tau_s": 2.0, "tau_r": 2.0, "noise": 0.01},
        ),
        input=sine(frequency=30.0),
        target=sweep.Target(sine(frequency=20.0), lags=[0, 1]),
        design=design,
        integration=Integration(**timing),
        observe=["x_mean", "r_std", "x_min", "r_max", "r_final", "target_mse", "target_correlation",
                 record("x", every=5), record("r", every=5)],
    )  # fmt: skip


OBSERVED = ("x_mean", "r_std", "x_min", "r_max", "r_final", "target_mse", "target_correlation")


@pytest.mark.product
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("units", [1, 2, 6, 20])
def test_a_set_that_diverges_is_flagged_with_its_time(
    simulate: Simulate, backend: str, units: int, precision: str
) -> None:
    """A set has diverged at the first state that is not finite: its statistics are NaN, and its record ends there."""
    gains = [0.5, 100.0, 1e6, 0.1, 1e30]
    duration = 120 if precision == "float32" else 700
    job = growing_job(grid(gain=gains), units, precision, duration=duration)
    results = simulate(job)
    assert results["status"].tolist() == [1, 2, 2, 1, 2]
    for index in range(len(gains)):
        x, r = trajectory(job, own_values(job, index), dtype=np.dtype(precision).type)
        first = first_not_finite(x, r)
        step = first if first < 0 else int(results["diverged_at"][index]) - 1
        # A fused multiply-add overflows if its sum does, and not if only its product does.
        assert first <= step <= first + (first >= 0 and backend != "numpy")
        assert np.isnan(results["diverged_at"][index]) == (first < 0)
        for name in OBSERVED:
            assert np.isnan(results[name][index]).all() == (step >= 0), name
        kept = np.arange(4, duration, 5)
        before = slice(None) if step < 0 else kept < first
        for name, states in (("x", x), ("r", r)):
            recorded = results[name][index]
            np.testing.assert_allclose(
                recorded[before], states[kept][before], rtol=2e-4 if precision == "float32" else 1e-10
            )
            assert np.isfinite(recorded[before]).all()
            assert step < 0 or np.isnan(recorded[kept >= step]).all()


@pytest.mark.product
@pytest.mark.parametrize("units", [1, 3, 8, 17, 32])
@pytest.mark.parametrize("transient", [0, 50])
def test_neighbours_of_a_set_that_diverges_keep_their_bits(simulate: Simulate, units: int, transient: int) -> None:
    """The other sets of the batch are the same as without it."""
    gains = np.linspace(0.1, 0.6, 6)
    alone = simulate(growing_job(grid(gain=gains), units, transient=transient))
    mixed = simulate(growing_job(grid(gain=[1e30, *gains[:3], 60.0, *gains[3:], 1e5]), units, transient=transient))
    healthy = [1, 2, 3, 5, 6, 7]
    assert mixed["status"].tolist() == [2, 1, 1, 1, 2, 1, 1, 1, 2]
    for name, values in alone.items():
        assert values.tobytes() == mixed[name][healthy].tobytes(), name


@pytest.mark.product
@pytest.mark.parametrize("transient", [0, 20, 100])
def test_all_sets_may_diverge(simulate: Simulate, transient: int) -> None:
    """If every set diverges, in the transient or after it, only NaN and the times are left."""
    job = growing_job(grid(gain=[1e3, 1e10, 1e30]), transient=transient)
    results = simulate(job)
    assert (results["status"] == 2).all()
    times = [1.0 + first_not_finite(*trajectory(job, own_values(job, i), dtype=np.float32)) for i in range(3)]
    assert results["diverged_at"].tolist() == times
    assert len(set(times)) == 3
    assert max(times) < 20
    for name in OBSERVED:
        assert np.isnan(results[name]).all(), name
    for name in "xr":
        kept = transient + np.arange(5, 121 - transient, 5)
        np.testing.assert_array_equal(np.isnan(results[name]).all(axis=-1), kept >= np.array(times)[:, None])


@pytest.mark.product(quick=1)
def test_an_unstable_step_diverges_where_it_is_allowed(simulate: Simulate) -> None:
    """With allow_unstable a set with dt/tau > 2 is simulated and marked as diverged; one with less is not marked."""
    with pytest.warns(UserWarning, match="overshoots"):
        job = Job(
            model=Model(units=1, activation="linear", parameters={"x0": 1.0}),
            design=grid(tau_s=[0.3, 0.6, 1.0]),
            integration=Integration(dt=1, duration=200, allow_unstable=True),
            observe=["x_final"],
        )
    results = simulate(job)
    assert results["status"].tolist() == [2, 1, 1]
    # |1 - 1/0.3|^n first exceeds the largest float32, 2^128.
    assert results["diverged_at"][0] == math.ceil(128 * math.log(2) / math.log(1 / 0.3 - 1))
    assert np.isnan(results["x_final"][0, 0])
    assert results["x_final"][1, 0] == pytest.approx(0, abs=1e-6)


@pytest.mark.product
def test_rates_that_hide_a_divergence_do_not(simulate: Simulate) -> None:
    """Divergence is tested on the state and not on the rate, because tanh of an infinite x is finite."""
    with pytest.warns(UserWarning, match="overshoots"):
        job = Job(
            model=Model(units=1, activation="tanh", parameters={"x0": 1.0, "tau_r": 0.0}),
            design=grid(tau_s=[0.25, 2.0]),
            integration=Integration(dt=1, duration=150, allow_unstable=True),
            observe=["r_mean", record("r", every=50)],
        )
    results = simulate(job)
    assert results["status"].tolist() == [2, 1]
    assert np.isnan(results["r_mean"][0]).all()


def test_a_job_without_a_design_is_one_set(backend: str) -> None:
    """Without axes the public functions return variables without dimensions of a design."""
    job = Job(model=Model(units=2), integration=Integration(dt=1, duration=5), observe=["r_mean", "x_final"])
    dataset = sweep.simulate(job, backend=backend)
    assert dataset["status"].dims == ()
    assert dataset["r_mean"].dims == ("unit",)
    assert int(dataset["status"]) == 1
