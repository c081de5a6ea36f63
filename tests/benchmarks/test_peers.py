"""``benchmarks/peers.py``: contenders compute the same, wrong ones are found, and the tables show the measurements."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sweep
from sweep.backends.registry import probe

PACKAGES = {
    "plain": "numpy",
    "numpy": "sweep",
    "native": "sweep",
    "vmap": "jax",
    "jax": "jax",
    "torch": "torch",
    "compiled": "torch",
    "numba": "numba",
    "heyoka": "heyoka",
    "diffrax": "diffrax",
}
#: Those that can take part here; CI has only the first three.
HERE = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
if not any(found.name == "native" and found.works for found in probe()):
    HERE.remove("native")


@pytest.fixture
def peers(scripts: Callable[[str], ModuleType]) -> ModuleType:
    """Return the script."""
    return scripts("peers")


def tiny(peers: ModuleType, kind: str) -> sweep.Job:
    """Return a row of few sets and steps."""
    if kind in ("lags", "windows"):
        rng = np.random.default_rng(2)
        heard, answered = rng.normal(size=440), rng.normal(size=440)
        spikes = sweep.spikes(np.flatnonzero(answered > 0.5), window=6.0)
        target = {
            "lags": sweep.Target(sweep.samples(answered, interval=1.0), lags=(0.0, 3.0, 7.0)),
            "windows": sweep.Target(spikes, lags=(0.0, 4.0, 10.0)),  # three bins of two steps each
        }
        return sweep.Job(
            model=sweep.Model(units=1, activation="relu"),
            input=sweep.samples(heard, interval=1.0),
            target=target[kind],
            integration=sweep.Integration(dt=1.0, duration=420.0, transient=20.0),
            design=sweep.grid(tau_s=np.linspace(2, 9, 4), tau_r=np.linspace(1, 5, 3), threshold=[-0.5, 0.0, 0.5, 99.0]),
            observe=["target_correlation"],
        )
    case = {
        "one": peers.Case("one", units=1, sets=37, steps=40),
        "two": peers.Case("two", units=2, sets=37, steps=40),
        "some": peers.Case("some", units=5, sets=37, steps=40),
        "many": peers.Case("many", units=33, sets=13, steps=40),
        "noise": peers.Case("noise", units=5, sets=300, steps=40, noise=0.3),
        "record": peers.Regime("record", units=2, sets=37, steps=40, every=10),
        "networks": peers.Regime("networks", units=5, sets=37, steps=40, networks=37),
    }[kind]
    job: sweep.Job = case.job()
    return job


@pytest.mark.filterwarnings("ignore:target_correlation is NaN")  # some thresholds silence the unit
@pytest.mark.parametrize("kind", ["one", "two", "some", "many", "noise", "record", "networks", "lags", "windows"])
@pytest.mark.parametrize("name", HERE)
@pytest.mark.filterwarnings("default")
def test_contenders_agree(peers: ModuleType, name: str, kind: str) -> None:
    """Every installed contender computes the same as the NumPy back end, in every kind of row that it can compute."""
    contender = peers.CONTENDERS[name]
    row = peers.measure(tiny(peers, kind), [contender], 1)
    assert row["wrong"] == {}
    if name == "heyoka" and row["left_out"]:
        assert kind in ("many", "noise", "networks", "lags", "windows")
        return
    assert row["left_out"] == {}
    found = row["contenders"][contender.label]
    assert found["updates_per_ns"] == pytest.approx(row["units"] * row["sets"] * row["steps"] / found["median_s"] / 1e9)


def test_every_contender_has_a_package(peers: ModuleType) -> None:
    """The tests know all contenders, and each names the package whose version is reported."""
    assert set(peers.CONTENDERS) == set(PACKAGES)
    for name, package in PACKAGES.items():
        assert peers.CONTENDERS[name].package == package.replace("sweep", "tausweep")


def test_every_row_is_a_job_of_its_kind(peers: ModuleType) -> None:
    """Rows have the units of their titles, and fewer sets with --quick; the recording needs another package."""
    quick = peers.jobs(quick=True)
    assert set(quick) == {*peers.ROWS, peers.GRASSHOPPER}
    for name in peers.ROWS:
        title, make = quick[name]
        job = make()
        assert title.split(",")[0] == f"N = {job.model.units}"
        assert job.design.size < peers.ROWS[name][1].sets
        assert ("record" in title) == bool(job.records)
        assert ("noise" in title) == bool(job.model.parameter("noise").any())
        assert ("W of each set" in title) == (job.model.networks == job.design.size)


def test_the_recording_has_all_lags(peers: ModuleType) -> None:
    """The job of the recording keeps its sets and lags, and its windows of 60 steps are six bins for every lag."""
    pytest.importorskip("nitime")
    problem = peers.Problem(peers.grasshopper(300.0))
    assert (problem.sets, problem.steps, problem.transient) == (4032, 6000, 2000)
    how = problem.compared
    assert (how.steps, how.bins) == (10, 6)
    assert how.deviations.shape == how.counted.shape == (21, 400)
    windows = np.count_nonzero(how.counted, axis=1)
    assert set(windows) == {65, 66}
    np.testing.assert_allclose(how.counted.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(how.deviations.sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose((how.deviations**2).sum(axis=1) * windows, 1, rtol=1e-5)


def changed(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Any:
    """Return a contender that changes what the plain loop finds."""

    def make(problem: Any) -> Callable[[], dict[str, Any]]:
        return lambda: change(sys.modules["contenders.plain"].make(problem)())

    importlib.import_module("contenders.plain")
    module = types.ModuleType("contenders.changed")
    vars(module)["make"] = make
    monkeypatch.setitem(sys.modules, "contenders.changed", module)
    return peers.Contender("changed", "changed", "numpy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found | {"var": found["var"] * np.float32(1.01)}, "var is off by up to"),
        (lambda found: found | {"final": found["final"][::-1].copy()}, "final is off by up to"),
        (lambda found: found | {"mean": found["mean"].T.copy()}, "mean is of the shape"),
        (lambda found: found | {"mean": found["mean"].astype(np.float64)}, "mean is float64"),
        (lambda found: {"mean": found["mean"]}, "var is missing"),
        (lambda found: found | {"mean": np.full_like(found["mean"], np.nan)}, "mean is off"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_wrong_results_are_told(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    """A contender with wrong numbers, shapes or types is not timed, and the row says what is wrong."""
    row = peers.measure(tiny(peers, "two"), [changed(peers, monkeypatch, change)], 1)
    assert row["contenders"] == {}
    assert message in row["wrong"]["changed"]


@pytest.mark.parametrize(("noise", "right"), [(0.3, True), (0.0, False), (0.4, False)])
def test_noise_is_compared_by_chance(peers: ModuleType, noise: float, right: bool) -> None:
    """Noise with another seed is right; no noise, or a third too much, is wrong."""
    case = peers.Case("noise", units=3, sets=2000, steps=60, noise=0.3)
    reference = peers.Reference.of(peers.Problem(case.job()))
    other = dataclasses.replace(dataclasses.replace(case, noise=noise).job(), seed=7)
    found = peers.CONTENDERS["numpy"].make(peers.Problem(other))()
    if right:
        reference.check(found)
        return
    with pytest.raises(peers.Wrong):
        reference.check(found)


def test_too_little_scatter_is_wrong(peers: ModuleType) -> None:
    """Results with the right averages but too small a spread are wrong."""
    reference = peers.Reference.of(peers.Problem(peers.Case("noise", units=3, sets=2000, steps=60, noise=0.3).job()))
    found = {name: (value + reference.again[name]) / 2 for name, value in reference.outcome.items()}
    with pytest.raises(peers.Wrong, match=r"mean: sets scatter 0\.5 times"):
        reference.check(found)


def test_a_shift_is_found_behind_noise(peers: ModuleType) -> None:
    """An average over sets that is off by a tenth of a set's noise is wrong."""
    case = peers.Case("noise", units=3, sets=5000, steps=60, noise=0.3)
    problem = peers.Problem(case.job())
    reference = peers.Reference.of(problem)
    spread = (reference.again["mean"] - reference.outcome["mean"]).std()
    with pytest.raises(peers.Wrong, match="standard errors"):
        reference.check({**reference.again, "mean": reference.again["mean"] + spread / 5})


def test_the_fastest_form_is_kept(scripts: Callable[[str], ModuleType]) -> None:
    """Of several forms the fastest is returned. Forms that fail are skipped; if all fail, the first error is raised."""
    problem = scripts("contenders.problem")

    def waiting(seconds: float) -> Callable[[], Callable[[], dict[str, np.ndarray]]]:
        def run() -> dict[str, np.ndarray]:
            time.sleep(seconds)
            return {"mean": np.full(1, seconds)}

        return lambda: run

    def failing() -> Callable[[], dict[str, np.ndarray]]:
        raise RuntimeError("made up")

    chosen = problem.fastest({"slow": waiting(0.05), "fails": failing, "fast": waiting(0.001)})
    assert chosen.form == "fast"
    assert chosen()["mean"] == 0.001
    assert 0 < chosen.first < 0.05
    with pytest.raises(RuntimeError, match="made up"):
        problem.fastest({"fails": failing})


def row(rates: dict[str, float], **more: Any) -> dict[str, Any]:
    """Return a row of a result with these unit-updates per nanosecond."""
    found = {
        label: {"updates_per_ns": rate, "median_s": 1 / rate, "times_s": [1 / rate], "first_s": 2.0, "form": "a form"}
        for label, rate in rates.items()
    }
    size = {"title": "N = 2", "units": 2, "sets": 1000, "steps": 10}
    return {**size, "contenders": found, "left_out": {}, "wrong": {}, **more}


def test_the_table_is_made_from_a_file(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --table nothing is measured: the best peer is in bold and the native back end is compared with it."""
    first = row({"plain NumPy": 0.1, "tausweep, native": 1.5, "JAX, best form": 0.5, "Numba": 0.75})
    second = row(
        {"plain NumPy": 0.1, "JAX, best form": 0.5},
        wrong={"Numba": "off"},
        left_out={"tausweep, native": "no compiler"},
    )
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"rows": {"S": first, "M": second}}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["peers.py", "--table", str(path)])
    peers.main()
    assert capsys.readouterr().out.splitlines() == [
        "| row | sets × steps | plain NumPy | tausweep, native | JAX, best form | Numba | native ÷ best peer |",
        "|---|---|---|---|---|---|---|",
        "| N = 2 | 1,000 × 10 | 0.100 | 1.500 | 0.500 | **0.750** | 2.00 |",
        "| N = 2 | 1,000 × 10 | 0.100 | – | **0.500** | wrong | – |",
    ]


def test_a_run_writes_what_it_prints(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with a right, a missing and a wrong contender reports all three, and ends with exit code 1."""
    wrong = changed(peers, monkeypatch, lambda found: found | {"mean": found["mean"] + np.float32(0.1)})
    absent = peers.Contender("absent", "which_is_not_there", "which-is-not-there")
    chosen = {name: peers.CONTENDERS[name] for name in ("plain", "numpy", "native")}
    monkeypatch.setattr(peers, "CONTENDERS", {**chosen, "wrong": wrong, "absent": absent})
    monkeypatch.setattr(peers, "jobs", lambda quick=False: {"two": ("N = 2", lambda: tiny(peers, "two"))})
    monkeypatch.setattr(peers, "limits", lambda: {"multiply_adds_per_s": 1.0})
    path = tmp_path / "results" / "peers.json"
    monkeypatch.setattr(
        sys, "argv", ["peers.py", "--repeats", "2", "--only", "plain,wrong,absent", "--output", str(path)]
    )
    with pytest.raises(SystemExit) as ended:
        peers.main()
    assert ended.value.code == 1
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert {"date", "machine", "versions", "limits", "repeats", "rows"} <= set(kept)
    assert kept["missing"] == ["which-is-not-there"]
    found = kept["rows"]["two"]
    assert len(found["contenders"]["plain NumPy"]["times_s"]) == 2
    assert found["left_out"]["absent"].startswith("ModuleNotFoundError")
    assert "mean is off by up to 0.1" in found["wrong"]["changed"]
    printed = capsys.readouterr().out
    assert "WRONG: mean is off" in printed
    assert "| **" in printed.splitlines()[-1]


def test_names_that_do_not_exist_are_refused(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row or contender that does not exist ends with exit code 2 and the list of names."""
    monkeypatch.setattr(sys, "argv", ["peers.py", "--rows", "S,Q"])
    with pytest.raises(SystemExit) as ended:
        peers.main()
    assert ended.value.code == 2
    assert "Q: choose from S, M, L" in capsys.readouterr().err


@pytest.mark.skipif("native" not in HERE, reason="there is no compiler")
def test_limits_are_those_of_a_machine(scripts: Callable[[str], ModuleType]) -> None:
    """Multiply-adds and bytes per second are possible numbers for a machine."""
    found = scripts("limits").limits(seconds=0.02, size=2**16)
    assert 1e8 < found["multiply_adds_per_s"] < 1e14
    assert 1e8 < found["memory_bytes_per_s"] < 1e14
