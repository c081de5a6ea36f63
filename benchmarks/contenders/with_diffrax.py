"""diffrax: ``Euler`` with a constant step. The statistics are further variables of the state.

Its Euler is the explicit one, in which r sees the old x. So it is checked against the job with ``scheme="simultaneous"``, which
is the same amount of work. Euler adds the rate before the step to a sum; so the last rate is added after the solver. Two forms
are tried, ``jit(vmap(diffeqsolve))`` and one solution for all sets together, ``(unit, set)``, and the faster is kept. Noise
comes from an ``UnsafeBrownianPath``, the fastest kind that diffrax has.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np

from contenders.problem import Compared, Outcome, Problem, Run, fastest, moments

#: Most units for which the product is written out.
_WRITTEN_OUT = 8


def make(problem: Problem) -> Run:
    """Return the fastest form."""
    if (how := problem.compared) is not None:
        return _correlations(problem, how)
    forms = {} if problem.own_weights else {"units first, product": partial(_statistics, problem, False, False)}
    if problem.units <= _WRITTEN_OUT or problem.own_weights:
        forms["units first, sum"] = partial(_statistics, problem, True, False)
    if not problem.every and problem.noise_scale is None:
        forms["vmap"] = partial(_statistics, problem, False, True)
    return fastest(forms)


def _solve(terms: Any, steps: int, start: Any, saveat: Any) -> Any:
    # One step is the unit of time, so that all times are exact. max_steps has one more, because diffrax may count a last step
    # of length 0.
    controller = diffrax.ConstantStepSize()
    return diffrax.diffeqsolve(
        *(terms, diffrax.Euler(), 0.0, float(steps), 1.0, start),
        saveat=saveat,
        stepsize_controller=controller,
        max_steps=steps + 1,
        adjoint=diffrax.ForwardMode(),
        throw=False,
    ).ys


def _now(u: Any, t: Any) -> Any:
    return u[..., jnp.round(t).astype(jnp.int32)]


def _compiled(function: Any, values: list[Any]) -> Run:
    given, compiled = [jnp.asarray(value) for value in values], jax.jit(function)

    def run() -> Outcome:
        return {name: np.ascontiguousarray(value) for name, value in compiled(*given).items()}

    return run


def _statistics(problem: Problem, written_out: bool, by_set: bool) -> Run:
    units, sets, steps, every = problem.units, problem.sets, problem.steps, problem.every
    shape = (units,) if by_set else (units, sets)

    def product(weights: Any, r: Any) -> Any:
        if not written_out:
            return weights @ r
        if weights.ndim == 2:
            weights = weights[:, :, None]
        return sum((weights[:, j] * r[j] for j in range(1, units)), weights[:, 0] * r[0])

    def simulate(weights: Any, gain: Any, alpha_s: Any, alpha_r: Any, scale: Any, u: Any) -> Any:
        def field(t: Any, y: Any, _: Any) -> Any:
            x, r, _, _ = y
            h = gain * product(weights, r)
            return alpha_s * (h + _now(u, t) - x), alpha_r * (jnp.tanh(x) - r), r, r * r

        def spread(t: Any, y: Any, _: Any) -> Any:
            zero = jnp.zeros(shape)
            return lineax.FunctionLinearOperator(
                lambda drawn: (scale * drawn, zero, zero, zero), jax.ShapeDtypeStruct(shape, jnp.float32)
            )

        terms: Any = diffrax.ODETerm(field)
        if problem.noise_scale is not None:
            path = diffrax.UnsafeBrownianPath(jax.ShapeDtypeStruct(shape, jnp.float32), key=jax.random.key(0))
            terms = diffrax.MultiTerm(terms, diffrax.ControlTerm(spread, path))
        saved = [diffrax.SubSaveAt(t1=True)]
        if every:
            times = jnp.arange(every, steps + 1, every, dtype=jnp.float32)
            saved.append(diffrax.SubSaveAt(ts=times, fn=lambda t, y, args: y[1]))
        (_, r, total, squares), *records = _solve(terms, steps, (jnp.zeros(shape),) * 4, diffrax.SaveAt(subs=saved))
        r, total, squares = r[-1], total[-1], squares[-1]
        found = moments((total + r) / steps, (squares + r * r) / steps, r)
        if not by_set:
            found = {name: value.T for name, value in found.items()}
        return found | ({"record": records[0].transpose(2, 0, 1)} if every else {})

    weights, scale = problem.weights, problem.noise_scale
    assert weights is not None
    if problem.own_weights and not by_set:
        weights = weights.transpose(1, 2, 0)
    none = np.zeros(1, np.float32)
    values = [weights, problem.gain, problem.alpha_s, problem.alpha_r, none if scale is None else scale, problem.u]
    if by_set:
        each = jax.vmap(simulate, in_axes=(0 if problem.own_weights else None, 0, 0, 0, None, None))
        return _compiled(each, values)
    return _compiled(simulate, values)


def _correlations(problem: Problem, how: Compared) -> Run:
    steps, transient, threshold, many = problem.steps, problem.transient, problem.threshold, how.counted.shape[1]

    def simulate(alpha_s: Any, alpha_r: Any, threshold: Any, u: Any, deviations: Any, counted: Any) -> Any:
        def field(t: Any, y: Any, _: Any) -> Any:
            x, r, _ = y
            return alpha_s * (_now(u, t) - x), alpha_r * (jnp.maximum(x - threshold, 0) - r), r

        # The sum of all rates up to each end of a bin, from which follow the means over windows.
        edges = transient + how.steps * jnp.arange(many + 1, dtype=jnp.float32)
        saved = diffrax.SaveAt(ts=edges, fn=lambda t, y, args: y[2] + y[1])
        total = _solve(diffrax.ODETerm(field), steps, (jnp.zeros_like(alpha_s),) * 3, saved)
        means = (total[how.bins :] - total[: -how.bins]) / how.width
        deviations, counted = deviations[:, how.bins - 1 :], counted[:, how.bins - 1 :]
        mean = counted @ means
        return {"correlation": (deviations @ means / jnp.sqrt(counted @ (means * means) - mean * mean)).T}

    values = [problem.alpha_s, problem.alpha_r, np.zeros(1, np.float32) if threshold is None else threshold]
    return _compiled(simulate, [*values, problem.u, how.deviations, how.counted])
