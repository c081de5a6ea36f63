"""The scripts of ``benchmarks/`` that measure the engine's cost run, and their numbers agree with each other."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def linear(scripts: Callable[[str], ModuleType]) -> ModuleType:
    """Return the script that measures whether a run is linear."""
    return scripts("linear")


@pytest.mark.parametrize("power", range(9))
def test_grids_have_few_labels(linear: ModuleType, power: int) -> None:
    """Any power of ten is a grid of three axes, none longer than ten times another."""
    design = linear.Point(power).job().design
    assert design.size == linear.Point(power).sets == 10**power
    assert max(design.shape) <= 10 * min(design.shape)


def test_fixed_blocks_go_on_where_the_jobs_own_grow(linear: ModuleType) -> None:
    """The smallest point with fixed blocks has the blocks that the job would choose, the largest has smaller ones."""
    fixed = linear.FULL.series()["sets, fixed blocks"]
    given = [math.prod(point.job().blocks.shape) for point in fixed]
    own = [math.prod(linear.Point(point.power).job().blocks.shape) for point in fixed]
    assert own[0] == given[0]
    assert own[-1] > 10 * given[-1]
    assert len(set(given)) == 1


def test_a_fresh_process_has_its_own_peak(linear: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point is measured in another process, whose peak is not that of this one, and its store is removed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    held = b"x" * (320 * 2**20)
    row = linear.fresh(linear.Point(1, steps=2), "numpy")
    assert linear.peak_bytes() > len(held)
    assert 0 < row["before_mib"] <= row["peak_mib"] < 320
    assert (row["blocks"], row["block_sets"]) == (1, 10)
    assert min(row["start_s"], row["run_s"], row["alone_s"]) > 0
    assert row["store_bytes"] > 10 * 33
    # Dask keeps an empty folder of its own.
    assert {path.name for path in tmp_path.iterdir()} <= {"dask-scratch-space"}


class Clockwork:
    """Measures points with a made-up clock, 2 s and 3 µs per set-step, and made-up memory, 100 MiB and 10 B per set."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, point: Any, backend: str) -> dict[str, float]:
        self.calls.append(point)
        others = ("start_s", "alone_s", "store_bytes", "before_mib", "blocks", "block_sets")
        seconds, mib = 2 + 3e-6 * point.sets * point.steps, 100 + 10 * point.sets / 2**20
        return dict.fromkeys(others, 1.0) | {"run_s": seconds, "peak_mib": mib}


@pytest.fixture
def clockwork() -> Clockwork:
    """Return one that has not been called."""
    return Clockwork()


def test_short_points_are_repeated(linear: ModuleType, clockwork: Clockwork) -> None:
    """Long points are measured once, the others several times, and one more point comes first, to compile."""
    found = linear.measure_all(linear.FULL, "numpy", clockwork, lambda text: None)
    points = [point for series in linear.FULL.series().values() for point in series]
    assert clockwork.calls[0] not in points
    assert len(clockwork.calls) == 1 + sum(row["repeats"] for rows in found.values() for row in rows)
    assert {row["repeats"] for row in found["sets"] if row["sets"] < 10**6} == {3}
    assert {row["repeats"] for row in found["sets"] if row["sets"] >= 10**6} == {1}


def test_what_is_linear_is_found_to_be(linear: ModuleType, clockwork: Clockwork) -> None:
    """From a linear run follow the fixed cost and the cost of each set; points off the line are named."""
    told: list[str] = []
    found = linear.measure_all(linear.FULL, "numpy", clockwork, told.append)
    line = linear.Line.through(found["sets"], "sets")
    assert line.fixed == pytest.approx(2, rel=1e-3)
    assert line.each == pytest.approx(200 * 3e-6, rel=1e-3)
    assert "2.00 s, and 600 s for a million sets; between, +0 %, +0 %, +0 %; memory +95 MiB" in told
    assert any("a million steps" in text for text in told)
    found["sets"][2]["run_s"] *= 1.5
    assert "+0 %, +50 %, +0 %" in linear.summary(found["sets"], "sets")
    assert linear.summary(found["sets"][:1], "sets") == ""


def test_a_whole_run_leaves_numbers_and_a_picture(
    linear: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script measures, prints a row for each point, and writes JSON and a PNG of the points it tells of."""
    monkeypatch.setattr(linear, "QUICK", linear.Extent(sets=(0, 1), fixed=(1,), steps=(0, 1), steps_sets=1, repeats=1))
    monkeypatch.setattr(linear, "fresh", linear.measure)
    output = tmp_path / "new" / "linear.json"
    monkeypatch.setattr(sys, "argv", ["linear.py", "--quick", "--backend", "numpy", "--output", str(output)])
    linear.main()
    out = capsys.readouterr().out
    series = json.loads(output.read_text(encoding="utf-8"))["series"]
    assert [row["sets"] for row in series["sets"]] == [1, 10]
    assert [row["steps"] for row in series["steps"]] == [1, 10]
    rows = [line for line in out.splitlines() if line.strip()[:1].isdigit() and line.count(".") >= 4]
    assert len(rows) == sum(map(len, series.values())) == 5
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    seconds, memory = linear.draw(series).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in seconds.lines}
    assert drawn["run into a store"] == [[row["sets"], row["run_s"]] for row in series["sets"]]
    assert drawn["in proportion to the largest"][-1] == drawn["run into a store"][-1]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in memory.lines}
    assert drawn["blocks of 50,000 sets"] == [[row["sets"], row["peak_mib"]] for row in series["sets, fixed blocks"]]


def test_overhead_compares_the_same_work(scripts: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are chosen by time, both take turns as often as asked, and the percentage follows from the medians."""
    overhead = scripts("overhead")
    case, order = scripts("cases").Case("tiny", units=2, sets=8, steps=100), []

    def alone(engine: Any, job: Any, threads: int) -> float:
        order.append(("alone", job.integration.steps))
        return 1e-3 * job.integration.steps

    def through(job: Any, store: Path, *, backend: str) -> None:
        order.append((backend, job.integration.steps))

    monkeypatch.setattr(overhead, "seconds_of", alone)
    monkeypatch.setattr(overhead.sweep, "run", through)
    monkeypatch.setattr(overhead, "_timed", lambda work: (work(), 5.5)[1])
    found = overhead.overhead(case, "numpy", 5.0, 3)
    assert found["case"]["steps"] == 5000
    assert order[2:] == [("alone", 5000), ("numpy", 5000)] * 3
    assert found["overhead_percent"] == pytest.approx(10)


def test_overhead_runs_to_its_end(
    scripts: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script measures the back end it is given, prints medians, and writes all times as JSON."""
    overhead = scripts("overhead")
    monkeypatch.setattr(overhead, "M", scripts("cases").Case("tiny", units=2, sets=8, steps=10))
    monkeypatch.setattr(overhead, "_FEW", 1)
    monkeypatch.setattr(overhead, "_MANY", 3)
    output = tmp_path / "new" / "overhead.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["overhead.py", "--backend", "numpy", "--seconds", "0.01", "--repeats", "1", "--output", str(output)],
    )
    overhead.main()
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["about"]["back end"].startswith("numpy")
    assert len(found["per_block_ms"]) == len(found["overhead"]["run_s"]) == 1
    whole = found["overhead"]
    assert whole["overhead_percent"] == pytest.approx(100 * (whole["run_s"][0] / whole["back_end_alone_s"][0] - 1))
    out = capsys.readouterr().out
    assert f"{statistics.median(whole['run_s']):.2f} s" in out
    assert f"{whole['overhead_percent']:.1f} %" in out
