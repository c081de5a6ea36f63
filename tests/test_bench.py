"""``sweep bench``, and the scripts of ``benchmarks/``: what they compute, and that they run to their end."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import ROOT, emulated

from sweep import bench, cli
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob, Probe
from sweep.backends.registry import get_backend
from sweep.bench import Case, Measure
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError, JobError
from sweep.execution.prepare import prepare

BENCHMARKS = ROOT / "benchmarks"
TINY = (Case("S", units=2, sets=4, steps=8), Case("noise", units=3, sets=4, steps=8, noise=0.1))


class OnGPU(emulated.EmulatedBackend):
    """The emulated back end, which says that it has a GPU. Its memory is not for two threads at once."""

    turn = threading.Lock()

    def simulate(self, *arguments: Any, **options: Any) -> dict[str, np.ndarray]:
        """Let the threads take turns."""
        with self.turn:
            return super().simulate(*arguments, **options)

    def devices(self) -> tuple[str, ...]:
        """Return one."""
        return ("0",)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a way to import a script of ``benchmarks/``."""
    before = set(sys.modules)
    path = list(sys.path)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def command(
    only_numpy: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Return a way to run ``sweep bench`` on two tiny cases: its exit code, and what it wrote to both streams."""
    monkeypatch.setattr(bench, "CASES", TINY)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweep", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_table_says_what_was_measured(command: Callable[..., Any]) -> None:
    """There is a row for each case under the title, with numbers that follow from each other, and no colours."""
    code, out, err = command("--seconds", "0.001")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    start = lines.index(bench.TITLE)
    assert [line.split()[0] for line in lines[:start]] == ["tausweep", "back", "device", "machine", "versions"]
    assert "numpy, the fastest that works here" in lines[1]
    for case, line in zip(TINY, lines[start + 1 :], strict=False):
        assert line.startswith(case.name)
        units, _sets, steps, rate, limit, share = line[len(f"{case.name:<9}") :].replace(",", "").split()[:6]
        assert (int(units), int(steps)) == (case.units, case.steps)
        assert float(share) == pytest.approx(100 * float(rate) / float(limit), rel=0.02, abs=0.01)
        assert line.endswith(f"{case.units} multiply-adds a unit-step")
    assert "matrix product" in lines[-1]
    assert max(map(len, lines[start : start + 3])) <= 100


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "601"])
def test_seconds_that_are_none_are_refused(command: Callable[..., Any], seconds: str) -> None:
    """What is no time to measure for ends with exit code 2 and names the option, before anything is measured."""
    code, out, err = command("--seconds", seconds)
    assert code == 2
    assert out == ""
    assert "--seconds" in err


def test_an_unknown_back_end_gets_a_suggestion(command: Callable[..., Any]) -> None:
    """A mistyped back end ends with exit code 2 and the name that was meant."""
    code, out, err = command("--backend", "nunpy")
    assert (code, out) == (2, "")
    assert "Did you mean 'numpy'?" in err


def test_ctrl_c_ends_it_cleanly(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while sets are computed ends with exit code 1 and a sentence, and no thread goes on."""
    timer = threading.Timer(0.5, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    monkeypatch.setattr(bench, "CASES", (TINY[0], Case("long", units=8, sets=64, steps=50_000_000)))
    timer.start()
    before = set(threading.enumerate())
    start = time.monotonic()
    code, out, err = command("--seconds", "0.001")
    assert time.monotonic() - start < 30
    assert code == 1
    assert "interrupted" in err
    assert out.splitlines()[-1].startswith("S ")
    assert not [one for one in threading.enumerate() if one not in before and "ThreadPoolExecutor" in one.name]


# ---------------------------------------------------------------------------------------------------------- measuring


class Clockwork(NumpyBackend):
    """Computes nothing, and takes a microsecond per unit-update on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def concurrency(self, cores: int) -> int:
        """Return one: the clock has no second thread."""
        return 1

    def simulate(self, prepared: PreparedJob, parameters: ParameterSets, **_: Any) -> dict[str, np.ndarray]:
        """Let the time pass that it takes."""
        self.now += 1e-6 * parameters.size * prepared.job.updates_per_set
        return {}


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    """Return the back end, whose clock is the one that measurements read."""
    engine = Clockwork()
    monkeypatch.setattr(bench.time, "perf_counter", lambda: engine.now)
    monkeypatch.setattr(bench, "multiply_adds", lambda threads, seconds: 4e6)
    return engine


@pytest.mark.parametrize("seconds", [0.02, 1.0, 100.0])
def test_sets_are_chosen_by_time(clockwork: Clockwork, seconds: float) -> None:
    """A measurement takes about as long as asked for, with the case's own steps."""
    case = Case("M", units=32, sets=4096, steps=10)
    sized = bench.calibrated(clockwork, case, seconds, 1)
    assert sized.steps == case.steps
    assert sized.updates * 1e-6 == pytest.approx(max(seconds, 32 * 512 * 10e-6), rel=0.06)


def test_too_many_sets_become_steps(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the most sets take less than the time asked for, there are more steps."""
    monkeypatch.setattr(bench, "_MOST_SETS", 200)
    sized = bench.calibrated(clockwork, Case("S", units=1, sets=10_000, steps=10), 1.0, 1)
    assert sized.sets == 200
    assert sized.updates * 1e-6 == pytest.approx(1.0, rel=0.06)


def test_a_rate_is_updates_by_seconds(clockwork: Clockwork) -> None:
    """Rate and limit are unit-updates per second: a million, and what is left of the multiply-adds for 2 units."""
    (measure,) = bench.measures(clockwork, TINY[:1], 0.5)
    assert measure.rate == pytest.approx(1e6, rel=1e-6)
    assert measure.limit == 2e6
    assert " 50.00  2 multiply-adds" in measure.line()


def test_a_failing_block_ends_the_measurement() -> None:
    """What a block raises comes out, and the threads that compute others end instead of going on for minutes."""

    class Failing(NumpyBackend):
        def simulate(self, prepared: PreparedJob, parameters: ParameterSets, **options: Any) -> dict[str, np.ndarray]:
            if parameters.values["gain"][0, 0] == 0.5:
                raise BackendError("made up")
            return super().simulate(prepared, parameters, **options)

    job = Case("long", units=8, sets=64, steps=50_000_000).job(2)
    start = time.monotonic()
    with pytest.raises(BackendError, match="made up"):
        bench.seconds_of(Failing(), job, 2)
    assert time.monotonic() - start < 30


def test_a_gpu_is_limited_by_its_instructions() -> None:
    """On a GPU the limit is what the device issues over what the plan counts; it needs no BLAS."""
    engine = OnGPU()
    case = dataclasses.replace(TINY[0], steps=2)
    (measure,) = bench.measures(engine, [case], 1e-6)
    each = bench.instructions(case.job())
    assert measure.limit == pytest.approx(emulated.Device.speed / each)
    assert measure.by == f"{each:.0f} instructions a unit-step"
    assert "2e+06 lane-instructions" in bench.explained(engine)


def test_multiply_adds_are_counted_on_all_threads() -> None:
    """The machine's rate is one that a machine can have, whatever BLAS was told about threads."""
    assert 1e8 < bench.multiply_adds(1, 0.02) < 1e13


@pytest.mark.parametrize("blocks", [1, 2, 3, 7])
def test_a_case_comes_in_so_many_blocks(blocks: int) -> None:
    """A case's sets are cut into as many blocks as asked for, or one less where they do not divide."""
    job = Case("S", units=2, sets=100, steps=10).job(blocks)
    assert len(job.blocks) == blocks
    assert sum(block.size for block in job.blocks) == 100


def test_numbers_of_a_line_stay_in_their_columns() -> None:
    """The largest and the smallest numbers that can occur leave the columns where the title has them."""
    case = Case("M, noise", units=512, sets=2**20, steps=4_800_000)
    line = Measure(case=case, rate=1.38e12, limit=1.4e12, by="x").line()
    tiny = Measure(case=dataclasses.replace(case, sets=1, steps=1), rate=123.0, limit=1e9, by="x").line()
    assert line.index("  x") == tiny.index("  x") == bench.TITLE.index("  limited by")


def test_the_header_says_what_a_report_needs() -> None:
    """Versions, the back end and why, the device, the processor and the cores are there."""
    told = dict(bench.header(Probe(name="numpy", works=True, reason="made up", device="a device")))
    assert told["back end"] == "numpy, made up"
    assert told["device"] == "a device"
    assert re.search(r"\d cores for this process", told["machine"])
    assert f"NumPy {np.__version__}" in told["versions"]
    with pytest.raises(JobError, match="at most 600"):
        bench.check_seconds(601)


# ---------------------------------------------------------------------------------------------------------- benchmarks/


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


def test_a_steady_rate_leaves_out_what_a_call_costs(
    scripts: Callable[[str], ModuleType], clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steady rate is the slope over steps, and what a call costs by itself is reported beside it."""
    gpu = scripts("gpu")

    def simulate(prepared: PreparedJob, parameters: ParameterSets, **_: Any) -> dict[str, np.ndarray]:
        clockwork.now += 0.25 + 1e-6 * parameters.size * prepared.job.updates_per_set
        return {}

    monkeypatch.setattr(clockwork, "simulate", simulate)
    found = gpu.steady(clockwork, Case("S", units=2, sets=5, steps=1), gpu.Budget(seconds=2.0))
    assert found["steady"] == pytest.approx(1e6, rel=1e-6)
    assert found["per_call_s"] == pytest.approx(0.25, rel=1e-6)
    assert found["seconds"] == pytest.approx(2.25, rel=0.1)
    assert found["end_to_end"] < found["steady"]


def test_counts_of_other_kernels_are_doubted(
    scripts: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts are taken for what they are: missing, of another architecture, or of other kernels."""
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
    """A new back end's first result is timed apart from its second."""
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
    """Where CuPy, Dask, Zarr, pydantic and others are missing, the GPU's script says what it lacks and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str(BENCHMARKS / "gpu.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing measured: CuPy is not installed")


def test_blocks_of_code_begin_where_branches_go(scripts: Callable[[str], ModuleType]) -> None:
    """Basic blocks are cut behind every branch and in front of everything a branch goes to."""
    instructions = scripts("instructions")
    make = instructions.Instruction
    code = [
        make(address=16 * i, predicate="", opcode="BRA" if targets else "FADD", text="", targets=targets)
        for i, targets in enumerate([(), (48,), (), (), (), (0,)])
    ]
    cut = [[one.address // 16 for one in block] for block in instructions.blocks(code)]
    assert cut == [[0, 1], [2], [3, 4, 5]]


def test_counted_instructions_are_near_the_products(scripts: Callable[[str], ModuleType]) -> None:
    """A unit-step takes at least its N multiply-adds and not twice as many and some, whatever the design."""
    instructions, cases = scripts("instructions"), scripts("cases")
    chosen = {name: cases.REGIMES[name] for name in ("N = 8, relu", "N = 64, relu", "N = 256, relu")}
    rows = instructions.table(chosen, ["sm_80", "sm_90"])
    for name, row in rows.items():
        units = cases.REGIMES[name].units
        for arch in ("sm_80", "sm_90"):
            assert units < row[arch]["instructions"] < 1.5 * units + 80
            assert row[arch]["spills"] == 0
    lines = list(instructions.lines(rows, ["sm_80", "sm_90"]))
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert math.isclose(instructions.H100["speed"], 3.35e13, rel_tol=0.01)
