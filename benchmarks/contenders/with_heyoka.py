"""heyoka.py: a compiled function (``cfunc``) of one or several Euler steps of all sets.

heyoka's own integrators, batches and ensembles use Taylor series of high order and choose their own steps. They solve the
equations in continuous time, and so give other numbers than steps of dt, which would fail the comparison; and a rate of
unit-steps has no meaning for them. So they are not used. A compiled function in float32, with fast maths, over all sets and
cores, computes exactly an Euler step.
It is used for up to 32 units; for more it takes minutes to compile. It cannot draw noise, and it cannot keep the rates of every
step, which a comparison with a target needs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import heyoka
import numpy as np

from contenders.problem import Outcome, Problem, Run, Unsuited, fastest, moments

_MOST_UNITS = 32


def make(problem: Problem) -> Run:
    """Return the fastest form."""
    if problem.noise_scale is not None or problem.only_correlation:
        raise Unsuited("a compiled function draws no noise and multiplies no matrices")
    if problem.units > _MOST_UNITS or problem.own_weights:
        raise Unsuited("it takes too long to compile")
    lengths = [1] if problem.units > 2 else [1, 2, 5]
    return fastest({f"{n} steps": partial(_make, problem, n) for n in lengths})


def _make(problem: Problem, length: int) -> Run:
    units, sets, steps, every = problem.units, problem.sets, problem.steps, problem.every
    assert problem.weights is not None
    if steps % length or (every and every % length):
        raise ValueError(f"{length} steps do not divide {steps}")
    names = [f"{kind}{i}" for kind in ("x", "r", "t", "s") for i in range(units)]
    variables = heyoka.make_vars(*names)
    x, r, total, squares = (list(variables[i * units : (i + 1) * units]) for i in range(4))
    gain, alpha_s, alpha_r, *inputs = (heyoka.par[i] for i in range(3 + length))
    weights = problem.weights
    for now in inputs:
        h = [heyoka.sum([w * each for w, each in zip(row, r, strict=True)]) for row in weights]
        x = [a + alpha_s * (gain * b + now - a) for a, b in zip(x, h, strict=True)]
        r = [a + alpha_r * (heyoka.tanh(b) - a) for a, b in zip(r, x, strict=True)]
        total = [a + b for a, b in zip(total, r, strict=True)]
        squares = [a + b * b for a, b in zip(squares, r, strict=True)]
    step: Any = heyoka.cfunc(
        [*x, *r, *total, *squares], vars=variables, fp_type=np.float32, fast_math=True, compact_mode=units > 8
    )

    def run() -> Outcome:
        state, after = np.zeros((4 * units, sets), np.float32), np.empty((4 * units, sets), np.float32)
        values = np.empty((3 + length, sets), np.float32)
        values[:3] = problem.gain, problem.alpha_s, problem.alpha_r
        records = []
        for t in range(0, steps, length):
            values[3:] = problem.u[t : t + length, None]
            step(state, outputs=after, pars=values)
            state, after = after, state
            if every and (t + length) % every == 0:
                records.append(state[units : 2 * units].copy())
        _, r, total, squares = state.reshape(4, units, sets)
        found = moments(total / steps, squares / steps, r)
        found = {name: np.ascontiguousarray(value.T) for name, value in found.items()}
        return found | ({"record": np.ascontiguousarray(np.stack(records).transpose(2, 0, 1))} if every else {})

    return run
