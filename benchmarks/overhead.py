"""Measure the cost of the engine: ``run`` into a store against the back end alone, and the fixed cost of a block.

    python benchmarks/overhead.py [--backend auto] [--seconds 20] [--repeats 3] [--output results/overhead-DATE.json]

Both take turns, so that a busy machine slows both equally. Medians are reported.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, M

import sweep
from sweep.backends.registry import choose, get_backend
from sweep.bench import header, seconds_of
from sweep.execution.plan import cores

HERE = Path(__file__).parent
#: Numbers of blocks of two runs. The difference of their times gives the cost of a block.
_FEW, _MANY = 50, 250


def overhead(case: Case, backend: str, seconds: float, repeats: int) -> dict[str, Any]:
    """Compare ``run`` into a store with the back end alone.

    Parameters
    ----------
    case : Case
        The case. Its number of steps is changed so that a measurement takes about ``seconds``.
    backend : str
        The back end of both.
    seconds : float
        About how long each measurement takes.
    repeats : int
        How often each of the two is measured.

    Returns
    -------
    dict
        The case, all times in seconds, and how many percent longer ``run`` took (of medians).
    """
    engine = get_backend(backend)
    threads = engine.concurrency(cores())
    engine.compile(case.job())
    # Twice, because the first time includes work that is done only once.
    once = min(seconds_of(engine, case.job(), threads) for _ in range(2))
    longer = dataclasses.replace(case, steps=max(1, round(case.steps * seconds / once)))
    job = longer.job()
    alone, through = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            alone.append(seconds_of(engine, job, threads))
            through.append(_timed(lambda i=i: sweep.run(job, Path(folder) / f"{i}.zarr", backend=backend)))
    return {
        "case": dataclasses.asdict(longer),
        "blocks": len(job.blocks),
        "threads": threads,
        "back_end_alone_s": alone,
        "run_s": through,
        "overhead_percent": 100 * (statistics.median(through) / statistics.median(alone) - 1),
    }


def per_block(backend: str, repeats: int) -> list[float]:
    """Return the fixed cost of a block in ms: the slope from few to many blocks, each with almost no work."""

    def run(blocks: int) -> float:
        job = sweep.Job(
            model=sweep.Model(units=1),
            integration=sweep.Integration(dt=1.0, duration=1.0),
            design=sweep.grid(gain=np.arange(float(blocks))),
            observe=["r_final"],
            sets_per_block=1,
        )
        with tempfile.TemporaryDirectory() as folder:
            return _timed(lambda: sweep.run(job, Path(folder) / "small.zarr", backend=backend))

    # The first run includes imports and the compilation, so it is not counted.
    run(_FEW)
    return [1e3 * (run(_MANY) - run(_FEW)) / (_MANY - _FEW) for _ in range(repeats)]


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(found: dict[str, Any]) -> list[str]:
    """Return the results as lines of text."""
    whole, case = found["overhead"], found["overhead"]["case"]
    return [
        *(f"{name:<18}{value}" for name, value in found["about"].items()),
        f"{'case':<18}N = {case['units']}, {case['sets']:,} sets, {case['steps']:,} steps, {whole['blocks']} blocks",
        f"{'back end alone':<18}{statistics.median(whole['back_end_alone_s']):.2f} s on {whole['threads']} threads",
        f"{'run into a store':<18}{statistics.median(whole['run_s']):.2f} s",
        f"{'overhead':<18}{whole['overhead_percent']:.1f} %",
        f"{'fixed, per block':<18}{statistics.median(found['per_block_ms']):.1f} ms",
    ]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seconds", type=float, default=20.0, help="about how long a measurement takes")
    parser.add_argument("--repeats", type=int, default=3)
    today = datetime.date.today().isoformat()
    parser.add_argument("--output", type=Path, default=HERE / "results" / f"overhead-{today}.json")
    options = parser.parse_args()
    found = {
        "about": dict(header(choose(options.backend))),
        "per_block_ms": per_block(options.backend, options.repeats),
        "overhead": overhead(M, options.backend, options.seconds, options.repeats),
    }
    print("\n".join(table(found)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
