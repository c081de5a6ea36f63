"""Counter-based noise: the same normals on every machine, in any order and any partition.

A normal is a pure function of (seed, stream, unit, step). There is no generator state that other draws could change.
Philox4x32-10 [1]_ turns a counter and a key into four 32-bit words,

    counter = (step group, unit group, stream low, stream high)    key = (seed low, seed high)

and Box-Muller [2]_ turns two words into two normals. One call serves a group of 2 units and 2 steps: words 0 and 1 give units
2k and 2k + 1 at the even step 2b, words 2 and 3 the same units at step 2b + 1. If a network has a single unit, one call
serves the four steps 4b ... 4b + 3. Which call serves a unit and a step depends on the number of units alone.

Box-Muller is computed with integer operations and with float32 products, sums and square roots. Each of these is rounded by
itself, so IEEE 754 defines it to the last bit. The log, sin or cos of a library, or a fused multiply-add, would differ between
machines. ``kernels/philox.cuh`` is the same arithmetic in CUDA and C++.

.. [1] Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
.. [2] Box & Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29:610 (1958).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

# Minimax polynomials for the relative error, from a linear programme on 801 Chebyshev nodes. One coefficient after the other
# was rounded to float32, and the rest fitted again. The lowest power comes first. The functions and their relative errors:
# LOG: -2 log(1-q)/q for q <= 1/2, 1.0e-6. SIN: sin(pi/2 y)/y in y**2 for |y| <= 1/2, 2.8e-8. COS: cos(pi/2 y), 3.9e-8.
LOG = (2.0, 0.999751151, 0.675875008, 0.388670802, 0.99957937, -1.20175231, 1.93527794)
SIN = (1.57079637, -0.64596498, 0.0796920136, -0.00462878263)
COS = (1.0, -1.23369765, 0.253602386, -0.0204145294)
TWO_LOG_TWO = 1.38629436

# Counters per slab: few enough that the temporary arrays (about 5 MB) stay in the last cache, and enough that the calls of
# NumPy cost almost nothing. With 8192 the speed is half of this.
SLAB = 65536

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def philox4x32(counter: Sequence[ArrayLike], key: tuple[int, int]) -> tuple[NDArray[np.uint32], ...]:
    """Run ten rounds of Philox4x32 [1]_.

    Parameters
    ----------
    counter : four uint32 arrays or integers
        They are broadcast against each other. The first rounds are computed before that, and so cost less.
    key : two integers
        Each below 2**32.

    Returns
    -------
    tuple of four uint32 arrays
        The random words, in the broadcast shape.
    """
    # Words live in the low halves of uint64, so that one product gives both the high and the low word.
    c0, c1, c2, c3 = (np.asarray(word, dtype=np.uint64) for word in counter)
    shape = np.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape)
    for turn in range(10):
        k0, k1 = (np.uint64((word + turn * weyl) & 0xFFFFFFFF) for word, weyl in zip(key, WEYL, strict=True))
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c2 = (p1 >> HALF) ^ (c1 ^ k0), (p0 >> HALF) ^ (c3 ^ k1)
        c1, c3 = p1 & LOW, p0 & LOW
    return tuple(np.broadcast_to(word.astype(np.uint32), shape) for word in (c0, c1, c2, c3))


def box_muller(
    radius: NDArray[np.uint32], angle: NDArray[np.uint32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make two independent standard normals from two random words.

    The radius is sqrt(-2 log u) with u = (radius | 1) / 2**32, which is never 0 or 1. The angle within a quadrant is pi/2
    times the second word, read as a signed integer, divided by 2**32. Bit 1 of this word swaps sine and cosine, and bit 0
    changes the sign, so that the whole circle is covered. Compared with the same formulas in float64 the relative error is
    below 1e-6 everywhere.

    Parameters
    ----------
    radius, angle : uint32 arrays
        Random words, in the same shape.

    Returns
    -------
    tuple of two float32 arrays
        The normals, in the shape of the words.
    """
    # u = (1 - q) / 2**n with 0 < q <= 1/2. The exponent of a float gives n. The conversion must not round up to the next
    # power of two; to prevent it, every bit that follows a set bit is cleared.
    odd = radius | np.uint32(1)
    bits = odd >> np.uint32(1)
    bits &= odd
    bits ^= odd
    exponent = bits.astype(np.float32).view(np.int32)
    exponent >>= 23
    zeros = np.subtract(158, exponent, out=exponent)
    odd <<= zeros.view(np.uint32)
    q = odd.view(np.int32).astype(np.float32)
    q *= -(2.0**-32)
    length = _horner(LOG, q)
    length *= q
    octaves = zeros.astype(np.float32)
    octaves *= TWO_LOG_TWO
    length += octaves
    np.sqrt(length, out=length)
    turned = length.view(np.uint32)
    turned ^= angle << np.uint32(31)

    y = angle.view(np.int32).astype(np.float32)
    y *= 2.0**-32
    square = y * y
    sine = _horner(SIN, square)
    sine *= y
    cosine = _horner(COS, square)
    # Exchanging bits under a mask is four times as fast as numpy.where.
    mask = (angle << np.uint32(30)).view(np.int32)
    mask >>= 31
    a, b = cosine.view(np.int32), sine.view(np.int32)
    mask &= a ^ b
    a ^= mask
    b ^= mask
    cosine *= length
    sine *= length
    return cosine, sine


def normals(
    seed: int,
    stream: ArrayLike,
    units: int,
    start: int,
    stop: int,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return standard normals for all units and sets in the steps start ... stop - 1.

    Every value depends only on the seed, the stream of its set, the number of units, the unit and the step.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.
    stream : (sets,) uint64
        The noise stream of each set; see `stream_hash`.
    units : int
        Number of units of the network.
    start, stop : int
        Step numbers, counted from the start of the simulation, 0 <= start <= stop <= 2**33.
    out : (stop - start, units, sets) float32, optional
        An array to fill and return.

    Returns
    -------
    (stop - start, units, sets) float32
        The normals.

    Raises
    ------
    OverflowError
        If the seed does not fit into 64 bits.
    """
    whole = np.uint64(seed)
    key = int(whole & LOW), int(whole >> HALF)
    streams = np.atleast_1d(np.asarray(stream, dtype=np.uint64))
    if out is None:
        out = np.empty((stop - start, units, streams.size), dtype=np.float32)
    steps_per_call, units_per_call = (4, 1) if units == 1 else (2, 2)
    first, last = start // steps_per_call, -(-stop // steps_per_call)
    for steps, pairs, sets in _slabs((first, last), (0, -(-units // units_per_call)), (0, streams.size)):
        counter = (
            np.arange(steps.start, steps.stop)[:, None, None],
            np.arange(pairs.start, pairs.stop)[:, None],
            streams[sets] & LOW,
            streams[sets] >> HALF,
        )
        words = philox4x32(counter, key)
        lanes = box_muller(words[0], words[1]) + box_muller(words[2], words[3])
        for lane, values in enumerate(lanes):
            step, unit = divmod(lane, units_per_call)
            step_from, step_to = _served(steps, steps_per_call, step, start, stop)
            unit_from, unit_to = _served(pairs, units_per_call, unit, 0, units)
            out[step_to, unit_to, sets] = values[step_from, unit_from]
    return out


def stream_hash(values: Mapping[str, ArrayLike]) -> NDArray[np.uint64]:
    """Return the noise stream of each set: a hash of the set's own parameter values.

    The hash is mix(sum of mix(bits of the value ^ mix(FNV-1a of the name + unit * golden ratio))) modulo 2**64. The sum is
    over all parameters and units, and mix is the mixer of splitmix64. So the order of the parameters and the other sets of
    a design do not matter. A parameter with the same value in all units counts as a plain number. The probability that any
    two of 10**8 sets share a stream is 3e-4.

    Parameters
    ----------
    values : mapping of parameter name to float64 array
        Each broadcasts to (sets,) or, with a value per unit, is (sets, units) or (1, units). NaN says that a set does not
        have the parameter.

    Returns
    -------
    (sets,) uint64
        The stream of each set.
    """
    total = np.zeros(1, dtype=np.uint64)
    for name, value in values.items():
        number = np.atleast_1d(np.asarray(value, dtype=np.float64)) + 0.0  # -0.0 + 0.0 is 0.0
        per_unit = number if number.ndim == 2 else number[:, None]
        place = np.arange(per_unit.shape[1], dtype=np.uint64) * GOLDEN + np.uint64(_fnv1a(name))
        share = _mix(per_unit.view(np.uint64) ^ _mix(place))
        # One value for all units must give the same hash as a plain number.
        alike = (per_unit == per_unit[:, :1]).all(axis=1)
        share = np.where(alike, share[:, 0], share.sum(axis=1, dtype=np.uint64))
        total = total + np.where(np.isnan(per_unit[:, 0]), np.uint64(0), share)
    return _mix(total)


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output of splitmix64 (Steele, Lea & Flood, OOPSLA 2014) for the state `word`."""
    word = word + GOLDEN
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _fnv1a(name: str) -> int:
    """Return the 64-bit FNV-1a hash of the UTF-8 bytes of a name."""
    digest = 0xCBF29CE484222325
    for byte in name.encode():
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return digest


def _horner(coefficients: tuple[float, ...], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evaluate a polynomial (lowest power first), with every product and sum rounded to float32."""
    *rest, last = coefficients
    value: NDArray[np.float32] = x * last
    for coefficient in rest[:0:-1]:
        value += coefficient
        value *= x
    value += rest[0]
    return value


def _slabs(*ranges: tuple[int, int]) -> Iterator[tuple[slice, ...]]:
    """Cut a box of counters into slabs of about `SLAB` counters. The last axis is cut last."""
    room, cuts = SLAB, []
    for low, high in reversed(ranges):
        length = max(1, min(room, high - low))
        cuts.append([slice(i, min(i + length, high)) for i in range(low, high, length)])
        room = max(1, room // length)
    yield from itertools.product(*reversed(cuts))


def _served(groups: slice, span: int, offset: int, start: int, stop: int) -> tuple[slice, slice]:
    """Return which groups have their place `offset` in [start, stop), and these places in an array of that range."""
    first = max(groups.start, -(-(start - offset) // span))
    last = min(groups.stop, -(-(stop - offset) // span))
    there = slice(first * span + offset - start, last * span + offset - start, span)
    return slice(first - groups.start, last - groups.start), there
