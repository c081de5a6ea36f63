"""Plain NumPy, as one would write it without tausweep: all sets at once, one line for each equation."""

from __future__ import annotations

import numpy as np

from contenders.problem import Outcome, Problem, Run, correlations, moments

#: Bins between two sums of products with a target.
_BINS = 50


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
    # The sums over the windows are computed as products of matrices, some bins at a time.
    alpha_s, alpha_r, threshold, u = problem.alpha_s, problem.alpha_r, problem.threshold, problem.u
    how = problem.compared
    assert how is not None
    x, r = np.zeros(problem.sets, np.float32), np.zeros(problem.sets, np.float32)
    products, mean, squares = (np.zeros((len(how.counted), problem.sets)) for _ in range(3))
    for now in u[: problem.transient]:
        x = x + alpha_s * (now - x)
        r = r + alpha_r * (np.maximum(x if threshold is None else x - threshold, 0) - r)
    before = np.zeros((how.bins - 1, problem.sets), np.float32)
    for start in range(0, how.counted.shape[1], _BINS):
        part = slice(start, start + _BINS)
        own = np.zeros(how.counted[0, part].shape + x.shape, np.float32)
        for i, total in enumerate(own, start):
            at = problem.transient + i * how.steps
            for now in u[at : at + how.steps]:
                x = x + alpha_s * (now - x)
                r = r + alpha_r * (np.maximum(x if threshold is None else x - threshold, 0) - r)
                total += r
        sums = np.concatenate([before, own])
        before = sums[len(own) :]
        means = sum(sums[i : i + len(own)] for i in range(how.bins)) / how.width
        products += how.deviations[:, part] @ means
        mean += how.counted[:, part] @ means
        squares += how.counted[:, part] @ (means * means)
    return correlations(products, mean, squares)
