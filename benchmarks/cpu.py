"""The CPU back ends against the plain loop and, where they are installed, JAX and PyTorch; and the engine's overhead.

    python benchmarks/cpu.py [--repeats 5] [--output results/cpu.json]

All contenders take turns within one run, so that a busy machine slows them alike; medians are reported.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, L, M, S, plain_numpy

import sweep
from sweep.backends import get_backend, probe


def simulate(case: Case, backend: str) -> Any:
    """Run a case through the public interface, with all cores."""
    return sweep.simulate(case.job(), backend=backend)


def with_jax(case: Case) -> Callable[[], Any]:
    """Return the case in JAX's best form, compiled: jit(vmap(scan))."""
    import jax
    import jax.numpy as jnp

    weights = jnp.asarray(case.weights(), jnp.float32)
    u = jnp.sin(2 * jnp.pi * 5.0 * jnp.arange(case.steps) / 1000).astype(jnp.float32)
    values = {name: jnp.asarray(value, jnp.float32) for name, value in case.values().items()}

    def one(gain: Any, tau_s: Any, tau_r: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            x, r, total, squares = state
            x = x + (gain * (weights @ r) + now - x) / tau_s
            r = r + (jnp.tanh(x) - r) / tau_r
            return (x, r, total + r, squares + r * r), None

        zero = jnp.zeros(case.units, jnp.float32)
        (_, r, total, squares), _ = jax.lax.scan(step, (zero, zero, zero, zero), u)
        mean = total / case.steps
        return mean, squares / case.steps - mean**2, r

    compiled = jax.jit(jax.vmap(one))

    def run() -> Any:
        return jax.block_until_ready(compiled(**values))

    run()
    return run


def with_torch(case: Case) -> Callable[[], Any]:
    """Return the case in PyTorch, eager, all sets at once."""
    import torch

    weights = torch.tensor(case.weights(), dtype=torch.float32)
    u = np.sin(2 * np.pi * 5.0 * np.arange(case.steps) / 1000).astype(np.float32)
    values = {name: torch.tensor(value, dtype=torch.float32)[:, None] for name, value in case.values().items()}

    def run() -> Any:
        gain, alpha_s, alpha_r = values["gain"], 1 / values["tau_s"], 1 / values["tau_r"]
        x = torch.zeros(case.sets, case.units)
        r, total, squares = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        with torch.inference_mode():
            for now in u:
                x += alpha_s * (gain * (r @ weights.T) + float(now) - x)
                r += alpha_r * (torch.tanh(x) - r)
                total += r
                squares += r * r
        mean = total / case.steps
        return mean, squares / case.steps - mean**2, r

    return run


def limits() -> dict[str, float]:
    """Measure what bounds a NumPy back end here, on one core: ns per element of the operations it is made of."""
    n = 2**16
    a, b = (np.random.default_rng(i).normal(size=n).astype(np.float32) for i in range(2))
    out = np.empty_like(a)
    w, columns = np.eye(32, dtype=np.float32), np.ones((32, 2048), np.float32)
    product = np.empty_like(columns)
    return {
        name: 1e9 / n * min(_timed(lambda work=operation: [work() for _ in range(100)]) / 100 for _ in range(5))
        for name, operation in {
            "add": lambda: np.add(a, b, out=out),
            "tanh": lambda: np.tanh(a, out=out),
            "W r, N = 32": lambda: np.matmul(w, columns, out=product),
        }.items()
    }


def overhead(seconds: float, repeats: int) -> dict[str, float]:
    """Compare ``run`` into a store with the back end alone, for a job of about so many seconds."""
    plan = sweep.plan(M.job(), "numpy")
    duration = round(M.steps * seconds / plan.seconds)
    case = Case("M, longer", M.units, M.sets, duration)
    job = case.job()
    backend = get_backend("numpy")
    alone, through = [], []
    with tempfile.TemporaryDirectory() as folder:

        def by_itself() -> None:
            with ThreadPoolExecutor(plan.threads) as pool:
                list(pool.map(lambda block: backend.simulate(job, job.parameters(block)), job.blocks))

        for i in range(repeats):
            alone.append(_timed(by_itself))
            through.append(_timed(lambda i=i: sweep.run(job, Path(folder) / f"{i}.zarr", backend="numpy")))
    a, b = statistics.median(alone), statistics.median(through)
    return {
        "back_end_alone_s": a,
        "run_s": b,
        "overhead_percent": 100 * (b / a - 1),
        "per_block_ms": 1e3 * per_block(repeats),
    }


def per_block(repeats: int) -> float:
    """Return the seconds that a block costs by itself: the slope from 50 to 250 blocks of next to no work."""

    def run(blocks: int) -> float:
        job = sweep.Job(
            model=sweep.Model(units=1),
            integration=sweep.Integration(dt=1.0, duration=1.0),
            design=sweep.grid(gain=np.arange(float(blocks))),
            observe=["r_final"],
            sets_per_block=1,
        )
        with tempfile.TemporaryDirectory() as folder:
            return _timed(lambda: sweep.run(job, Path(folder) / "small.zarr", backend="numpy"))

    run(50)
    slopes = [(run(250) - run(50)) / 200 for _ in range(repeats)]
    return statistics.median(slopes)


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--overhead-seconds", type=float, default=20.0, help="0: leave it out")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for case in (S, M, L):
        contenders: dict[str, Callable[[], Any]] = {
            "plain NumPy loop": lambda case=case: plain_numpy(case),
            "tausweep numpy": lambda case=case: simulate(case, "numpy"),
        }
        if any(found.name == "native" and found.works for found in probe()):
            simulate(case, "native")  # compiles
            contenders["tausweep native"] = lambda case=case: simulate(case, "native")
        if importlib.util.find_spec("jax"):
            contenders["JAX jit(vmap(scan))"] = with_jax(case)
        if importlib.util.find_spec("torch"):
            contenders["PyTorch eager"] = with_torch(case)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.repeats):
            for name, work in contenders.items():
                taken[name].append(_timed(work))
        rows[case.name] = {name: case.updates / statistics.median(times) / 1e9 for name, times in taken.items()}
        plain = rows[case.name]["plain NumPy loop"]
        print(f"{case.name}: N = {case.units}, {case.sets} sets, {case.steps} steps; 1e9 unit-updates per second")
        for name, rate in rows[case.name].items():
            print(f"    {name:<22}{rate:8.3f}   {rate / plain:5.2f} x plain", flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "platform": platform.platform()},
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("tausweep", "numpy", "jax", "torch")
            if importlib.util.find_spec(name if name != "tausweep" else "sweep")
        },
        "repeats": options.repeats,
        "unit_updates_per_ns": rows,
        "limits_ns_per_element": limits(),
        "overhead": overhead(options.overhead_seconds, 3) if options.overhead_seconds else None,
    }
    print(json.dumps({key: result[key] for key in ("limits_ns_per_element", "overhead")}, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _cpu() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
