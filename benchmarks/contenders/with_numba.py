"""Numba: tiles of sets on all cores. The loop over the sets of a tile is the innermost, so that it becomes vector code.

A tile stays in the nearest caches for all steps. The product takes two units and four rates at a time, so that the weights stay
in registers; from 32 units on a BLAS product for each tile is tried too. Networks of one and two units have a loop of their own.
With four steps in each turn of that loop and the state in registers it was at least a third slower. Numba 0.62 and later do not
support Intel's SVML any more (installing its library changes nothing), so ``tanh`` would be called for each number, in 16 ns
instead of 0.6. So tanh is computed here with a polynomial, and also the logarithm, the sine and the cosine of the noise. The
noise comes from a xorshift generator in every lane. A lane is one set of a tile.
"""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from contenders.problem import Compared, Outcome, Problem, Run, correlations, fastest, moments
from sweep.philox import COS, SIN

#: Fewest units for which a BLAS product is tried.
_BLAS_FROM = 32
#: Sets in a tile.
_LANES = (64, 256)
#: Bins between two sums of products with a target, a multiple of 4.
_BINS = 16
# Not "reassoc": it would simplify the rounding to whole numbers to zero. With another error model every loop would check for
# division by zero, and would not become vector code.
_FAST = {"contract", "nnan", "ninf", "nsz", "arcp", "afn"}
_jit = numba.njit(fastmath=_FAST, error_model="numpy")
_inlined = numba.njit(fastmath=_FAST, error_model="numpy", inline="always")
_threads = numba.njit(fastmath=_FAST, error_model="numpy", parallel=True, nogil=True)

_f, _i, _u = np.float32, np.int32, np.uint32
_ONE, _TWO, _HALF = _f(1), _f(2), _f(0.5)
_LOG2_E, _LN_2, _LN_2_REST = _f(math.log2(math.e)), _f(0.693359375), _f(math.log(2) - 0.693359375)
# e^a = 1 + a + a^2 (1/2 + a/6 + ...), to the seventh power, for |a| <= ln(2)/2.
_E2, _E3, _E4, _E5, _E6, _E7 = (_f(1 / math.factorial(n)) for n in range(2, 8))
# log((1 + s) / (1 - s)) = 2 s (1 + s^2/3 + ...), for |s| <= 0.172.
_L1, _L2, _L3, _L4 = _f(1 / 3), _f(1 / 5), _f(1 / 7), _f(1 / 9)
_S0, _S1, _S2, _S3 = map(_f, SIN)
_C0, _C1, _C2, _C3 = map(_f, COS)
_ROOT_TWO = _f(math.sqrt(2))


@_inlined
def _tanh(z: Any) -> Any:
    """Return u / (u + 2) with u = e^2z - 1."""
    a = min(max(_TWO * z, _f(-18)), _f(18))
    whole = np.floor(a * _LOG2_E + _HALF)
    rest = a - whole * _LN_2 - whole * _LN_2_REST
    p = _E2 + rest * (_E3 + rest * (_E4 + rest * (_E5 + rest * (_E6 + rest * _E7))))
    scale = _i((_i(whole) + 127) << 23).view(_f)
    u = scale * (rest + rest * rest * p) + (scale - _ONE)
    return u / (u + _TWO)


@_inlined
def _log(value: Any) -> Any:
    """Return the logarithm of a normal number."""
    bits = _f(value).view(_i)
    power = _i((bits >> 23) - 127)
    mantissa = _i((bits & 0x7FFFFF) | 0x3F800000).view(_f)
    large = mantissa > _ROOT_TWO
    mantissa = mantissa * _HALF if large else mantissa
    power = _i(power + 1) if large else power
    s = (mantissa - _ONE) / (mantissa + _ONE)
    square = s * s
    p = _ONE + square * (_L1 + square * (_L2 + square * (_L3 + square * _L4)))
    return _f(power) * _f(math.log(2)) + _TWO * s * p


@_jit
def _multiply(weights: Any, rates: Any, sums: Any) -> None:
    """Add W r to the sums ``(row, lane)``: even numbers of rows, multiples of 4 columns."""
    for i in range(0, weights.shape[0], 2):
        upper, lower = sums[i], sums[i + 1]
        for j in range(0, weights.shape[1], 4):
            a0, a1, a2, a3 = weights[i, j], weights[i, j + 1], weights[i, j + 2], weights[i, j + 3]
            b0, b1, b2, b3 = weights[i + 1, j], weights[i + 1, j + 1], weights[i + 1, j + 2], weights[i + 1, j + 3]
            for k in range(sums.shape[1]):
                r0, r1, r2, r3 = rates[j, k], rates[j + 1, k], rates[j + 2, k], rates[j + 3, k]
                upper[k] += (a0 * r0 + a1 * r1) + (a2 * r2 + a3 * r3)
                lower[k] += (b0 * r0 + b1 * r1) + (b2 * r2 + b3 * r3)


@_jit
def _multiply_own(weights: Any, rates: Any, sums: Any) -> None:
    """Add W r to the sums, every lane with weights of its own: ``(row, column, lane)``."""
    for i in range(weights.shape[0]):
        for j in range(0, weights.shape[1], 4):
            own = weights[i]
            for k in range(sums.shape[1]):
                sums[i, k] += (own[j, k] * rates[j, k] + own[j + 1, k] * rates[j + 1, k]) + (
                    own[j + 2, k] * rates[j + 2, k] + own[j + 3, k] * rates[j + 3, k]
                )


@_inlined
def _box_muller(radius: Any, angle: Any) -> Any:
    """Return two normals from two random words."""
    uniform = _f((_f(_i(radius >> 9)) + _HALF) * _f(2.0**-23))
    length = np.sqrt(-_TWO * _log(uniform))
    # The angle within a quarter of the circle, from -1/2 to 1/2; the lowest bits of the word choose the quarter.
    y = _f(_i(angle)) * _f(2.0**-32)
    square = y * y
    sine = y * (_S0 + square * (_S1 + square * (_S2 + square * _S3)))
    cosine = _C0 + square * (_C1 + square * (_C2 + square * _C3))
    size = -length if angle & 1 else length
    swap = (angle & 2) != 0
    return size * (sine if swap else cosine), size * (cosine if swap else sine)


@functools.cache
def _drawing(lanes: int) -> Any:
    """Make the function that draws two normals for each lane, each from its own xorshift generator (Marsaglia 2003)."""

    @_inlined
    def draw(source: Any, drawn: Any, at: int) -> None:
        for k in range(lanes):
            a, b, c, d = source[k], source[lanes + k], source[2 * lanes + k], source[3 * lanes + k]
            a = _u(a ^ _u(a << 11))
            radius = _u(_u(d ^ (d >> 19)) ^ _u(a ^ (a >> 8)))
            b = _u(b ^ _u(b << 11))
            angle = _u(_u(radius ^ (radius >> 19)) ^ _u(b ^ (b >> 8)))
            source[k], source[lanes + k], source[2 * lanes + k], source[3 * lanes + k] = c, d, radius, angle
            one, other = _box_muller(radius, angle)
            drawn[at + k], drawn[at + lanes + k] = one, other

    return draw


@functools.cache
def _kernel(units: int, lanes: int, noisy: bool, own: bool, blas: bool) -> Any:
    """Make the function for networks of this size. The arguments become constants of the compiled code."""
    rows, draw = -(-units // 4) * 4, _drawing(lanes)

    @_threads
    def simulate(weights: Any, values: Any, u: Any, every: int, seeds: Any, statistics: Any, records: Any) -> None:
        for tile in numba.prange(values.shape[0]):
            gain, alpha_s, alpha_r, scale = values[tile, 0], values[tile, 1], values[tile, 2], values[tile, 3]
            x, r = np.zeros((rows, lanes), _f), np.zeros((rows, lanes), _f)
            h, drawn = np.zeros((rows, lanes), _f), np.zeros(rows * lanes, _f)
            total, squares = np.zeros((units, lanes), _f), np.zeros((units, lanes), _f)
            source = seeds[tile].copy().reshape(4 * lanes)
            for t in range(u.size):
                now = u[t]
                if blas:
                    np.dot(weights, r, h)
                else:
                    h[:] = 0
                    if own:
                        _multiply_own(weights[tile], r, h)
                    else:
                        _multiply(weights, r, h)
                if noisy:
                    for i in range(0, rows, 2):
                        draw(source, drawn, i * lanes)
                for i in range(units):
                    xi, ri, hi, ti, si, ni = x[i], r[i], h[i], total[i], squares[i], drawn[i * lanes : (i + 1) * lanes]
                    for k in range(lanes):
                        xk = xi[k] + alpha_s[k] * (gain[k] * hi[k] + now - xi[k])
                        if noisy:
                            xk += scale[k] * ni[k]
                        xi[k] = xk
                    for k in range(lanes):
                        rk = ri[k] + alpha_r[k] * (_tanh(xi[k]) - ri[k])
                        ri[k] = rk
                        ti[k] += rk
                        si[k] += rk * rk
                if every and (t + 1) % every == 0:
                    records[tile, (t + 1) // every - 1] = r[:units]
            statistics[tile, 0], statistics[tile, 1], statistics[tile, 2] = total, squares, r[:units]

    return simulate


@functools.cache
def _kernel_of_few(units: int, lanes: int) -> Any:
    """Make the function for one or two units, which needs no array for the product."""
    # The place of every row in one buffer. With a single buffer the compiler sees that the rows do not overlap.
    gain, alpha_s, alpha_r, x, r, total, squares = (n * lanes for n in range(7))
    y, q, total_q, squares_q = (n * lanes for n in range(7, 11))

    @_jit
    def step(state: Any, h: Any, now: Any, g: Any, s: Any, m: Any) -> Any:
        xk, rk, tk, sk = state
        xk += s * (g * h + now - xk)
        rk += m * (_tanh(xk) - rk)
        return xk, rk, tk + rk, sk + rk * rk

    @_jit
    def step_of_one(weights: Any, all: Any, now: Any) -> None:
        w = weights[0, 0]
        for k in range(lanes):
            state = all[x + k], all[r + k], all[total + k], all[squares + k]
            g, s, m = all[gain + k], all[alpha_s + k], all[alpha_r + k]
            state = step(state, w * state[1], now, g, s, m)
            all[x + k], all[r + k], all[total + k], all[squares + k] = state

    @_jit
    def both(one: Any, two: Any, weights: Any, now: Any, g: Any, s: Any, m: Any) -> Any:
        up = weights[0] * one[1] + weights[1] * two[1]
        low = weights[2] * one[1] + weights[3] * two[1]
        return step(one, up, now, g, s, m), step(two, low, now, g, s, m)

    @_jit
    def step_of_two(weights: Any, all: Any, now: Any) -> None:
        w = weights[0, 0], weights[0, 1], weights[1, 0], weights[1, 1]
        for k in range(lanes):
            one = all[x + k], all[r + k], all[total + k], all[squares + k]
            two = all[y + k], all[q + k], all[total_q + k], all[squares_q + k]
            g, s, m = all[gain + k], all[alpha_s + k], all[alpha_r + k]
            one, two = both(one, two, w, now, g, s, m)
            all[x + k], all[r + k], all[total + k], all[squares + k] = one
            all[y + k], all[q + k], all[total_q + k], all[squares_q + k] = two

    take = step_of_one if units == 1 else step_of_two

    @_threads
    def simulate(weights: Any, values: Any, u: Any, every: int, _: Any, statistics: Any, records: Any) -> None:
        stride = every if every else u.size
        for tile in numba.prange(values.shape[0]):
            all = np.zeros(11 * lanes, _f)
            all[: 3 * lanes] = values[tile, :3].ravel()
            for start in range(0, u.size, stride):
                end = min(u.size, start + stride)
                for t in range(start, end):
                    take(weights, all, u[t])
                if every and end == start + stride:
                    records[tile, start // stride, 0] = all[r : r + lanes]
                    if units == 2:
                        records[tile, start // stride, 1] = all[q : q + lanes]
            statistics[tile, 0, 0], statistics[tile, 1, 0] = all[total : total + lanes], all[squares : squares + lanes]
            statistics[tile, 2, 0] = all[r : r + lanes]
            if units == 2:
                statistics[tile, 0, 1] = all[total_q : total_q + lanes]
                statistics[tile, 1, 1] = all[squares_q : squares_q + lanes]
                statistics[tile, 2, 1] = all[q : q + lanes]

    return simulate


@functools.cache
def _correlating(lanes: int) -> Any:
    """Make the function for networks of one unit that compares the rates with a target at every lag."""

    @_threads
    def simulate(
        values: Any, u: Any, transient: int, steps: int, bins: int, deviations: Any, counted: Any, found: Any
    ) -> None:
        scale = _f(1 / (steps * bins))
        for tile in numba.prange(values.shape[0]):
            alpha_s, alpha_r, threshold = values[tile, 0], values[tile, 1], values[tile, 2]
            x, r = np.zeros(lanes, _f), np.zeros(lanes, _f)
            sums = np.zeros((bins - 1 + _BINS, lanes), _f)
            means, squares = np.zeros((_BINS, lanes), _f), np.zeros((_BINS, lanes), _f)
            found[tile] = 0
            for t in range(transient):
                now = u[t]
                for k in range(lanes):
                    x[k] += alpha_s[k] * (now - x[k])
                    r[k] += alpha_r[k] * (max(x[k] - threshold[k], _f(0)) - r[k])
            for chunk in range(counted.shape[0]):
                for i in range(bins - 1):
                    sums[i] = sums[_BINS + i]
                for i in range(_BINS):
                    row = sums[bins - 1 + i]
                    row[:] = 0
                    start = transient + (chunk * _BINS + i) * steps
                    for t in range(start, min(start + steps, u.size)):
                        now = u[t]
                        for k in range(lanes):
                            x[k] += alpha_s[k] * (now - x[k])
                            rk = r[k] + alpha_r[k] * (max(x[k] - threshold[k], _f(0)) - r[k])
                            r[k] = rk
                            row[k] += rk
                    mean, square = means[i], squares[i]
                    mean[:] = row
                    for j in range(i, i + bins - 1):
                        for k in range(lanes):
                            mean[k] += sums[j, k]
                    for k in range(lanes):
                        mean[k] *= scale
                        square[k] = mean[k] * mean[k]
                _multiply(deviations[chunk], means, found[tile, 0])
                _multiply(counted[chunk], means, found[tile, 1])
                _multiply(counted[chunk], squares, found[tile, 2])

    return simulate


def make(problem: Problem) -> Run:
    """Return the fastest form."""
    if (how := problem.compared) is not None:
        return fastest({f"{lanes} lanes": partial(_correlations, problem, how, lanes) for lanes in _LANES})
    few = problem.units <= 2 and not problem.own_weights and problem.noise_scale is None
    forms = {f"{lanes} lanes": partial(_tiles, problem, lanes, few, False) for lanes in _LANES}
    if problem.units >= _BLAS_FROM and not problem.own_weights:
        forms |= {f"{lanes} lanes, BLAS": partial(_tiles, problem, lanes, few, True) for lanes in _LANES}
    return fastest(forms)


def _tiled(values: np.ndarray, lanes: int) -> np.ndarray:
    """Cut the last dimension, the sets, into tiles, put the tiles first, and fill the last tile with 0."""
    sets = values.shape[-1]
    tiles = -(-sets // lanes)
    padded = np.zeros((*values.shape[:-1], tiles * lanes), np.float32)
    padded[..., :sets] = values
    return np.ascontiguousarray(np.moveaxis(padded.reshape(*values.shape[:-1], tiles, lanes), -2, 0))


def _of_tiles(values: np.ndarray, sets: int) -> np.ndarray:
    """Return an array ``(tile, ..., lane)`` as ``(set, ...)``: the reverse of :func:`_tiled`."""
    turned = np.moveaxis(values, -1, 1)
    return np.ascontiguousarray(turned.reshape(-1, *turned.shape[2:])[:sets])


def _tiles(problem: Problem, lanes: int, few: bool, blas: bool) -> Run:
    units, sets, rows = problem.units, problem.sets, -(-problem.units // 4) * 4
    scale = problem.noise_scale
    noisy, own = scale is not None, problem.own_weights
    values = _tiled(np.stack([problem.gain, problem.alpha_s, problem.alpha_r, scale if noisy else problem.gain]), lanes)
    weights = problem.weights
    assert weights is not None
    weights = np.pad(weights, (*(((0, 0),) * own), (0, rows - units), (0, rows - units)))
    weights = _tiled(np.moveaxis(weights, 0, -1), lanes) if own else np.ascontiguousarray(weights)
    u, every, tiles = problem.u, problem.every, len(values)
    seeds = np.random.default_rng(0).integers(1, 2**32, (tiles if noisy else 1, 4, lanes), dtype=np.uint32)
    seeds = seeds if noisy else np.broadcast_to(seeds, (tiles, 4, lanes)).copy()
    simulate = _kernel_of_few(units, lanes) if few else _kernel(units, lanes, noisy, own, blas)

    def run() -> Outcome:
        statistics = np.empty((tiles, 3, units, lanes), np.float32)
        records = np.empty((tiles, len(u) // every if every else 0, units, lanes), np.float32)
        with threadpool_limits(1, "blas"):
            simulate(weights, values, u, every, seeds, statistics, records)
        total, squares, final = (_of_tiles(statistics[:, i], sets) for i in range(3))
        found = moments(total / len(u), squares / len(u), final)
        return found | ({"record": _of_tiles(records, sets)} if every else {})

    return run


def _correlations(problem: Problem, how: Compared, lanes: int) -> Run:
    sets, u, transient, lags = problem.sets, problem.u, problem.transient, len(how.counted)
    threshold = np.zeros(sets, np.float32) if problem.threshold is None else problem.threshold
    values = _tiled(np.stack([problem.alpha_s, problem.alpha_r, threshold]), lanes)
    padding = ((0, lags % 2), (0, -how.counted.shape[1] % _BINS))
    padded = [np.pad(one, padding) for one in (how.deviations, how.counted)]
    chunks = [np.ascontiguousarray(one.reshape(len(one), -1, _BINS).swapaxes(0, 1)) for one in padded]
    simulate = _correlating(lanes)

    def run() -> Outcome:
        found = np.empty((len(values), 3, len(padded[0]), lanes), np.float32)
        simulate(values, u, transient, how.steps, how.bins, *chunks, found)
        return correlations(*(_of_tiles(found[:, i], sets)[:, :lags].T for i in range(3)))

    return run
