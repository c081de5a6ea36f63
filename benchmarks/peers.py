"""Compare tausweep's CPU back ends with every other way to simulate the same job, in one run.

    python benchmarks/peers.py [--repeats 5] [--rows S,M] [--only native,jax] [--quick] [--output results/peers-DATE.json]
    python benchmarks/peers.py --table results/peers-DATE.json

Every contender is given the same job as arrays (tausweep: as a job). It tries several ways to write the simulation, keeps the
fastest, and returns arrays on the host. Before it is timed, its results are compared with those of tausweep's NumPy back end;
if any are wrong, the exit code is 1. Then all contenders take turns, so that a busy machine slows all of them equally, and
medians are reported. The time to compile is reported separately. A library that is missing or fails is left out, with the reason.

    pip install jax diffrax torch numba heyoka nitime
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gc
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, L, M, Regime, S
from contenders import CONTENDERS, Contender
from contenders.problem import Outcome, Problem, Run, Unsuited
from limits import limits

import sweep
from sweep.bench import XL, processor
from sweep.execution.plan import cores

HERE = Path(__file__).resolve().parent
#: The largest differences allowed between results, which are float32 after hundreds of steps.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
#: The largest error allowed of an average over sets with noise, in standard errors.
_ERRORS = 6.0
#: Seconds to wait before each measurement, because the threads of some libraries spin for a while after their work.
_PAUSE = 0.2
#: A contender is not repeated any more once its repeats have taken this many seconds.
_MOST_SECONDS = 60.0
_REFERENCE = "numpy"


class Wrong(Exception):
    """A contender's results differ from the reference. The message says which, and by how much."""


# ------------------------------------------------------------------------------------------------------------- the rows

ROWS: dict[str, tuple[str, Case]] = {
    "S": ("N = 2", S),
    "M": ("N = 32", M),
    "L": ("N = 128", L),
    "N1": ("N = 1", Case("N1", units=1, sets=200_000, steps=1000)),
    "N8": ("N = 8", Case("N8", units=8, sets=16_384, steps=1000)),
    "N512": ("N = 512", XL),
    "noise": ("N = 32, noise", dataclasses.replace(M, name="noise", noise=0.1)),
    "record": ("N = 2, a record every 10 steps", Regime("record", units=2, sets=20_000, steps=1000, every=10)),
    "networks": ("N = 16, W of each set", Regime("networks", units=16, sets=4096, steps=1000, networks=4096)),
}
GRASSHOPPER = "grasshopper"
#: The job itself has 5100 ms, which would take the slower contenders a minute.
_GRASSHOPPER_MS = 1100.0


def jobs(quick: bool = False) -> dict[str, tuple[str, Callable[[], sweep.Job]]]:
    """Return, for every row, a title and a function that makes the job, in full or with a sixteenth of the sets."""

    def made(case: Case) -> Callable[[], sweep.Job]:
        if quick:
            fewer = max(32, case.sets // 16)
            networks = {"networks": fewer} if isinstance(case, Regime) and case.networks else {}
            case = dataclasses.replace(case, sets=fewer, **networks)
        return case.job

    return {name: (title, made(case)) for name, (title, case) in ROWS.items()} | {
        GRASSHOPPER: ("N = 1, a recording, 21 lags", lambda: grasshopper(_GRASSHOPPER_MS / (4 if quick else 1)))
    }


def grasshopper(duration: float) -> sweep.Job:
    """Return the job of ``recording.toml`` with the first ``duration`` ms of its recording."""
    job = sweep.load(HERE / "recording.toml")
    return dataclasses.replace(job, integration=dataclasses.replace(job.integration, duration=duration))


# ----------------------------------------------------------------------------------------------------------- the check


@dataclasses.dataclass(frozen=True)
class Reference:
    """The right results of a problem: those of the NumPy back end; with noise, for two seeds that no contender uses."""

    outcome: Outcome
    again: Outcome | None = None

    @classmethod
    def of(cls, problem: Problem) -> Reference:
        """Simulate a problem."""
        simulate, job = CONTENDERS[_REFERENCE].make, problem.job
        if problem.noise_scale is None:
            return cls(simulate(problem)())
        seeds = (job.seed + 1, job.seed + 2)
        return cls(*(simulate(Problem(dataclasses.replace(job, seed=seed)))() for seed in seeds))

    def check(self, found: Outcome) -> None:
        """Compare results with these. Raise Wrong if they differ by more than rounding or, with noise, by more than chance."""
        for name, right in self.outcome.items():
            value = found.get(name)
            if value is None or value.shape != right.shape or not isinstance(value, np.ndarray):
                shape = "missing" if value is None else f"of the shape {value.shape}"
                raise Wrong(f"{name} is {shape}, and should be an array of the shape {right.shape}")
            if value.dtype != np.float32 or not value.flags.c_contiguous:
                raise Wrong(f"{name} is {value.dtype}, and should be float32 in C order")
            if self.again is not None:
                _check_noise(name, value, right, self.again[name])
            elif not np.allclose(value, right, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True):
                worst = np.nanmax(np.abs(value.astype(np.float64) - right))
                raise Wrong(f"{name} is off by up to {worst:.2g}")


def _check_noise(name: str, value: np.ndarray, right: np.ndarray, again: np.ndarray) -> None:
    # All results of a set have the same parameters, so any difference between them is noise.
    difference, usual = value - right, again - right
    spread = difference.std(axis=0)
    off = np.abs(difference.mean(axis=0)) / (spread / np.sqrt(len(value)))
    if not off.max() < _ERRORS:
        raise Wrong(f"{name}: the average over sets is off by {off.max():.2g} standard errors")
    ratio, most = spread.mean() / usual.std(axis=0).mean(), max(0.05, _ERRORS / np.sqrt(len(value)))
    if not abs(ratio - 1) < most:
        raise Wrong(f"{name}: sets scatter {ratio:.2g} times as much as they should")


# ------------------------------------------------------------------------------------------------------- the measurement


def measure(job: sweep.Job, chosen: Iterable[Contender], repeats: int) -> dict[str, Any]:
    """Measure contenders, in turns, on a job.

    Returns
    -------
    dict
        The job's ``units``, ``sets`` and ``steps``. ``contenders`` has, by label, ``median_s``, ``times_s``,
        ``updates_per_ns``, ``first_s`` (the first run in seconds, with the compilation) and the ``form`` that was kept.
        ``left_out`` and ``wrong`` have the reason for each of the others, by label.
    """
    problems: dict[str, tuple[Problem, Reference]] = {}
    runs: dict[str, Run] = {}
    rows: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for contender in chosen:
        try:
            if contender.scheme not in problems:
                problem = Problem(_with_scheme(job, contender.scheme))
                problem.prepare()
                problems[contender.scheme] = problem, Reference.of(problem)
            problem, reference = problems[contender.scheme]
            start = time.perf_counter()
            run = contender.make(problem)
            outcome = run()
            first = time.perf_counter() - start
            reference.check(outcome)
        except Wrong as error:
            wrong[contender.label] = str(error)
        except Unsuited as error:
            left_out[contender.label] = str(error)
        except Exception as error:  # a library may be missing, or raise any exception
            left_out[contender.label] = f"{type(error).__name__}: {error}"[:500]
        else:
            runs[contender.label] = run
            rows[contender.label] = {"form": getattr(run, "form", ""), "first_s": getattr(run, "first", first)}
    taken: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(repeats):
        for label, run in runs.items():
            if sum(taken[label]) < _MOST_SECONDS:
                time.sleep(_PAUSE)
                taken[label].append(_seconds(run))
    updates = job.design.size * job.updates_per_set
    for label, times in taken.items():
        median = statistics.median(times)
        rows[label] |= {"median_s": median, "times_s": times, "updates_per_ns": updates / median / 1e9}
    size = {"units": job.model.units, "sets": job.design.size, "steps": job.integration.steps}
    return {**size, "contenders": rows, "left_out": left_out, "wrong": wrong}


def _seconds(run: Callable[[], Outcome]) -> float:
    # No garbage collection while the clock runs, as in timeit. With so many libraries in the process a collection takes longer
    # than some rows, and it could happen in anyone's turn.
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def _with_scheme(job: sweep.Job, scheme: str) -> sweep.Job:
    return dataclasses.replace(job, integration=dataclasses.replace(job.integration, scheme=scheme))


def about(repeats: int, quick: bool) -> dict[str, Any]:
    """Return the date, the machine and the versions of the measurement."""
    found = {one.package: one.version() for one in CONTENDERS.values()}
    for name in ("jaxlib", "llvmlite"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "machine": {"cpu": processor(), "cores": cores(), "platform": platform.platform()},
        "versions": {name: version for name, version in found.items() if version},
        "missing": sorted(name for name, version in found.items() if not version),
        "repeats": repeats,
        "quick": quick,
        "limits": limits(),
    }


# ------------------------------------------------------------------------------------------------------------- the tables


def lines(name: str, row: dict[str, Any]) -> Iterator[str]:
    """Yield the measurements of a row as lines of plain text."""
    yield f"{name}: {row['title']}; {row['sets']:,} sets, {row['steps']:,} steps"
    native = row["contenders"].get(CONTENDERS["native"].label)
    for label, own in row["contenders"].items():
        spread = f"{min(own['times_s']):.3f}-{max(own['times_s']):.3f} s"
        times = f"{native['median_s'] / own['median_s']:6.2f} x native" if native else ""
        yield (
            f"    {label:<18}{own['updates_per_ns']:8.3f}   {spread:<16}{times}   first {own['first_s']:.1f} s   {own['form']}"
        )
    for label, why in row["left_out"].items():
        yield f"    {label:<18}left out: {why.splitlines()[0]}"
    for label, why in row["wrong"].items():
        yield f"    {label:<18}WRONG: {why}"


def table(result: dict[str, Any]) -> Iterator[str]:
    """Yield the Markdown table of a result, in 10⁹ unit-updates per second, with the best peer in bold."""
    labels = [one.label for one in CONTENDERS.values()]
    own = {one.label for one in CONTENDERS.values() if one.ours}
    native = CONTENDERS["native"].label
    labels = [label for label in labels if any(label in row["contenders"] for row in result["rows"].values())]
    yield "| row | sets × steps | " + " | ".join(labels) + " | native ÷ best peer |"
    yield "|---|---|" + "---|" * (len(labels) + 1)
    for row in result["rows"].values():
        rates = {label: found["updates_per_ns"] for label, found in row["contenders"].items()}
        peers = {label: rate for label, rate in rates.items() if label not in own}
        best = max(peers, key=lambda label: peers[label], default="")
        cells = []
        for label in labels:
            cell = f"{rates[label]:.3f}" if label in rates else "wrong" if label in row["wrong"] else "–"
            cells.append(f"**{cell}**" if label == best else cell)
        ratio = f"{rates[native] / peers[best]:.2f}" if best and native in rates else "–"
        yield f"| {row['title']} | {row['sets']:,} × {row['steps']:,} | {' | '.join(cells)} | {ratio} |"


def _names(text: str, known: Iterable[str]) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(known)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return names


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows, contenders = list(jobs()), list(CONTENDERS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=lambda text: _names(text, rows), default=rows, help=", ".join(rows))
    parser.add_argument(
        "--only", type=lambda text: _names(text, contenders), default=contenders, help=", ".join(contenders)
    )
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the sets")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results" / f"peers-{datetime.date.today().isoformat()}.json"
    )
    parser.add_argument("--table", type=Path, metavar="FILE.json", help="only print the table of an earlier result")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(json.loads(options.table.read_text(encoding="utf-8")))))
        return
    result: dict[str, Any] = about(options.repeats, options.quick)
    print(json.dumps(result, indent=1))
    result["rows"] = {}
    made = jobs(options.quick)
    for name in options.rows:
        title, job = made[name]
        try:
            found = measure(job(), [CONTENDERS[which] for which in options.only], options.repeats)
        except sweep.SweepError as error:  # the package with the recording may be missing
            print(f"{name}: not measured: {error}")
            continue
        result["rows"][name] = {"title": title, **found}
        print("\n".join(lines(name, result["rows"][name])), flush=True)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(table(result)))
    if any(row["wrong"] for row in result["rows"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
