"""JAX: a scan over the steps, in several forms, of which the fastest is kept.

The forms, on two cores: ``jit(vmap(scan))``, which one would write first; the same unrolled; a scan over all sets together,
with arrays ``(unit, set)`` so that the sets are contiguous, and one matrix product for all; the same with the product written
out as a sum over the units, which XLA fuses with the rest of the step. For two units the last is five times as fast as the
first; for 32 the unrolled vmap is the fastest; for 128 all take about the same time. Tried and not kept: tiles of sets in
``lax.map``, which use only one core; two CPU devices with ``shard_map``, which gained almost nothing at N = 2 and 32 and were a
third slower at N = 128. Of the random generators the default, threefry, is the fastest here: XLA's own (rbg) took 2.4 times as
long, and 4.5 times as long with Box-Muller normals from its words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contenders.problem import Compared, Outcome, Problem, Run, Unsuited, fastest, moments

#: Most units for which the product is written out.
_WRITTEN_OUT = 32
#: Bins between two sums of products with a target.
_BINS = 20


def make(problem: Problem) -> Run:
    """Return the fastest form."""
    forms: dict[str, Callable[[], Run]] = {}
    if (how := problem.compared) is not None:
        return fastest({f"unroll {n}": partial(_correlations, problem, how, n) for n in (1, 4, 10)})
    if problem.noise_scale is not None:
        for normals in (_Drawn("threefry2x32"), _Drawn("unsafe_rbg"), _Inverted()):
            forms[normals.name] = partial(_units_first, problem, 4, False, normals)
        return fastest(forms)
    if not problem.every:
        forms |= {f"vmap, unroll {n}": partial(textbook, problem, n) for n in (1, 8)}
    if not problem.own_weights:
        forms |= {f"units first, product, unroll {n}": partial(_units_first, problem, n, False) for n in (1, 4)}
    if problem.units <= _WRITTEN_OUT:
        forms |= {f"units first, sum, unroll {n}": partial(_units_first, problem, n, True) for n in (1, 4)}
    return fastest(forms)


def textbook(problem: Problem, unroll: int = 1) -> Run:
    """Return ``jit(vmap(scan))``, the form one would write first: code for one set, mapped over all."""
    if problem.every or problem.noise_scale is not None or problem.only_correlation:
        raise Unsuited("only mean, variance and final rate, without noise")
    u, steps = jnp.asarray(problem.u), problem.steps

    def one(weights: Any, gain: Any, alpha_s: Any, alpha_r: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            x, r, total, squares = state
            x = x + alpha_s * (gain * (weights @ r) + now - x)
            r = r + alpha_r * (jnp.tanh(x) - r)
            return (x, r, total + r, squares + r * r), None

        zero = jnp.zeros(problem.units, jnp.float32)
        (_, r, total, squares), _ = jax.lax.scan(step, (zero,) * 4, u, unroll=unroll)
        return moments(total / steps, squares / steps, r)

    each = jax.vmap(one, in_axes=(0 if problem.own_weights else None, 0, 0, 0))
    values = [problem.weights, problem.gain, problem.alpha_s, problem.alpha_r]
    return _compiled(each, values)


def _compiled(function: Callable[..., Any], values: list[Any]) -> Run:
    # The values are arguments, because XLA may spend minutes on folding constants.
    given, compiled = [jnp.asarray(value) for value in values], jax.jit(function)

    def run() -> Outcome:
        return {name: np.ascontiguousarray(value) for name, value in compiled(*given).items()}

    return run


def _units_first(problem: Problem, unroll: int, written_out: bool, normals: Any = None) -> Run:
    """Return the scan over all sets at once, every array ``(unit, set)``."""
    units, sets, steps, every = problem.units, problem.sets, problem.steps, problem.every

    def product(weights: Any, r: Any) -> Any:
        if not written_out:
            return weights @ r
        if weights.ndim == 2:
            weights = weights[:, :, None]
        return sum((weights[:, j] * r[j] for j in range(1, units)), weights[:, 0] * r[0])

    def simulate(weights: Any, gain: Any, alpha_s: Any, alpha_r: Any, scale: Any, u: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            x, r, total, squares, source = state
            x = x + alpha_s * (gain * product(weights, r) + now - x)
            if normals is not None:
                source, drawn = normals.draw(source, (units, sets))
                x = x + scale * drawn
            r = r + alpha_r * (jnp.tanh(x) - r)
            return (x, r, total + r, squares + r * r, source), None

        def several(state: Any, now: Any) -> Any:
            state, _ = jax.lax.scan(step, state, now, unroll=min(every, 2 * unroll))
            return state, state[1]

        zero = jnp.zeros((units, sets), jnp.float32)
        start = (zero, zero, zero, zero, normals.start() if normals is not None else jnp.zeros(0))
        if every:
            state, records = jax.lax.scan(several, start, u.reshape(-1, every))
        else:
            state, records = jax.lax.scan(step, start, u, unroll=unroll)
        _, r, total, squares, _ = state
        found = {name: value.T for name, value in moments(total / steps, squares / steps, r).items()}
        return found | ({"record": records.transpose(2, 0, 1)} if every else {})

    weights = problem.weights
    assert weights is not None
    if problem.own_weights:
        weights = np.ascontiguousarray(weights.transpose(1, 2, 0))
    scale = problem.noise_scale
    values = [problem.gain, problem.alpha_s, problem.alpha_r, np.zeros(1, np.float32) if scale is None else scale]
    return _compiled(simulate, [weights, *values, problem.u])


# ---------------------------------------------------------------------------------------------------------------- noise


class _Inverted:
    """Normals from XLA's own generator, by the inverse error function. The scan carries the generator's state."""

    name = "units first, rng_bit_generator"

    def start(self) -> Any:
        return jnp.arange(1, 5, dtype=jnp.uint32)

    def draw(self, state: Any, shape: tuple[int, ...]) -> Any:
        state, words = jax.lax.rng_bit_generator(state, shape, dtype=jnp.uint32)
        # Odd multiples of 2**-23, between -1 and 1.
        uniform = ((words >> 9).astype(jnp.int32) * 2 - (2**23 - 1)).astype(jnp.float32) * 2.0**-23
        return state, np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform)


class _Drawn:
    """Normals of ``jax.random``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = f"units first, jax.random {kind}"

    def start(self) -> Any:
        return jax.random.key(0, impl=self.kind)

    def draw(self, key: Any, shape: tuple[int, ...]) -> Any:
        key, now = jax.random.split(key)
        return key, jax.random.normal(now, shape, jnp.float32)


# --------------------------------------------------------------------------------------------------------- correlations


def _correlations(problem: Problem, how: Compared, unroll: int) -> Run:
    """Return the scan for a network of one unit, with products of matrices every ``_BINS`` bins."""
    transient, threshold, many = problem.transient, problem.threshold, how.counted.shape[1]
    whole = many // _BINS * _BINS

    def simulate(alpha_s: Any, alpha_r: Any, threshold: Any, u: Any, deviations: Any, counted: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            x, r, total = state
            x = x + alpha_s * (now - x)
            r = r + alpha_r * (jnp.maximum(x - threshold, 0) - r)
            return (x, r, total + r), None

        def one_bin(state: Any, now: Any) -> Any:
            (x, r, total), _ = jax.lax.scan(step, (*state, zero), now, unroll=min(unroll, how.steps))
            return (x, r), total

        def chunk(carried: Any, now: Any) -> Any:
            state, before, products, mean, squares = carried
            state, own = jax.lax.scan(one_bin, state, now[0])
            sums = jnp.concatenate([before, own])
            means = sum(sums[i : i + len(own)] for i in range(how.bins)) / how.width
            products, mean = products + now[1] @ means, mean + now[2] @ means
            return (state, sums[len(own) :], products, mean, squares + now[2] @ (means * means)), None

        zero = jnp.zeros_like(alpha_s)
        (x, r, _), _ = jax.lax.scan(step, (zero, zero, zero), u[:transient], unroll=unroll)
        none = jnp.zeros((len(counted), len(alpha_s)), jnp.float32)
        carried = ((x, r), jnp.zeros((how.bins - 1, len(alpha_s)), jnp.float32), none, none, none)
        seen = u[transient : transient + many * how.steps].reshape(many, how.steps)
        chunks = [seen[:whole].reshape(-1, _BINS, how.steps)]
        chunks += [one[:, :whole].reshape(len(one), -1, _BINS).swapaxes(0, 1) for one in (deviations, counted)]
        carried, _ = jax.lax.scan(chunk, carried, chunks)
        if whole < many:
            carried, _ = chunk(carried, (seen[whole:], deviations[:, whole:], counted[:, whole:]))
        _, _, products, mean, squares = carried
        return {"correlation": (products / jnp.sqrt(squares - mean * mean)).T}

    none = np.zeros(1, np.float32)
    values = [problem.alpha_s, problem.alpha_r, none if threshold is None else threshold, problem.u]
    return _compiled(simulate, [*values, how.deviations, how.counted])
