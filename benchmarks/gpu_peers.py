"""Other ways to simulate the same cases on a GPU: plain CuPy, and JAX."""

from __future__ import annotations

import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from cases import Case

from sweep.backends.protocol import Backend
from sweep.bench import seconds_of


def plain(xp: Any, case: Case, fused: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], Any]:
    """Return a function that simulates a case in plain NumPy or CuPy; ``fused`` may fuse the elementwise part of a step."""
    values = {name: xp.asarray(value, dtype=np.float32)[:, None] for name, value in case.values().items()}
    weights = xp.asarray(case.weights().T, dtype=np.float32)
    u = np.sin(2 * np.pi * 5.0 * np.arange(case.steps) / 1000).astype(np.float32)

    def advance(x: Any, r: Any, total: Any, squares: Any, h: Any, gain: Any, tau_s: Any, tau_r: Any, now: Any) -> Any:
        x = x + (gain * h + now - x) / tau_s
        r = r + (xp.tanh(x) - r) / tau_r
        return x, r, total + r, squares + r * r

    step = fused(advance)

    def run() -> tuple[np.ndarray, ...]:
        x = xp.zeros((case.sets, case.units), dtype=np.float32)
        r, total, squares = xp.zeros_like(x), xp.zeros_like(x), xp.zeros_like(x)
        for now in u:
            x, r, total, squares = step(x, r, total, squares, r @ weights, *values.values(), now)
        mean = total / case.steps
        return tuple(value if xp is np else value.get() for value in (mean, squares / case.steps - mean**2, r))

    return run


def peers(cases: dict[str, Case], engine: Backend, repeats: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure the back end, plain CuPy and JAX in turns on the same cases, until the results are on the host.

    Returns
    -------
    dict
        Unit-updates per second, by case and contender.
    dict of str to str
        Why contenders are missing, by name.
    """
    missing: dict[str, str] = {}
    rows: dict[str, Any] = {}
    cupy = _if_importable("cupy", missing)
    if why := jax_missing():
        missing["jax"] = why
    for name, case in cases.items():
        threads = engine.concurrency(os.cpu_count() or 1)
        job = case.job(2 * threads)
        engine.compile(job)
        contenders: dict[str, Callable[[], Any]] = {"tausweep": partial(seconds_of, engine, job, threads)}
        others: dict[str, Callable[[], Callable[[], Any]]] = {}
        if cupy is not None:
            others["plain CuPy"] = partial(plain, cupy, case, lambda f: f)
            others["plain CuPy, fused"] = partial(plain, cupy, case, cupy.fuse)
        if not why:
            others["JAX jit(vmap(scan))"] = partial(_with_jax, case)
        for contender, make in others.items():
            try:
                contenders[contender] = make()
                contenders[contender]()  # compiles
            except Exception as error:  # a library may raise any exception, for instance at its limits
                missing[f"{contender}, {name}"] = f"{type(error).__name__}: {error}"[:300]
                contenders.pop(contender, None)
        taken: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(repeats):
            for contender, work in contenders.items():
                start = time.perf_counter()
                work()
                taken[contender].append(time.perf_counter() - start)
        rows[name] = {contender: case.updates / statistics.median(times) for contender, times in taken.items()}
        for contender, rate in rows[name].items():
            print(f"peers: {name}, {contender:<24}{rate / 1e9:>10.3f}", flush=True)
    for who, reason in missing.items():
        print(f"peers: no {who}: {reason}")
    return rows, missing


def _with_jax(case: Case) -> Callable[[], Any]:
    from contenders.problem import Problem
    from contenders.with_jax import textbook

    return textbook(Problem(case.job()))


def _if_importable(name: str, missing: dict[str, str]) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken installation raises anything
        missing[name] = f"{type(error).__name__}: {error}"
        return None


def jax_missing() -> str:
    """Return why JAX cannot take part; empty if it can."""
    if importlib.util.find_spec("jax") is None:
        return "not installed"
    # Otherwise JAX reserves most of the memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import jax

        found = jax.default_backend()
    except Exception as error:  # a broken installation raises anything
        return f"{type(error).__name__}: {error}"[:300]
    return "" if found == "gpu" else f"it finds no GPU here and uses the {found}"
