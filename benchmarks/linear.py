"""Measure whether the time of ``run`` into a store is linear in sets and steps, and its memory constant.

    python benchmarks/linear.py [--quick] [--backend auto] [--output results/linear-DATE.json]

Every point is measured in a fresh process, so that its peak of memory is its own; the kernels are compiled before. Stores
are made in a temporary directory (chosen by ``TMPDIR``) and removed. A PNG is written next to the JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

import sweep
from sweep.backends.registry import choose, get_backend
from sweep.bench import header, seconds_of
from sweep.execution.plan import cores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
#: Points with at least this many sets times steps are measured once, others three times.
_LONG = 2 * 10**8
#: Size of the blocks that do not grow with the number of sets. At 10**5 sets the job itself chooses about this size.
_FIXED_BLOCK = 50_000
_MIB = 2**20

Row = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One measurement: 10**power sets of two units, with the steps and the largest size of a block given."""

    power: int
    steps: int = 200
    sets_per_block: int | None = None

    @property
    def sets(self) -> int:
        """Number of sets."""
        return 10**self.power

    def job(self) -> sweep.Job:
        """Return the job: a grid of gain and both time constants, so that there are few labels."""
        gain, tau_s, tau_r = (10 ** ((self.power + more) // 3) for more in (2, 1, 0))
        return sweep.Job(
            model=sweep.Model(units=2, weights=sweep.gaussian(units=2, seed=1)),
            input=sweep.sine(frequency=5.0),
            design=sweep.grid(
                gain=np.linspace(0.5, 1.5, gain), tau_s=np.linspace(5, 20, tau_s), tau_r=np.linspace(3, 10, tau_r)
            ),
            integration=sweep.Integration(dt=1.0, duration=float(self.steps)),
            observe=["r_mean", "r_var", "r_final"],
            sets_per_block=self.sets_per_block,
        )


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    sets, fixed : sequence of int
        Numbers of sets as powers of ten, for blocks that the job chooses, and for blocks of a fixed size.
    steps : sequence of int
        Numbers of steps as powers of ten.
    steps_sets : int
        Number of sets, as a power of ten, with which the steps vary.
    repeats : int
        How often short points are measured.
    """

    sets: tuple[int, ...] = (3, 4, 5, 6, 7)
    fixed: tuple[int, ...] = (5, 6, 7)
    steps: tuple[int, ...] = (2, 3, 4, 5)
    steps_sets: int = 5
    repeats: int = 3

    def series(self) -> dict[str, list[Point]]:
        """Return three series of points, by the name of what varies in them."""
        return {
            "sets": [Point(power) for power in self.sets],
            "sets, fixed blocks": [Point(power, sets_per_block=_FIXED_BLOCK) for power in self.fixed],
            "steps": [Point(self.steps_sets, 10**power) for power in self.steps],
        }


#: A run of some minutes, and one of half a minute.
FULL, QUICK = Extent(), Extent(sets=(3, 4, 5, 6), fixed=(6,), steps=(2, 3), repeats=1)


# ------------------------------------------------------------------------------------------------------------ one point


def measure(point: Point, backend: str) -> Row:
    """Measure a point in this process, which must not have computed anything before.

    Returns
    -------
    dict
        In seconds: ``start_s`` (start of the process, with imports), ``run_s`` and ``alone_s`` (the back end alone). In MiB:
        the peak of memory ``before_mib`` the run and at its end, ``peak_mib``. Also ``store_bytes``, ``blocks`` and
        ``block_sets`` (sets of a block).
    """
    row: Row = {"start_s": time.time() - psutil.Process().create_time(), "before_mib": peak_bytes() / _MIB}
    job = point.job()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        sweep.run(job, Path(folder) / "linear.zarr", backend=backend)
        row |= {"run_s": time.perf_counter() - start, "peak_mib": peak_bytes() / _MIB}
        row["store_bytes"] = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    engine = get_backend(backend)
    row["alone_s"] = seconds_of(engine, job, engine.concurrency(cores()))
    return row | {"blocks": len(job.blocks), "block_sets": math.prod(job.blocks.shape)}


def peak_bytes() -> int:
    """Return the peak of this process's memory, in bytes.

    Processes that it starts are not counted. Threads compute all blocks, and the only process is a compiler that prints its
    version.
    """
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux it also counts the memory from before exec, which is the parent's.
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def fresh(point: Point, backend: str) -> Row:
    """Measure a point in a process of its own."""
    command = [sys.executable, __file__, "--backend", backend, "--point", json.dumps(dataclasses.asdict(point))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


# ------------------------------------------------------------------------------------------------------------ all points


def measure_all(
    extent: Extent, backend: str, one: Callable[[Point, str], Row], told: Callable[[str], None]
) -> dict[str, list[Row]]:
    """Measure all points, each by ``one``, and call ``told`` with each line of the table as soon as it is known."""
    # This compiles the kernels, so that no measurement has to.
    one(Point(1), backend)
    found: dict[str, list[Row]] = {}
    for name, points in extent.series().items():
        told(f"\n{name}\n{_TITLE}")
        found[name] = []
        for point in points:
            repeats = 1 if point.sets * point.steps >= _LONG else extent.repeats
            rows = [one(point, backend) for _ in range(repeats)]
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            row = {"sets": point.sets, "steps": point.steps, "repeats": repeats, **middle}
            found[name].append(row)
            told(_line(row))
        told(summary(found[name], "steps" if name == "steps" else "sets"))
    return found


_TITLE = f"{'sets':>11} {'steps':>8} {'blocks':>7} {'run s':>8} {'alone s':>8} {'start s':>8} {'peak MiB':>9} {'store MB':>9}"


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['sets']:>11,} {row['steps']:>8,} {row['blocks']:>7,.0f} {row['run_s']:>8.2f} {row['alone_s']:>8.2f} "
        f"{row['start_s']:>8.2f} {row['peak_mib']:>9.0f} {row['store_bytes'] / 1e6:>9.2f}"
    )


@dataclass(frozen=True)
class Line:
    """A line of seconds over size: a fixed cost plus a cost per set (or step)."""

    fixed: float
    each: float

    @classmethod
    def through(cls, rows: Iterable[Mapping[str, Any]], along: str) -> Line:
        """Return the line through the first and the last row."""
        first, *_, last = rows
        each = (last["run_s"] - first["run_s"]) / (last[along] - first[along])
        return cls(fixed=first["run_s"] - each * first[along], each=each)

    def at(self, number: float) -> float:
        """Return the seconds at a size, from the line."""
        return self.fixed + self.each * number


def summary(rows: list[Row], along: str) -> str:
    """Return a sentence with the line through the smallest and the largest size, and how far the others are off it."""
    if len(rows) < 2:
        return ""
    line = Line.through(rows, along)
    off = ", ".join(f"{100 * (row['run_s'] / line.at(row[along]) - 1):+.0f} %" for row in rows[1:-1])
    more = rows[-1]["peak_mib"] - rows[0]["peak_mib"]
    return (
        f"{line.fixed:.2f} s, and {1e6 * line.each:.3g} s for a million {along}{f'; between, {off}' if off else ''}; "
        f"memory {more:+.0f} MiB"
    )


# -------------------------------------------------------------------------------------------------------------- drawing

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "0.45"


def draw(found: Mapping[str, list[Row]]) -> Figure:
    """Return a figure of the seconds and the peak memory over the number of sets."""
    # Imported here, because otherwise it would count in every process that measures.
    from matplotlib.figure import Figure

    own, fixed = found["sets"], found["sets, fixed blocks"]
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    sets = [row["sets"] for row in own]
    last = own[-1]
    seconds.plot(sets, [row["run_s"] for row in own], "o-", color=_BLUE, label="run into a store")
    seconds.plot(sets, [row["alone_s"] for row in own], "s-", color=_ORANGE, ms=5, label="back end alone")
    proportional = [n * last["run_s"] / last["sets"] for n in sets]
    seconds.plot(sets, proportional, "--", color=_GREY, lw=1, zorder=1, label="in proportion to the largest")
    seconds.set(xscale="log", yscale="log", xlabel="sets", ylabel="seconds")
    seconds.set_title(f"Time, {last['steps']} steps of 2 units", loc="left", fontsize="medium")
    memory.plot(sets, [row["peak_mib"] for row in own], "o-", color=_BLUE, label="blocks as the job chooses them")
    memory.plot(
        [row["sets"] for row in fixed],
        [row["peak_mib"] for row in fixed],
        "s-",
        color=_ORANGE,
        ms=5,
        label=f"blocks of {_FIXED_BLOCK:,} sets",
    )
    before = statistics.median(row["before_mib"] for row in own)
    memory.axhline(before, color=_GREY, lw=1, ls="--", label="before the run: Python and imports")
    most = max(row["peak_mib"] for row in (*own, *fixed))
    memory.set(xscale="log", ylim=(0, 1.35 * most), xlabel="sets", ylabel="peak memory, MiB")
    memory.set_title("Memory", loc="left", fontsize="medium")
    for axes in (seconds, memory):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9", lw=0.6)
        axes.legend(frameon=False, loc="upper left", fontsize="small")
    return figure


def main() -> None:
    """Measure, print a table, write JSON and a PNG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--backend", default="auto")
    today = datetime.date.today().isoformat()
    parser.add_argument("--output", type=Path, default=HERE / "results" / f"linear-{today}.json")
    parser.add_argument("--point", help="only measure one point, given as JSON (used for fresh processes)")
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(Point(**json.loads(options.point)), options.backend)))
        return
    about = dict(header(choose(options.backend)))
    print("\n".join(f"{name:<12}{value}" for name, value in about.items()))
    found = measure_all(QUICK if options.quick else FULL, options.backend, fresh, lambda text: print(text, flush=True))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    told = {"about": about, "quick": options.quick, "series": found}
    options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    picture = options.output.with_suffix(".png")
    draw(found).savefig(picture, dpi=150)
    print(f"written: {options.output} and {picture}")


if __name__ == "__main__":
    main()
