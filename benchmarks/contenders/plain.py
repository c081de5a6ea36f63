"""Plain NumPy, as one would write it without tausweep: all sets at once, one line for each equation."""

from __future__ import annotations

import numpy as np

from contenders.problem import Outcome, Problem, Run, moments

_STEPS = 500


def make(problem: Problem) -> Run:
    """Return the function that runs the loop."""
    return lambda: _correlations(problem) if problem.only_correlation else _statistics(problem)


def _statistics(problem: Problem) -> Outcome:
    gain, alpha_s, alpha_r = (value[:, None] for value in (problem.gain, problem.alpha_s, problem.alpha_r))
    weights, u, scale = problem.weights, problem.u, problem.noise_scale
    rng = np.random.default_rng(0)
    x = np.zeros((problem.sets, problem.units), np.float32)
    r, total, squares = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    records = []
    for t in range(problem.steps):
        h = (weights @ r[:, :, None])[:, :, 0] if problem.own_weights else r @ weights.T
        x = x + alpha_s * (gain * h + u[t] - x)
        if scale is not None:
            x += scale[:, None] * rng.standard_normal(x.shape, dtype=np.float32)
        r = r + alpha_r * (np.tanh(x) - r)
        total += r
        squares += r * r
        if problem.every and (t + 1) % problem.every == 0:
            records.append(r)
    found = moments(total / problem.steps, squares / problem.steps, r)
    return found | ({"record": np.stack(records, axis=1)} if records else {})


def _correlations(problem: Problem) -> Outcome:
    # The sums over the steps are computed as products of matrices, some hundred steps at a time.
    alpha_s, alpha_r, threshold, u = problem.alpha_s, problem.alpha_r, problem.threshold, problem.u
    read = problem.lagged
    assert read is not None
    x, r = np.zeros(problem.sets, np.float32), np.zeros(problem.sets, np.float32)
    total, squares = np.zeros(problem.sets), np.zeros(problem.sets)
    products = np.zeros((problem.sets, len(read)))
    for start in range(0, problem.steps, _STEPS):
        rates = np.empty((min(_STEPS, problem.steps - start), problem.sets), np.float32)
        for i, now in enumerate(u[start : start + _STEPS]):
            x = x + alpha_s * (now - x)
            r = r + alpha_r * (np.maximum(x if threshold is None else x - threshold, 0) - r)
            rates[i] = r
        seen = rates[max(0, problem.transient - start) :]
        at = max(0, start - problem.transient)
        total += seen.sum(axis=0)
        squares += np.einsum("ts,ts->s", seen, seen)
        products += seen.T @ read[:, at : at + len(seen)].T
    return correlations(products, total, squares, problem)


def correlations(products: np.ndarray, total: np.ndarray, squares: np.ndarray, problem: Problem) -> Outcome:
    """Return the correlations from sums over the observed steps.

    Parameters
    ----------
    products : ndarray, (set, lag)
        Sums of r times the target.
    total, squares : ndarray, (set,)
        Sums of r and of r².
    problem : Problem
        The problem, for its number of steps.
    """
    count = problem.steps - problem.transient
    mean = total / count
    deviation = np.sqrt(squares / count - mean**2)
    # The correlation of rates that never change is NaN.
    with np.errstate(invalid="ignore"):
        found = products / count / deviation[:, None]
    return {"correlation": np.ascontiguousarray(found, dtype=np.float32)}
