"""``sweep bench``, and the scripts of ``benchmarks/``: what they compute, and that they run to their end."""

from __future__ import annotations

import dataclasses
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import emulated
from support.emulated import OnGPU

from sweep import bench, cli
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import PreparedJob
from sweep.backends.registry import Probe
from sweep.bench import Case, Measure
from sweep.design.arrays import ParameterSets
from sweep.errors import BackendError, JobError

TINY = (Case("S", units=2, sets=4, steps=8), Case("noise", units=3, sets=4, steps=8, noise=0.1))


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
    """An impossible time ends with exit code 2 and names the option, before anything is measured."""
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
    """An interrupt ends with exit code 1 and a sentence, and all threads stop."""
    timer = threading.Timer(0.5, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    monkeypatch.setattr(bench, "CASES", (TINY[0], Case("long", units=8, sets=64, steps=50_000_000)))
    measures = bench.measures

    def interrupted(*arguments: Any) -> Iterator[Measure]:
        """Measure; the interrupt comes soon after the first case is done, however long that took."""
        for measure in measures(*arguments):
            yield measure
            timer.start()

    monkeypatch.setattr(bench, "measures", interrupted)
    before = set(threading.enumerate()) | {timer}
    start = time.monotonic()
    code, out, err = command("--seconds", "0.001")
    assert time.monotonic() - start < 30
    assert code == 1
    assert "interrupted" in err
    assert out.splitlines()[-1].startswith("S ")
    assert not [one for one in threading.enumerate() if one not in before and "ThreadPoolExecutor" in one.name]


# ---------------------------------------------------------------------------------------------------------- measuring


class Clockwork(NumpyBackend):
    """Computes nothing, and takes a microsecond per unit-update on a made-up clock."""

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
    """If the largest number of sets takes less than the time asked for, there are more steps."""
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
    """An exception in a block comes out, and the threads of other blocks stop instead of running for minutes."""

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
    """On a GPU the limit is the device's instructions divided by those of a unit-step; it needs no BLAS."""
    engine = OnGPU()
    case = dataclasses.replace(TINY[0], steps=2)
    (measure,) = bench.measures(engine, [case], 1e-6)
    each = bench.instructions(case.job())
    assert measure.limit == pytest.approx(emulated.Device.speed / each)
    assert measure.by == f"{each:.0f} instructions a unit-step"
    assert "2e+06 lane-instructions" in bench.explained(engine)


def test_multiply_adds_are_counted_on_all_threads() -> None:
    """The machine's rate is a possible number, whatever number of threads BLAS was given."""
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
