"""Measure how fast a GPU is in every regime, against the bound by its instructions and against other libraries.

    python benchmarks/gpu.py [--quick] [--output results/gpu-DATE.json]

This needs CuPy, NumPy and a CUDA device; the other dependencies of tausweep may be missing. JAX is measured too if it finds
the GPU. A run takes some minutes, with --quick about one. The file is written again after every part, so that nothing is lost
if the run is stopped. Without a device the reason is printed, and the exit code is 0.

Every case is timed with some number of steps and with half as many. The steady rate is the slope between the two. The rest is
what a call spends once on laying out parameters and copying back results; it is reported as seconds per call. All times are
medians.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def make_importable() -> None:
    """Let modules of the package be imported even if some dependencies of the package are missing."""
    try:
        importlib.import_module("sweep")
    except ModuleNotFoundError:
        for name in [name for name in sys.modules if name.split(".")[0] == "sweep"]:
            del sys.modules[name]
        bare = types.ModuleType("sweep")
        bare.__path__ = [str(ROOT / "sweep")]
        sys.modules["sweep"] = bare


sys.path[:0] = [str(HERE), str(ROOT)]
make_importable()

from cases import REGIMES, Case, Regime, S, bound, kernels_digest
from gpu_peers import peers

from sweep.backends.protocol import Backend
from sweep.bench import seconds_of

COUNTS = HERE / "results" / "instructions.json"
#: The largest number of steps of a measurement, and of bytes of its results.
_MOST_STEPS, _MOST_BYTES = 2**21, 2**30
_CAPABILITIES = {"80": "sm_80", "90": "sm_90", "100": "sm_100", "120": "sm_120"}


@dataclass(frozen=True)
class Budget:
    """How long a measurement takes, how often it is repeated, and how many steps it starts with."""

    seconds: float = 0.4
    repeats: int = 3
    first_steps: int = 1024


@dataclass(frozen=True)
class Machine:
    """What limits a device.

    Attributes
    ----------
    speed : float
        Lane-instructions per second, at the highest clock.
    special, double : float
        How many times longer than other instructions a special function, and an operation in double precision, takes.
    counts : dict
        Instructions per unit-step on this device, by regime, from ``results/instructions.json``.
    """

    speed: float
    special: float = 8.0
    double: float = 2.0
    counts: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def bound(self, regime: str) -> tuple[float | None, str]:
        """Return the unit-updates per second that a regime cannot exceed, and what limits it."""
        if regime not in self.counts:
            return None, "not counted for this device"
        return bound(self.counts[regime], self.speed, self.special, self.double)


def counts(architecture: str) -> tuple[dict[str, dict[str, float]], str]:
    """Return the counts for an architecture, and a warning if something is wrong with them (else an empty string)."""
    if not COUNTS.exists():
        return {}, f"{COUNTS.name} is missing: run benchmarks/instructions.py first"
    told = json.loads(COUNTS.read_text(encoding="utf-8"))
    own = {name: row[architecture] for name, row in told["regimes"].items() if architecture in row}
    if kernels_digest() != told["kernels_sha256"]:
        return own, f"{COUNTS.name} was counted with other kernels: the bounds may be wrong"
    return own, "" if own else f"{COUNTS.name} has nothing for {architecture}"


# ----------------------------------------------------------------------------------------------------------- measuring


def median_seconds(engine: Backend, case: Case, repeats: int, blocks: int | None = 1, threads: int = 1) -> float:
    """Return how long all steps of a case take."""
    job = case.job(blocks)
    engine.compile(job)
    return statistics.median(seconds_of(engine, job, threads) for _ in range(repeats))


def steady(engine: Backend, case: Case, budget: Budget) -> dict[str, float]:
    """Measure a case, with as many steps as fill the time in the budget.

    Returns
    -------
    dict of str to float
        Unit-updates per second, ``steady`` and ``end_to_end``; ``per_call_s``; the sets, the steps and the seconds.
    """
    step_bytes = max(
        1, case.sets * (_with(case, 1000).job().bytes_per_set - _with(case, 500).job().bytes_per_set) // 500
    )
    most = max(2 * budget.first_steps, min(_MOST_STEPS, _MOST_BYTES // step_bytes) // 2 * 2)
    median_seconds(engine, _with(case, budget.first_steps), 1)
    least = median_seconds(engine, _with(case, budget.first_steps), 1)
    steps = 2 * budget.first_steps
    while True:
        more = median_seconds(engine, _with(case, steps), 1) - least
        if more >= budget.seconds / 2 or steps >= most:
            break
        factor = min(16.0, max(2.0, budget.seconds / max(more, 1e-6)))
        # An even number, because half as many steps are measured too.
        steps = min(most, round(steps * factor)) // 2 * 2
    whole, half = _with(case, steps), _with(case, steps // 2)
    taken: dict[int, list[float]] = {whole.steps: [], half.steps: []}
    for _ in range(budget.repeats):
        for one in (whole, half):
            taken[one.steps].append(median_seconds(engine, one, 1))
    long, short = statistics.median(taken[whole.steps]), statistics.median(taken[half.steps])
    slope = max(long - short, 1e-9)
    return {
        "sets": case.sets,
        "steps": whole.steps,
        "seconds": long,
        "steady": (whole.updates - half.updates) / slope,
        "end_to_end": whole.updates / long,
        "per_call_s": max(0.0, long - slope * whole.steps / (whole.steps - half.steps)),
    }


def _with(case: Case, steps: int) -> Case:
    return dataclasses.replace(case, steps=steps)


def regimes(engine: Backend, machine: Machine, chosen: dict[str, Regime], budget: Budget) -> dict[str, Any]:
    """Measure one regime after the other, and compare each with its bound."""
    rows: dict[str, Any] = {}
    print(f"\n{'regime':<36}{'sets':>9}{'steps':>9}{'10^9/s':>10}{'bound':>10}{'%':>6}   per call, ms")
    for name, regime in chosen.items():
        found: dict[str, Any] = dict(steady(engine, regime, budget))
        most, by = machine.bound(name)
        found |= {"bound": most, "by": by, "share": None if most is None else found["steady"] / most}
        found["method"] = engine.describe(dataclasses.replace(regime, sets=2).job())
        rows[name] = found
        limit, share = ("-", "-") if most is None else (f"{most / 1e9:.1f}", f"{100 * found['share']:.1f}")
        print(
            f"{name:<36}{found['sets']:>9,}{found['steps']:>9,}{found['steady'] / 1e9:>10.2f}{limit:>10}{share:>6}"
            f"   {1e3 * found['per_call_s']:.2f}",
            flush=True,
        )
    return rows


def saturation(engine: Backend, budget: Budget, most: dict[int, int]) -> dict[str, Any]:
    """Measure how the rate grows with the number of sets, for several numbers of units."""
    rows: dict[str, Any] = {}
    for units, largest in most.items():
        sets = 100
        while sets <= largest:
            regime = Regime(f"N = {units}, {sets} sets", units=units, sets=sets, steps=1000)
            rows[regime.name] = steady(engine, regime, budget)
            told = rows[regime.name]
            print(
                f"saturation: {regime.name:<28}{told['steady'] / 1e9:>10.2f} steady{told['end_to_end'] / 1e9:>10.2f} end to end"
            )
            sets *= 10
    return rows


def overlap(engine: Backend, case: Case, budget: Budget, steps: tuple[int, ...]) -> dict[str, Any]:
    """Measure how much a second thread gains and how much blocks cost, for several numbers of steps of a case."""
    rows: dict[str, Any] = {}
    for each in steps:
        one = _with(case, each)
        layouts: dict[str, tuple[int | None, int]] = {
            "one block": (1, 1),
            "8 blocks, one thread": (8, 1),
            "8 blocks, two threads": (8, 2),
            "the job's own blocks, two threads": (None, 2),
        }
        for name, (blocks, threads) in layouts.items():
            taken = median_seconds(engine, one, budget.repeats, blocks, threads)
            rows[f"{each} steps, {name}"] = {
                "seconds": taken,
                "rate": one.updates / taken,
                "blocks": len(one.job(blocks).blocks),
            }
            print(f"overlap: {each} steps, {name:<36}{taken:8.3f} s{one.updates / taken / 1e9:>10.2f}", flush=True)
    return rows


# -------------------------------------------------------------------------------------------------------- first results


def first_result(engine: Callable[[], Backend]) -> dict[str, float]:
    """Make a back end and two results in this process, and return how many seconds each took."""
    start = time.perf_counter()
    backend = engine()
    seconds = {"back_end_s": time.perf_counter() - start}
    job = dataclasses.replace(S, sets=1000, steps=100).job(1)
    for which in ("first", "second"):
        start = time.perf_counter()
        backend.compile(job)
        seconds_of(backend, job, 1)
        seconds[f"{which}_result_s"] = time.perf_counter() - start
    return seconds


def from_nothing() -> dict[str, Any]:
    """Time a fresh process from its start to its first result, first with an empty cache and then with all compiled."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("cold", "warm"):
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, "--first-result"],
                env={**os.environ, "CUPY_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=False,
            )
            whole = time.perf_counter() - start
            if done.returncode:
                return {"failed": done.stderr[-2000:]}
            told[name] = {"process_s": whole, **json.loads(done.stdout.splitlines()[-1])}
            print(f"first result, {name}: {told[name]}", flush=True)
    return told


# --------------------------------------------------------------------------------------------------------------- device


def describe_device() -> dict[str, Any]:
    """Return the properties of the device and the versions of the software."""
    import cupy

    from sweep.backends.cupy import device_name, version

    attributes = cupy.cuda.Device().attributes
    names = ("MultiProcessorCount", "ClockRate", "L2CacheSize", "SingleToDoublePrecisionPerfRatio")
    return {
        "device": device_name(),
        "compute_capability": cupy.cuda.Device().compute_capability,
        "software": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "nvidia_smi": _smi("name,driver_version,clocks.max.sm,clocks.sm,power.limit,temperature.gpu"),
        **{name: attributes.get(name) for name in names},
    }


def clock_at_work(engine: Backend, case: Case) -> str:
    """Return the clock and the power that ``nvidia-smi`` reports while the device computes."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(median_seconds, engine, case, 1)
        told = ""
        while not running.done():
            told = _smi("clocks.sm,power.draw,temperature.gpu") or told
            time.sleep(0.05)
        running.result()
    return told


def _smi(what: str) -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    asked = [command, f"--query-gpu={what}", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


# ----------------------------------------------------------------------------------------------------------------- all


@dataclass(frozen=True)
class Extent:
    """Which cases are measured, and how long."""

    budget: Budget
    regimes: dict[str, Regime]
    saturation: dict[int, int]
    overlap: Case
    overlap_steps: tuple[int, ...]
    peers: dict[str, Case]


def everything() -> Extent:
    """Return the extent of a run of some minutes."""
    return Extent(
        budget=Budget(),
        regimes=REGIMES,
        saturation={2: 10**7, 32: 10**6},
        overlap=Case("overlap", units=2, sets=2**20, steps=1000),
        overlap_steps=(1000, 10_000, 100_000),
        peers={
            f"N = {units}": Case(f"N = {units}", units=units, sets=2**22 // units, steps=500)
            for units in (2, 32, 128, 512)
        },
    )


def quick() -> Extent:
    """Return the extent of a run of about a minute."""
    whole = everything()
    names = [f"N = {units}, {kind}" for units in (1, 8, 32, 128) for kind in ("tanh", "relu")]
    names += ["N = 512, tanh", "N = 2, noise", "N = 16, 64 networks", "N = 1, 11 lags"]
    return dataclasses.replace(
        whole,
        budget=Budget(seconds=0.1),
        regimes={name: REGIMES[name] for name in names},
        saturation={2: 10**6},
        overlap_steps=(1000,),
        peers={name: whole.peers[name] for name in ("N = 2", "N = 32")},
    )


def measure_all(
    engine: Backend, machine: Machine, extent: Extent, keep: Callable[[dict[str, Any]], None], about: dict[str, Any]
) -> dict[str, Any]:
    """Measure one part after the other, and call ``keep`` with all results so far after each."""
    result = dict(about)
    parts: dict[str, Callable[[], Any]] = {
        "clock_at_work": lambda: clock_at_work(engine, _with(extent.overlap, extent.overlap_steps[-1])),
        "regimes": lambda: regimes(engine, machine, extent.regimes, extent.budget),
        "overlap": lambda: overlap(engine, extent.overlap, extent.budget, extent.overlap_steps),
        "peers": lambda: peers(extent.peers, engine, extent.budget.repeats),
        "saturation": lambda: saturation(engine, extent.budget, extent.saturation),
    }
    for name, part in parts.items():
        start = time.perf_counter()
        result[name] = part()
        result.setdefault("part_seconds", {})[name] = round(time.perf_counter() - start, 1)
        keep(result)
    return result


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results" / f"gpu-{datetime.date.today().isoformat()}.json"
    )
    parser.add_argument("--first-result", action="store_true", help="only time the first results, for a fresh process")
    options = parser.parse_args()
    from sweep.backends.compiled.backend import KernelBackend
    from sweep.backends.cupy import CupyDevice, why_not

    if why := why_not():
        print(f"nothing measured: {why}")
        return
    if options.first_result:
        print(json.dumps(first_result(lambda: KernelBackend("cupy", CupyDevice()))))
        return
    device = CupyDevice()
    about = {
        "date": datetime.date.today().isoformat(),
        "quick": options.quick,
        "kernels_sha256": kernels_digest(),
        **describe_device(),
    }
    own, doubt = counts(_CAPABILITIES.get(about["compute_capability"], ""))
    ratio = float(about["SingleToDoublePrecisionPerfRatio"] or 2)
    machine = Machine(speed=device.speed, double=ratio, counts=own)
    about |= {"lane_instructions_per_s": device.speed, "counts_doubt": doubt}
    print(json.dumps(about, indent=1))

    def keep(result: dict[str, Any]) -> None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    about["first_result"] = from_nothing()
    keep(about)
    measure_all(KernelBackend("cupy", device), machine, quick() if options.quick else everything(), keep, about)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
