"""The script that measures on a GPU, on the emulated one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import ROOT
from support.emulated import OnGPU

from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob
from sweep.backends.registry import get_backend
from sweep.bench import Case
from sweep.design.arrays import ParameterSets
from sweep.execution.prepare import prepare


def test_plain_cupy_is_the_model(scripts: Callable[[str], ModuleType]) -> None:
    """The loop that the back end is compared with on a GPU computes the same."""
    case = Case("S", units=3, sets=5, steps=40)
    engine, job = get_backend("numpy"), case.job()
    ours = engine.simulate(prepare(job), job.parameter_sets(job.blocks[0]))
    theirs = dict(zip(("r_mean", "r_var", "r_final"), scripts("gpu_peers").plain(np, case, lambda f: f)(), strict=True))
    for name in ("r_mean", "r_var", "r_final"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=2e-4, atol=2e-6)


def test_every_regime_is_a_job_of_its_kind(scripts: Callable[[str], ModuleType]) -> None:
    """Each regime, made small, is a job with the units, the activation and the precision that its name says."""
    regimes = scripts("cases").REGIMES
    assert len(regimes) > 40
    for name, regime in regimes.items():
        job = dataclasses.replace(regime, sets=130, steps=20).job()
        assert f"N = {job.model.units}," in name
        assert ("float64" in name) == (job.integration.precision == "float64")
        assert ("record" in name) == bool(job.records)
        assert ("lags" in name) == bool(job.lags)
        assert ("networks" in name) == ("network" in job.design.swept)
        assert ("noise" in name) == bool(job.model.parameter("noise").any())
        assert ("relu" in name) == (job.model.activation == "relu")


def test_a_bound_is_the_slowest_part(scripts: Callable[[str], ModuleType]) -> None:
    """The bound is set by whichever of instructions, special functions and double precision takes longest."""
    bound = scripts("cases").bound
    assert bound({"instructions": 20, "special": 2, "double": 0}, 1e3, 8, 2) == (50.0, "instructions")
    assert bound({"instructions": 20, "special": 5, "double": 0}, 1e3, 8, 2) == (25.0, "special functions")
    assert bound({"instructions": 20, "special": 0, "double": 20}, 1e3, 8, 2) == (25.0, "double precision")


def test_a_gpu_run_goes_to_its_end(scripts: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """All parts of the GPU's benchmark run, on emulated kernels, and what is kept after each can be read again."""
    gpu, cases = scripts("gpu"), scripts("cases")

    def tiny(name: str) -> Any:
        regime = cases.REGIMES[name]
        return dataclasses.replace(regime, sets=3, steps=16, every=min(regime.every, 2))

    names = ("N = 1, tanh", "N = 2, relu", "N = 2, noise", "N = 2, a record every 10 steps")
    case = Case("S", units=2, sets=9, steps=4)
    extent = gpu.Extent(
        budget=gpu.Budget(seconds=0.0, repeats=1, first_steps=4),
        regimes={name: tiny(name) for name in names},
        saturation={1: 100},
        overlap=case,
        overlap_steps=(4,),
        peers={"N = 2": case},
    )
    machine = gpu.Machine(speed=1e6, counts={"N = 1, tanh": {"instructions": 20.0, "special": 2.0, "double": 0.0}})
    kept = []
    engine = OnGPU()
    result = gpu.measure_all(engine, machine, extent, lambda found: kept.append(json.dumps(found)), {"date": "today"})
    assert [len(json.loads(text)) for text in kept] == [3, 4, 5, 6, 7]
    assert set(result["regimes"]) == set(names)
    for name, row in result["regimes"].items():
        assert row["steps"] >= 8
        assert row["steady"] > 0
        assert row["bound"] == (5e4 if name == "N = 1, tanh" else None)
    assert set(result["peers"][0]["N = 2"]) >= {"tausweep"}
    own = result["overlap"]["4 steps, 8 blocks, two threads"]
    assert own["rate"] == pytest.approx(case.updates / own["seconds"])
    assert list(result["saturation"]) == ["N = 1, 100 sets"]


class Clockwork(NumpyBackend):
    """Takes a quarter of a second per call and a microsecond per unit-update, on a made-up clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def concurrency(self, cores: int) -> int:
        """Return one: the clock has no second thread."""
        return 1

    def simulate(self, prepared: PreparedJob, parameters: ParameterSets, **_: Any) -> dict[str, np.ndarray]:
        """Let the time pass that it takes."""
        self.now += 0.25 + 1e-6 * parameters.size * prepared.job.updates_per_set
        return {}


def test_a_steady_rate_leaves_out_what_a_call_costs(
    scripts: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steady rate is the slope over the steps, and the fixed cost of a call is reported separately."""
    gpu, engine = scripts("gpu"), Clockwork()
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: engine.now)
    found = gpu.steady(engine, Case("S", units=2, sets=5, steps=1), gpu.Budget(seconds=2.0))
    assert found["steady"] == pytest.approx(1e6, rel=1e-6)
    assert found["per_call_s"] == pytest.approx(0.25, rel=1e-6)
    assert found["seconds"] == pytest.approx(2.25, rel=0.1)
    assert found["end_to_end"] < found["steady"]


def test_counts_of_other_kernels_are_doubted(
    scripts: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts that are missing, of another architecture or of other kernels are recognised."""
    gpu, cases = scripts("gpu"), scripts("cases")
    monkeypatch.setattr(gpu, "COUNTS", tmp_path / "counts.json")
    assert "missing" in gpu.counts("sm_90")[1]
    told = {"kernels_sha256": cases.kernels_digest(), "regimes": {"a": {"sm_90": {"instructions": 1.0}}}}
    gpu.COUNTS.write_text(json.dumps(told))
    assert gpu.counts("sm_90") == ({"a": {"instructions": 1.0}}, "")
    assert "nothing for sm_75" in gpu.counts("sm_75")[1]
    gpu.COUNTS.write_text(json.dumps(told | {"kernels_sha256": "0"}))
    assert "other kernels" in gpu.counts("sm_90")[1]


def test_first_results_are_timed(scripts: Callable[[str], ModuleType]) -> None:
    """The first and the second result of a new back end are timed separately."""
    told = scripts("gpu").first_result(lambda: get_backend("numpy"))
    assert set(told) == {"back_end_s", "first_result_s", "second_result_s"}
    assert all(0 <= seconds < 60 for seconds in told.values())


ALONE = """
import importlib.abc, sys
absent = set("cupy dask distributed filelock jax lazy_loader matplotlib pandas platformdirs psutil".split())
absent |= set("pydantic rich scipy threadpoolctl tqdm typer zarr".split())
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in absent else find(name, *rest)
sys.argv = [sys.argv[1]]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_without_a_gpu_it_says_so_and_needs_next_to_nothing() -> None:
    """If CuPy, Dask, Zarr, pydantic and others are missing, the GPU's script says so and ends with exit code 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str((ROOT / "benchmarks") / "gpu.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing measured: CuPy is not installed")
