"""Populations in results: labels, stores, reports, job files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from support.jobs import assert_same

import sweep
from sweep import Integration, Job, Model, excitatory_inhibitory, grid, record, sobol
from sweep.errors import JobError, StoreError
from sweep.job import Report
from sweep.jobfile import load

pytestmark = pytest.mark.usefixtures("only_numpy")

TWO = {"E": 8, "I": 2}
TAUS = {"tau_s[E]": [5.0, 10.0, 20.0], "tau_s[I]": [3.0, 30.0]}


def job(populations: dict[str, int] | None = TWO, **changes: Any) -> Job:
    """Return a job of an excitatory and an inhibitory population."""
    model = {
        "units": 10,
        "weights": excitatory_inhibitory(units=10, seed=1),
        "parameters": {"tau_r": 5.0, "tau_r[I]": 2.0, "bias": 0.1, "gain[I,E]": 0.5},
        "populations": populations,
    } | changes.pop("model", {})
    parts: dict[str, Any] = {
        "model": Model(**model),
        "design": grid(**TAUS),
        "integration": Integration(dt=1.0, duration=30.0),
        "observe": ["r_mean"],
    }
    return Job(**(parts | changes))


def test_a_result_names_the_population_of_every_unit() -> None:
    """Units can be chosen and averaged by it, and those of a record have theirs."""
    result = sweep.simulate(job(observe=["r_mean", record("r", units=[9, 0])]))
    assert result.population.dims == ("unit",)
    assert result.population.values.tolist() == ["E"] * 8 + ["I"] * 2
    assert result.recorded_population.dims == ("recorded_unit",)
    assert result.recorded_population.values.tolist() == ["I", "E"]
    means = result.r_mean.groupby("population").mean()
    np.testing.assert_array_equal(
        means.sel(population="I"), result.r_mean.isel(unit=result.population == "I").mean("unit")
    )
    only = sweep.simulate(job(observe=[record("r", units=[9, 0])]))
    assert only.population.values.tolist() == ["I", "E"]
    assert "population" not in sweep.simulate(job(None, design=grid(gain=[1.0]), model={"parameters": {}})).coords


def test_two_swept_constants_are_two_coordinates() -> None:
    """The parameters that hold for no unit are left out, and common ones are as they hold."""
    result = sweep.simulate(job())
    assert result.r_mean.dims == ("tau_s[E]", "tau_s[I]", "unit")
    swept = [name for name, coordinate in result.coords.items() if coordinate.dims and coordinate.dims != ("unit",)]
    assert swept == ["tau_s[E]", "tau_s[I]"]
    assert result["tau_s[E]"].attrs == {
        "units": "ms",
        "long_name": "time constant of the synaptic current of population E",
    }
    assert "tau_s" not in result.coords
    assert result.tau_r.values.tolist() == [5.0] * 8 + [2.0] * 2
    assert float(result["gain[I,E]"]) == 0.5
    half = sweep.simulate(job(design=grid(**{"tau_s[E]": [5.0, 10.0]})))
    assert float(half.tau_s) == 10.0
    assert float(result.sel({"tau_s[E]": 20.0, "tau_s[I]": 3.0}).r_mean.mean()) > 0


@pytest.mark.parametrize("design", [grid(**TAUS, **{"gain[E,I]": [0.5, 2.0]}), sobol(4, 1, **{"tau_s[0:8]": (1, 9)})])
def test_a_store_keeps_names_and_populations(path: Path, design: sweep.Design) -> None:
    """It opens as it was simulated, also in plain xarray, and its job is the same."""
    one = job(design=design)
    opened = sweep.run(one, path)
    simulated = sweep.simulate(one)
    assert opened.population.values.tolist() == xr.open_zarr(path).population.values.tolist() == ["E"] * 8 + ["I"] * 2
    assert_same(opened.drop_vars("population"), simulated.drop_vars("population"))
    sweep.run(one, path)
    again = Job.from_spec(*one.spec())
    assert (again.hash, again.model.populations) == (one.hash, TWO)


def test_the_hash_has_the_populations_and_their_order(path: Path) -> None:
    """A job without populations has the hash that it always had; another order is another job."""
    parameters = {"tau_r": 5.0}
    plain = job(None, design=grid(gain=[1.0]), model={"parameters": parameters})
    assert "populations" not in plain.identity()
    assert "populations" not in plain.spec()[0]["model"]
    one, other = ({"A": 5, "B": 5}, {"B": 5, "A": 5})
    first, second = (
        job(order, design=grid(**{"tau_s[A]": [1.0, 9.0]}), model={"parameters": {}}) for order in (one, other)
    )
    assert len({plain.hash, first.hash, second.hash}) == 3
    sweep.run(first, path)
    with pytest.raises(StoreError, match=r"populations"):
        sweep.run(second, path)


FILE = """
observe = ["r_mean"]
[model]
units = 10
weights = { kind = "excitatory_inhibitory", seed = 1 }
[model.parameters]
tau_r = 5.0
"tau_r[I]" = 2.0
bias = 0.1
"gain[I, E]" = 0.5
[model.populations]
E = 8
I = 2
[integration]
dt = 1.0
duration = 30.0
[design.grid]
"tau_s[E]" = [5, 10, 20]
"tau_s[I]" = [3, 30]
"""


def test_a_job_file_says_the_same(tmp_path: Path) -> None:
    """It equals the job in Python; mistakes are found in its words."""
    file = tmp_path / "job.toml"
    file.write_text(FILE)
    assert load(file).hash == job().hash
    for wrong, right, message in (
        ('"tau_s[F]"', '"tau_s[E]"', r"design: tau_s\[F\] names the population 'F', which .* Known: E, I"),
        ("I = 3", "I = 2", r"model\.populations = E 8 \+ I 3 has 11 units"),
        ('"tau_r[e]"', '"tau_r[I]"', r"tau_r\[e\] names the population 'e', .* Did you mean 'E'"),
        ('"tau_x[E]"', '"tau_s[E]"', r"parameter 'tau_x\[E\]' does not exist\. Did you mean 'tau_[sr]'"),
    ):
        file.write_text(FILE.replace(right, wrong))
        with pytest.raises(JobError, match=message):
            load(file)


MISTAKES: dict[str, tuple[Callable[[], Job], str]] = {
    "no such population": (
        lambda: job(design=grid(**{"tau_s[A]": [1.0, 2.0]})),
        r"design: tau_s\[A\] names the population",
    ),
    "no populations": (
        lambda: job(None, model={"parameters": {}}),
        r"design: tau_s\[E\] names the population 'E', but the model has none\. Give model\.populations",
    ),
    "units that cross": (
        lambda: job(design=grid(**{"tau_s[E]": [1.0], "tau_s[4:9]": [2.0]})),
        r"design: tau_s\[E\] and tau_s\[4:9\] both name units 4 to 7",
    ),
    "the same units": (
        lambda: job(model={"parameters": {"tau_s[0:8]": 1.0}}),
        r"both name units 0 to 7, and neither is a part of the other",
    ),
    "the same weights": (
        lambda: job(design=grid(**{"gain[8:,E]": [1.0, 2.0]})),
        r"gain\[I,E\] and gain\[8:,E\] both scale the weight to unit 8 from unit 0",
    ),
    "nothing to scale": (lambda: job(model={"weights": None}), r"gain\[I,E\] scales weights, and the model has none"),
    "a dimension": (
        lambda: job(design=sweep.zipped("population", gain=[1.0, 2.0])),
        r"dimension 'population': results .* Call it something else",
    ),
    "too fast": (
        lambda: job(design=grid(**{"tau_s[I]": [0.4, 3.0]})),
        r"tau_s = 0\.4 ms with integration\.dt = 1 ms: dt/tau = 2\.5",
    ),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_jobs_that_do_not_fit_are_refused(make: Callable[[], Job], message: str) -> None:
    """The design and the model are checked together, before anything is run."""
    with pytest.raises(JobError, match=message):
        make()


def test_a_value_that_holds_for_no_unit_is_not_judged() -> None:
    """A common time constant that is too short for the step does no harm where all units have others."""
    one = job(model={"parameters": {"tau_s": 0.1}})
    assert sweep.simulate(one).status.values.all()
    with pytest.raises(JobError, match=r"tau_s = 0\.1 ms"):
        job(design=grid(**{"tau_s[E]": [5.0]}), model={"parameters": {"tau_s": 0.1}})


def test_reports_name_populations(tmp_path: Path) -> None:
    """The best set is told by its labels, a map has both axes, and a part is selected by them."""
    one = job(report=Report(variable="r_mean", x="tau_s[E]", y="tau_s[I]", select={"unit": 0}))
    result = sweep.simulate(one)
    found = sweep.best(result)
    assert set(found.labels) == {"tau_s[E]", "tau_s[I]", "unit", "tau_r"}
    assert f"tau_s[E] = {found.labels['tau_s[E]']:g} ms" in found.words()
    figure = sweep.plot(result)
    drawn = figure.axes[0]
    assert drawn.get_xlabel() == "time constant of the synaptic current of population E (ms)"
    assert drawn.get_ylabel() == "time constant of the synaptic current of population I (ms)"
    sweep.plot(result, x="tau_s[I]", select={"tau_s[E]": 10.0}).savefig(tmp_path / "line.png")
    with pytest.raises(JobError, match=r"report\.x = 'population' holds names, and must be a coordinate with numbers"):
        sweep.plot(result, x="population")
    with pytest.raises(JobError, match=r"report\.y = 'tau_s\[F\]' is not a coordinate of the result\. Did you mean"):
        job(report=Report(variable="r_mean", y="tau_s[F]"))
