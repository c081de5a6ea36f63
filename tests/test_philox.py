"""Noise: known answers, the distribution, and that a value depends only on (seed, stream, unit, step)."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from support import ROOT

from sweep import philox

HEADER = ROOT / "kernels" / "philox.cuh"
COMPILER = shutil.which("g++")

DRIVER = f"""
#include "{HEADER}"
extern "C" void pairs(const unsigned *radius, const unsigned *angle, long n, float *n0, float *n1) {{
    for (long i = 0; i < n; ++i) philox::box_muller(radius[i], angle[i], n0 + i, n1 + i);
}}
extern "C" void fill(unsigned long long seed, unsigned long long stream, int units, int start, int stop, float *out) {{
    const int s = philox::steps_per_call(units), u = philox::units_per_call(units);
    for (int step = start; step < stop; ++step)
        for (int unit = 0; unit < units; ++unit) {{
            float lanes[4];
            philox::normals(step / s, unit / u, stream, seed, lanes);
            *out++ = lanes[u * (step % s) + unit % u];
        }}
}}

template <typename several> several load(const typename several::number *from) {{
    several a;
    __builtin_memcpy(&a, from, sizeof a);
    return a;
}}
template <int bytes, int count>
void some_pairs(const unsigned *radius, const unsigned *angle, long n, float *n0, float *n1) {{
    typedef philox::Words<bytes, count> Words;
    for (long i = 0; i < n; i += bytes / 4 * count) {{
        philox::Floats<bytes, count> pair[2];
        philox::box_muller(load<Words>(radius + i), load<Words>(angle + i), pair, pair + 1);
        __builtin_memcpy(n0 + i, pair, sizeof pair[0]);
        __builtin_memcpy(n1 + i, pair + 1, sizeof pair[1]);
    }}
}}
template <int bytes, int count>
void some_normals(unsigned step_block, const unsigned *unit_block, const unsigned *low, const unsigned *high, long n,
                  unsigned long long seed, float *out) {{
    typedef philox::Words<bytes, count> Words;
    for (long i = 0; i < n; i += bytes / 4 * count) {{
        philox::Floats<bytes, count> four[4];
        philox::normals(step_block, load<Words>(unit_block + i), load<Words>(low + i), load<Words>(high + i), seed, four);
        for (int k = 0; k < 4; ++k) __builtin_memcpy(out + k * n + i, four + k, sizeof four[k]);
    }}
}}
#define VECTORS(bytes, count)                                                                                       \\
    extern "C" void pairs_##bytes##_##count(const unsigned *radius, const unsigned *angle, long n, float *n0, float *n1) {{ \\
        some_pairs<bytes, count>(radius, angle, n, n0, n1);                                                         \\
    }}                                                                                                               \\
    extern "C" void normals_##bytes##_##count(unsigned step_block, const unsigned *unit_block, const unsigned *low, \\
                                              const unsigned *high, long n, unsigned long long seed, float *out) {{  \\
        some_normals<bytes, count>(step_block, unit_block, low, high, n, seed, out);                                \\
    }}
VECTORS(16, 1)
VECTORS(16, 2)
VECTORS(32, 1)
VECTORS(32, 2)
VECTORS(64, 1)
VECTORS(64, 2)
"""

#: Bytes of a vector, and how many take their operations side by side.
VECTORS = [(16, 1), (16, 2), (32, 1), (32, 2), (64, 1), (64, 2)]
#: Sets that are whole vectors of any kind.
SETS = 32

word = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
words_of_sets = st.lists(word, min_size=SETS, max_size=SETS).map(lambda values: np.array(values, np.uint32))


def words(count: int, seed: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Random words, with many small and large ones, for which the logarithm is difficult."""
    radius, angle = np.random.default_rng(seed).integers(0, 2**32, (2, count), dtype=np.uint32)
    shift = (np.arange(count) % 32).astype(np.uint32)
    radius[::3] >>= shift[::3]
    radius[1::3] |= ~(np.uint32(0xFFFFFFFF) >> shift[1::3])
    edges = np.array([0, 1, 2, 3, 0x7FFFFF80, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFF7F, 0xFFFFFFFF], np.uint32)
    radius[: edges.size], angle[: edges.size] = edges, edges[::-1]
    return radius, angle


@pytest.fixture(scope="module")
def sample() -> NDArray[np.float32]:
    """Draw a million normals: (step, unit, set)."""
    return philox.normals(7, philox.stream_hash({"replicate": np.arange(32.0)}), 32, 0, 1024)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    """The three vectors of Random123 (kat_vectors, philox4x32 10)."""
    assert tuple(int(word) for word in philox.philox4x32(counter, key)) == answer


def test_philox_broadcasts_its_counter() -> None:
    """A broadcast counter gives the words of each counter alone."""
    counter = (np.arange(3)[:, None, None], np.arange(2)[:, None], np.arange(4), 5)
    together = philox.philox4x32(counter, (1, 2))
    for place in itertools.product(range(3), range(2), range(4)):
        alone = philox.philox4x32((*place, 5), (1, 2))
        assert [int(word[place]) for word in together] == [int(word) for word in alone]


def test_normals_are_close_to_box_muller_in_float64() -> None:
    """The relative error against float64 on the same words stays below 1e-6, at the edges too."""
    radius, angle = words(1_000_000)
    length = np.sqrt(-2 * np.log((radius | 1) / 2**32)) * np.where(angle & 1, -1, 1)
    theta = np.pi / 2 * (angle.view(np.int32) / 2**32)
    swap = (angle & 2) != 0
    first = length * np.where(swap, np.sin(theta), np.cos(theta))
    second = length * np.where(swap, np.cos(theta), np.sin(theta))
    for got, expected in zip(philox.box_muller(radius, angle), (first, second), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=0)


def test_normals_have_the_moments_of_a_standard_normal(sample: NDArray[np.float32]) -> None:
    """Mean, variance, skewness and excess kurtosis lie within 4.5 standard errors."""
    values, n = sample.ravel().astype(np.float64), sample.size
    moments = [values.mean(), values.var() - 1, stats.skew(values), stats.kurtosis(values)]
    errors = np.sqrt(np.array([1, 2, 6, 24]) / n)
    assert np.all(np.abs(moments) < 4.5 * errors)


def test_normals_are_distributed_as_a_normal(sample: NDArray[np.float32]) -> None:
    """The Kolmogorov-Smirnov test finds no difference, for all normals and for each of the four of a call."""
    lanes = [sample[step::2, unit::2] for step in (0, 1) for unit in (0, 1)]
    for values in (sample, *lanes):
        assert stats.kstest(values.ravel()[::4], "norm").pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["steps", "units", "streams"])
@pytest.mark.parametrize("power", [1, 2])
def test_neighbours_are_independent(sample: NDArray[np.float32], axis: int, power: int) -> None:
    """Values and their squares are not correlated with those one, two or three steps, units or streams away."""
    values = np.moveaxis(sample, axis, 0).astype(np.float64) ** power
    for lag in (1, 2, 3):
        near, far = values[:-lag].ravel(), values[lag:].ravel()
        assert abs(np.corrcoef(near, far)[0, 1]) < 4.5 / np.sqrt(near.size)


@settings(max_examples=50, deadline=None)
@given(
    units=st.integers(1, 5),
    start=st.integers(0, 2**33 - 40),
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    slab=st.sampled_from([1, 7, philox.SLAB]),
)
def test_bits_do_not_depend_on_the_range_asked(units: int, start: int, lengths: list[int], slab: int) -> None:
    """Any split of [start, stop), computed in slabs of any size, gives the bits of the whole."""
    streams = np.array([3, 2**40 + 1, 2**64 - 1], np.uint64)
    cuts = [start, *(start + np.cumsum(lengths)).tolist()]
    whole = philox.normals(1, streams, units, start, cuts[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(philox, "SLAB", slab)
        parts = [philox.normals(1, streams, units, low, high) for low, high in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@settings(max_examples=25, deadline=None)
@given(units=st.integers(1, 4), order=st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_bits_do_not_depend_on_the_other_sets(units: int, order: list[int]) -> None:
    """Sets keep their noise in any order, in any subset, and when repeated."""
    streams = philox.stream_hash({"gain": np.linspace(0.5, 2, 10)})
    whole = philox.normals(5, streams, units, 3, 12)
    np.testing.assert_array_equal(philox.normals(5, streams[order], units, 3, 12), whole[:, :, order])


def test_every_seed_stream_unit_and_step_has_noise_of_its_own() -> None:
    """No two values of a large array come from the same counter."""
    streams = np.array([0, 1, 2**32, 2**33], np.uint64)
    block = [philox.normals(seed, streams, units, 0, 64) for seed in (0, 1, 2**32) for units in (1, 7)]
    for values in (np.concatenate([b.ravel() for b in block[::2]]), np.concatenate([b.ravel() for b in block[1::2]])):
        assert np.unique(values).size > 0.999 * values.size


def test_out_is_filled_in_place() -> None:
    """A strided array that is given is filled and returned."""
    out = np.zeros((6, 3, 8), np.float32)[:, :, ::2]
    assert philox.normals(1, np.arange(4), 3, 1, 7, out) is out
    np.testing.assert_array_equal(out, philox.normals(1, np.arange(4), 3, 1, 7))


def test_a_seed_must_fit_into_64_bits() -> None:
    """A seed outside [0, 2**64) is refused."""
    for seed in (-1, 2**64):
        with pytest.raises(OverflowError):
            philox.normals(seed, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("units", "checksum"),
    [(1, "7dd3a4fbe72c4c05"), (2, "300a19909665a94c"), (5, "7bbde6b57d29c2d5")],
)
def test_bits_of_the_normals_are_pinned(units: int, checksum: str) -> None:
    """An array of normals has the same bits as in the first release."""
    values = philox.normals(2020, philox.stream_hash({"replicate": np.arange(64.0)}), units, 1001, 1100)
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()[:16] == checksum


def test_streams_are_pinned() -> None:
    """The hash of a set's values is the same number on every machine and in every version."""
    assert philox.stream_hash({}).tolist() == [0xE220A8397B1DCDAF]
    assert philox.stream_hash({"gain": 1.5, "W[0,1]": [-0.0, 0.25]}).tolist() == [
        0x16F602C75C17AA00,
        0x6D5F804544D16B12,
    ]
    assert philox.stream_hash({"tau_s": [[10.0, 20.0]], "replicate": 3}).tolist() == [0x1E7DD0849A3186BB]


@settings(max_examples=50, deadline=None)
@given(
    values=st.dictionaries(st.text("gτ_[0,1]", max_size=8), st.floats(allow_nan=False), max_size=5),
    data=st.data(),
)
def test_a_stream_does_not_depend_on_the_order_of_parameters(values: dict[str, float], data: st.DataObject) -> None:
    """Any order of the names gives the same stream."""
    shuffled = dict(data.draw(st.permutations(list(values.items()))))
    assert philox.stream_hash(shuffled) == philox.stream_hash(values)


def test_a_stream_is_of_its_set_alone() -> None:
    """Extending, cutting or broadcasting a design leaves the stream of each set as it was; zero has no sign."""
    gain = np.linspace(-1, 1, 9)
    whole = philox.stream_hash({"gain": gain, "tau_s": 10.0})
    np.testing.assert_array_equal(philox.stream_hash({"gain": gain[2:5], "tau_s": np.full(3, 10.0)}), whole[2:5])
    assert philox.stream_hash({"gain": -0.0}) == philox.stream_hash({"gain": 0.0})


def test_a_value_per_unit_knows_its_unit() -> None:
    """Units in another order are another stream; a single unit is a plain number; a common row serves all sets."""
    assert philox.stream_hash({"bias": [[1.0, 2.0]]}) != philox.stream_hash({"bias": [[2.0, 1.0]]})
    np.testing.assert_array_equal(
        philox.stream_hash({"bias": [[1.0], [2.0]]}), philox.stream_hash({"bias": [1.0, 2.0]})
    )
    mixed = philox.stream_hash({"bias": [[1.0, 2.0]], "gain": [1.0, 2.0]})
    assert mixed[1] == philox.stream_hash({"bias": [[1.0, 2.0]], "gain": 2.0})[0]


def test_streams_do_not_collide() -> None:
    """Other names, neighbouring values and exchanged values all give different streams."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(300.0), np.arange(300.0)))
    streams = [philox.stream_hash({"tau_s": x, "tau_r": y}), philox.stream_hash({"tau_s": x, "gain": y})]
    assert np.unique(np.concatenate(streams)).size == 2 * x.size


@pytest.fixture(scope="module", params=["-O0", "-O3 -march=native -fno-math-errno -fno-trapping-math"])
def twin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Compile the C++ twin, unoptimised, or for this CPU with FMA units at hand."""
    if COMPILER is None:
        pytest.skip("needs g++ to compile kernels/philox.cuh")
    folder = tmp_path_factory.mktemp("philox")
    source, library = folder / "driver.cpp", folder / "driver.so"
    source.write_text(DRIVER)
    warnings = ["-Wall", "-Wextra", "-Wno-unused-function", "-Wno-psabi", "-Werror"]
    shared = ["-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-o", str(library), str(source)]
    subprocess.run([COMPILER, *request.param.split(), *warnings, *shared], check=True)
    return ctypes.CDLL(str(library))


def address(array: NDArray[np.generic]) -> ctypes.c_void_p:
    """Return the address of an array."""
    return ctypes.c_void_p(array.ctypes.data)


@pytest.mark.parametrize("kind", ["", *(f"_{size}_{count}" for size, count in VECTORS)])
def test_box_muller_gives_the_bits_of_numpy(twin: ctypes.CDLL, kind: str) -> None:
    """The C++ twin agrees to the last bit, one by one and in vectors of any width."""
    radius, angle = words(SETS * 20_000, seed=1)
    pairs = np.empty((2, radius.size), np.float32)
    twin[f"pairs{kind}"](
        address(radius), address(angle), ctypes.c_long(radius.size), address(pairs[0]), address(pairs[1])
    )
    for got, expected in zip(pairs, philox.box_muller(radius, angle), strict=True):
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


def test_the_header_gives_the_bits_of_numpy(twin: ctypes.CDLL) -> None:
    """The C++ twin uses the same normal of a call for a unit and a step."""
    seed, stream = 2**63 + 5, 2**50 + 7
    for units in (1, 2, 5):
        block = np.empty((100, units), np.float32)
        wide = (ctypes.c_uint64(seed), ctypes.c_uint64(stream))
        twin.fill(*wide, units, 1001, 1101, address(block))
        np.testing.assert_array_equal(block, philox.normals(seed, [stream], units, 1001, 1101)[:, :, 0])


@settings(max_examples=50, deadline=None)
@given(step_block=word, unit_block=words_of_sets, low=words_of_sets, high=words_of_sets, key=st.tuples(word, word))
@example(2**32 - 1, *(np.full(SETS, 2**32 - 1, np.uint32),) * 3, (2**32 - 1, 2**32 - 1))
def test_vectors_give_the_bits_of_numpy(
    twin: ctypes.CDLL,
    step_block: int,
    unit_block: NDArray[np.uint32],
    low: NDArray[np.uint32],
    high: NDArray[np.uint32],
    key: tuple[int, int],
) -> None:
    """Vectors of any width have the normals of each of their sets, for all counters and seeds."""
    random = philox.philox4x32((step_block, unit_block, low, high), key)
    expected = np.array([*philox.box_muller(*random[:2]), *philox.box_muller(*random[2:])], np.float32)
    for size, count in VECTORS:
        got = np.empty((4, SETS), np.float32)
        twin[f"normals_{size}_{count}"](
            ctypes.c_uint32(step_block),
            *(address(numbers) for numbers in (unit_block, low, high)),
            ctypes.c_long(SETS),
            ctypes.c_uint64(key[0] | key[1] << 32),
            address(got),
        )
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
