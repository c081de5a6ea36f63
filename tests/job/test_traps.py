"""Traps: what may surprise is warned of, once, with the remedy; and nothing else is."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from sweep import Design, Integration, Job, Model, Target, grid, model_output, random, replicates, table, zipped


def job(design: Design | None = None, units: int = 2, **parts: Any) -> Job:
    """Return a job whose parameters are noise and what the keywords say."""
    parameters = {"tau_s": 10.0, "tau_r": 5.0, "noise": 0.5} | parts.pop("parameters", {})
    return Job(
        model=Model(units=units, parameters=parameters, populations={"A": 1, "B": units - 1}),
        design=design or Design(()),
        integration=parts.pop("integration", Integration(dt=1.0, duration=20.0)),
        observe=parts.pop("observe", ["r_mean"]),
        **parts,
    )


SILENT = {"noise": 0.0}
REPEATED = [
    (zipped("trial", gain=[1.0, 2.0, 1.0]), "rows 0 and 2 along 'trial' are equal (gain = 1.0)"),
    (table("trial", {"gain": [1, 1], "bias": [0, 0]}), "rows 0 and 1 along 'trial' are equal (gain = 1.0, bias = 0.0)"),
    (zipped("trial", bias=[0.0, -0.0]), "rows 0 and 1 along 'trial'"),
    (zipped("trial", bias=[[0, 1], [1, 1], [0, 1]]), "rows 0 and 2 along 'trial' are equal (bias = [0.0, 1.0])"),
    (zipped("trial", gain=[1, 1], replicate=[3, 3]), "rows 0 and 1 along 'trial'"),
    (zipped("trial", gain=[1, 1]) * replicates(2), "rows 0 and 1 along 'trial'"),
    (zipped("trial", gain=[1, 1, 2, 2], noise=[0, 0, 1, 1]), "rows 2 and 3 along 'trial'"),
]


@pytest.mark.parametrize(("design", "message"), REPEATED)
def test_equal_rows_that_share_their_noise_are_warned_of(design: Design, message: str) -> None:
    """They are the same numbers twice, and look like two trials."""
    with pytest.warns(UserWarning, match="multiply the design by replicates") as caught:
        job(design)
    assert len(caught) == 1
    assert message in str(caught[0].message)
    assert "'replicate'" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_the_rows_that_are_warned_of_are_the_same_to_the_bit() -> None:
    """The warning says the truth, and so does its remedy."""
    with pytest.warns(UserWarning, match="rows 0 and 1"):
        repeated = job(zipped("trial", gain=[1.0, 1.0]))
    rates = sweep.simulate(repeated).r_mean.to_numpy()
    np.testing.assert_array_equal(rates[0], rates[1])
    helped = sweep.simulate(job(zipped("trial", gain=[1.0, 1.0], replicate=[0, 1]))).r_mean.to_numpy()
    assert (helped[0] != helped[1]).all()


def test_replicates_without_noise_are_warned_of() -> None:
    """They are all alike, also with white noise as the input."""
    for design in (replicates(3), zipped("trial", gain=[1, 1], replicate=[0, 1])):
        with pytest.warns(UserWarning, match=r"no noise: all replicates are alike.*'noise'.*leave") as caught:
            made = job(design, parameters=SILENT, input=sweep.white_noise(1.0, seed=1, interval=1.0))
        assert len(caught) == 1
        rates = sweep.simulate(made).r_mean.to_numpy()
        np.testing.assert_array_equal(rates[0], rates[1])


INSTANT = {"tau_s": 0.0}
DEPENDS_ON_DT = [
    (None, INSTANT),
    (None, {"tau_s": [0.0, 5.0]}),
    (grid(tau_s=[0.0, 5.0]), {}),
    (grid(tau_s=[0.0, 5.0], noise=[0.0, 1.0]), SILENT),
    (grid(**{"tau_s[1]": [0.0, 5.0]}), {"noise": [0.0, 1.0]}),
    (grid(**{"tau_s[B]": [0.0, 5.0], "noise[0:]": [0.0, 1.0]}), SILENT),
    (None, {"tau_s[B]": 0.0}),
    (grid(tau_s=[0.0, 5.0]), {"tau_s[A]": 3.0}),
    (zipped("p", tau_s=[0.0, 5.0], noise=[1.0, 0.0]), SILENT),
    (zipped("p", tau_s=[[1, 1], [0, 1]], noise=[[0, 0], [1, 0]]), SILENT),
    (random(4, 1, noise=(0, 1)), INSTANT | SILENT),
]


@pytest.mark.parametrize(("design", "parameters"), DEPENDS_ON_DT)
def test_noise_of_an_instantaneous_current_is_warned_of(design: Design | None, parameters: dict[str, Any]) -> None:
    """Its effect depends on dt."""
    with pytest.warns(
        UserWarning, match=r"tau_s = 0 with noise.*depends on dt.*tau_s of several.*sqrt\(2 dt\)"
    ) as caught:
        job(design, parameters=parameters)
    assert len(caught) == 1


def test_the_noise_that_the_warning_offers_does_not_depend_on_dt() -> None:
    """Of noise = s / sqrt(2 dt) the variance of r is s**2 / (2 tau_r) at any dt; of a fixed noise it is not."""

    def variance(dt: float, noise: float) -> float:
        with pytest.warns(UserWarning, match="tau_s = 0 with noise"):
            made = Job(
                model=Model(units=64, activation="linear", parameters={"tau_s": 0.0, "tau_r": 10.0, "noise": noise}),
                integration=Integration(dt=dt, duration=4000.0, transient=100.0),
                observe=["r_var"],
            )
        return float(sweep.simulate(made).r_var.mean())

    offered = [variance(dt, 0.7 / np.sqrt(2 * dt)) for dt in (0.5, 0.125)]
    np.testing.assert_allclose(offered, 0.7**2 / 20, rtol=0.06)
    assert variance(0.5, 0.7) / variance(0.125, 0.7) == pytest.approx(4, rel=0.1)


def test_white_noise_with_a_number_for_every_step_is_warned_of() -> None:
    """What it does to a current is another thing at another dt; with the interval that the warning offers it is not."""

    def deviation(dt: float, interval: float | None) -> float:
        made = job(
            parameters=SILENT,
            input=sweep.white_noise(1.0, seed=1, interval=interval),
            integration=Integration(dt=dt, duration=4000.0, transient=100.0),
            observe=["x_std"],
        )
        return float(sweep.simulate(made, backend="numpy").x_std[0])

    found = []
    for dt in (1.0, 0.25):
        with pytest.warns(UserWarning, match=rf"every step of dt = {dt:g} ms.*interval = {dt:g} \(ms\)") as caught:
            found.append(deviation(dt, None))
        assert len(caught) == 1
    assert found[0] / found[1] == pytest.approx(2, rel=0.1)
    assert deviation(1.0, 1.0) == found[0]
    assert deviation(0.25, 1.0) == pytest.approx(found[0], rel=0.05)


def test_white_noise_that_holds_for_unequal_times_is_warned_of() -> None:
    """Its interval is no whole number of steps."""
    timing = Integration(dt=0.5, duration=20.0)
    with pytest.warns(UserWarning, match=r"interval = 0.8 ms .* dt = 0.5 ms.* 1 steps .* 2.*multiple") as caught:
        job(input=sweep.white_noise(1.0, seed=1, interval=0.8), integration=timing)
    assert len(caught) == 1
    job(input=sweep.white_noise(0.0, seed=1), integration=timing)
    job(input=sweep.white_noise(1.0, seed=1, interval=1.5), integration=timing)


FORGOTTEN = [
    (None, INSTANT | {"x0": 1.0}),
    (grid(x0=[0.0, 1.0]), INSTANT),
    (grid(x0=[0.0, 1.0], tau_s=[0.0, 1.0]), {}),
    (grid(**{"x0[1]": [0.0, 1.0]}), {"tau_s": [1.0, 0.0]}),
    (random(4, 1, x0=(-1, 1)), INSTANT),
]


@pytest.mark.parametrize(("design", "parameters"), FORGOTTEN)
def test_a_start_that_is_forgotten_at_once_is_warned_of(design: Design | None, parameters: dict[str, Any]) -> None:
    """Where tau_s is 0, x0 changes nothing."""
    with pytest.warns(UserWarning, match=r"x0 is given where tau_s = 0.*Leave x0 out.*r0") as caught:
        job(design, parameters=SILENT | parameters)
    assert len(caught) == 1


def test_a_start_that_the_rates_see_is_no_trap() -> None:
    """In the simultaneous scheme r sees the old x, and so x0."""
    timing = Integration(dt=1.0, duration=20.0, scheme="simultaneous")
    first, second = (job(parameters=INSTANT | SILENT | {"x0": x0}, integration=timing) for x0 in (0.0, 1.0))
    assert (sweep.simulate(first).r_mean.to_numpy() != sweep.simulate(second).r_mean.to_numpy()).all()


HARMLESS = {
    "other rows": (zipped("trial", gain=[1.0, 2.0]), {}),
    "rows with replicates": (zipped("trial", gain=[1.0, 1.0], replicate=[0, 1]), {}),
    "equal rows without noise": (zipped("trial", gain=[1.0, 1.0]), SILENT),
    "equal rows of which none has noise": (zipped("trial", gain=[1, 1, 2], noise=[0, 0, 1]), {}),
    "replicates": (replicates(3), {}),
    "replicates of noise that is swept": (replicates(3) * grid(noise=[0.0, 1.0]), SILENT),
    "a single replicate": (replicates(1), SILENT),
    "an instantaneous current without noise": (None, INSTANT | SILENT),
    "noise in other units": (None, {"tau_s": [0.0, 5.0], "noise": [0.0, 1.0]}),
    "noise in other sets": (zipped("p", tau_s=[0.0, 5.0], noise=[0.0, 1.0]), {}),
    "noise in another population": (grid(**{"tau_s[A]": [0.0, 5.0], "noise[B]": [0.0, 1.0]}), SILENT),
    "time constants of all populations": (grid(**{"tau_s[A]": [2.0]}), {"tau_s": 0.0, "tau_s[B]": 3.0}),
    "every unit swept by itself": (grid(**{"tau_s[0]": [5.0, 6.0], "tau_s[1]": [5.0]}), INSTANT),
    "a start where there is memory": (None, {"tau_s": [0.0, 5.0], "x0": [0.0, 1.0], "noise": 0.0}),
    "a start at 0": (grid(x0=[0.0]), INSTANT | SILENT),
}


@pytest.mark.parametrize(("design", "parameters"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_no_trap_is_not_warned_of(design: Design | None, parameters: dict[str, Any]) -> None:
    """A warning that is wrong teaches people not to read them."""
    job(design, parameters=parameters)


def test_a_job_warns_once_however_often_it_is_rebuilt(tmp_path: Path) -> None:
    """Planning, running, storing and opening build it again, and so does its teacher."""
    with pytest.warns(UserWarning, match="tau_s = 0 with noise") as caught:
        made = job(
            replicates(2),
            parameters=INSTANT,
            target=Target(model_output({"bias": 1.0})),
            observe=["target_mse"],
        )
    assert len(caught) == 1
    with warnings.catch_warnings(record=True) as repeated:
        warnings.simplefilter("always")
        sweep.plan(made, "numpy")
        sweep.simulate(made, "numpy")
        sweep.run(made, tmp_path / "out.zarr", backend="numpy")
        sweep.open(tmp_path / "out.zarr")
    assert [str(each.message) for each in repeated] == []


def test_looking_for_traps_does_not_go_through_the_sets() -> None:
    """10**12 sets are checked at once."""
    values = np.linspace(1, 2, 1000)
    start = time.perf_counter()
    job(zipped("p", gain=values, bias=values) * grid(tau_s=values, tau_r=values, noise=values))
    assert time.perf_counter() - start < 1
