"""Lanes: the errors of the activations, and that a value does not depend on the width of its vector."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.lanes import ACTIVATIONS, CALLS, HEADER, SCALARS, WIDTHS, Array, Library, assert_same_bits, sample


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Compile scalars for any processor of this kind."""
    return Library(tmp_path_factory.mktemp("plain"), HEADER, dict.fromkeys(WIDTHS, (1,)), ["-O1"])


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Compile scalars and vectors for this very processor."""
    return Library(tmp_path_factory.mktemp("native"), HEADER, WIDTHS, ["-O3", "-march=native"])


def truth(name: str, z: Array) -> Array:
    """Compute the activation in the next wider type."""
    wide = z.astype(np.float64 if z.dtype == np.float32 else np.longdouble)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        size = np.exp(-np.abs(wide))
        values = {
            "linear": lambda: wide,
            "relu": lambda: np.maximum(wide, 0),
            "tanh": lambda: np.tanh(wide),
            "sigmoid": lambda: np.where(wide < 0, size, 1) / (1 + size),
            "softplus": lambda: np.maximum(wide, 0) + np.log1p(size),
        }
        return np.asarray(values[name]())


def ulps(got: Array, expected: Array) -> Array:
    """Distance in units of the last place; if the exact value is subnormal, of the smallest normal number."""
    info = np.finfo(got.dtype)
    wide = expected.dtype.type
    exponent = np.maximum(np.frexp(np.where(np.isfinite(expected), expected, 1))[1] - 1, info.minexp)
    unit = np.where(
        np.abs(expected) < info.tiny, info.tiny.astype(wide), np.ldexp(wide(1), exponent + int(info.machep))
    )
    with np.errstate(invalid="ignore"):
        distance = np.abs(got.astype(wide) - expected) / unit
    return np.where(got.astype(wide) == expected, 0, distance)


@pytest.mark.parametrize(
    ("scalar", "name", "bound"),
    [
        ("float", "linear", 0),
        ("float", "relu", 0),
        ("float", "tanh", 4.1),
        ("float", "sigmoid", 2.5),
        ("float", "softplus", 2.5),
        ("double", "linear", 0),
        ("double", "relu", 0),
        ("double", "tanh", 2.6),
        ("double", "sigmoid", 2.6),
        ("double", "softplus", 3.6),
    ],
)
def test_an_activation_is_within_its_bound(plain: Library, scalar: str, name: str, bound: float) -> None:
    """Over all binades the error stays below the bound; NaN gives NaN and nothing else does."""
    z = sample(scalar)
    got, expected = plain(name, z), truth(name, z)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(z))
    assert np.max(ulps(got, expected)[~np.isnan(z)]) <= bound


@pytest.mark.parametrize("fault", [0.0, 2.0**-23, -(2.0**-23)])
def test_the_formulas_of_a_gpu_are_within_their_bounds(tmp_path: Path, fault: float) -> None:
    """The same, with the hardware's reciprocal and power of two simulated: rounded once, or off by up to 1 ulp more.

    Like the hardware's they take subnormal numbers for 0, and give 0 for them.
    """
    header = "static inline float flushed(float a) { return fabsf(a) < 0x1p-126f ? 0 : a; }\n" + HEADER
    for statement, stand_in in {
        'asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(a));': "inverse = flushed((1 + FAULT) / flushed(a));",
        'asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(a));': "power = flushed((1 + FAULT) * exp2((double)flushed(a)));",
    }.items():
        assert statement in header
        header = header.replace(statement, stand_in)
    flags = ["-O1", "-D__CUDA_ARCH__=750", f"-DFAULT=({fault})", "-include", "math.h"]
    gpu = Library(tmp_path, header, {"float": (1,)}, flags)
    z = sample("float")
    z = z[~np.isnan(z)]
    for name, bound in {"tanh": 4, "sigmoid": 8, "softplus": 6}.items():
        assert np.max(ulps(gpu(name, z), truth(name, z))) <= bound, name


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("scalar", SCALARS)
def test_bits_do_not_depend_on_the_width(plain: Library, native: Library, scalar: str, name: str) -> None:
    """A scalar without optimisation and a vector of any width with FMA units give the same bits."""
    a = sample(scalar)
    b, c = np.random.default_rng(6).permuted([a, a], axis=1)
    expected = plain(name, a, b, c)
    for width in WIDTHS[scalar]:
        assert_same_bits(native(name, a, b, c, width=width), expected)


@pytest.mark.parametrize("scalar", SCALARS)
def test_limits_are_exact(plain: Library, scalar: str) -> None:
    """At the infinities an activation is at its limit; at 0 it has its value, log(2) within its last digit."""
    kind = SCALARS[scalar]
    z = np.array([-np.inf, 0, np.inf], kind)
    limits = {
        "linear": [-np.inf, 0, np.inf],
        "relu": [0, 0, np.inf],
        "tanh": [-1, 0, 1],
        "sigmoid": [0, 0.5, 1],
        "softplus": [0, kind(np.log(2)), np.inf],
    }
    for name, expected in limits.items():
        got = plain(name, z)
        if name == "softplus":
            np.testing.assert_array_max_ulp(got[1], kind(expected[1]), maxulp=1)
            got[1] = expected[1]
        np.testing.assert_array_equal(got, np.array(expected, kind), err_msg=name)


@pytest.mark.parametrize("scalar", SCALARS)
def test_tanh_is_odd_and_never_beyond_one(plain: Library, scalar: str) -> None:
    """The sign bit passes through and changes nothing else, no value exceeds 1, and small values are unchanged."""
    z = sample(scalar)
    z = z[~np.isnan(z)]
    rate = plain("tanh", z)
    assert_same_bits(plain("tanh", -z), -rate)
    assert np.max(np.abs(rate)) == 1
    small = np.abs(z) < np.finfo(z.dtype).eps / 8
    assert small.sum() > 1000
    np.testing.assert_array_equal(rate[small], z[small])


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_an_activation_rises(plain: Library, scalar: str, name: str) -> None:
    """Below saturation a larger z gives a larger rate, also where two formulas meet."""
    z = np.arange(-5, 5, 0.01).astype(SCALARS[scalar])
    assert np.all(np.diff(plain(name, z)) > 0)


@pytest.mark.parametrize("scalar", SCALARS)
def test_fma_rounds_once(plain: Library, scalar: str) -> None:
    """With fma the rounding error of a product is computed to the last bit."""
    a, b = np.random.default_rng(7).uniform(1, 2, (2, 1000)).astype(SCALARS[scalar])
    product = a * b
    lost = [
        float(Fraction(x) * Fraction(y) - Fraction(p))
        for x, y, p in zip(*np.stack([a, b, product]).tolist(), strict=True)
    ]
    np.testing.assert_array_equal(plain("fma", a, b, -product), lost)
    assert np.count_nonzero(lost) > 900


@pytest.mark.parametrize("scalar", SCALARS)
def test_the_rest_is_as_in_numpy(plain: Library, scalar: str) -> None:
    """Minimum and maximum, size and sign, quotients, finiteness. A NaN as second argument is not lost."""
    a = sample(scalar)
    a = a[~np.isnan(a)]
    b = np.random.default_rng(8).permutation(sample(scalar))[: a.size]
    with np.errstate(all="ignore"):
        expected = {
            "minimum": np.minimum(a, b),
            "maximum": np.maximum(a, b),
            "absolute": np.abs(a),
            "copy_sign": np.copysign(np.abs(a), b),
            "reciprocal": 1 / a,
            "divide": a / b,
            "is_finite": np.isfinite(a).astype(a.dtype),
        }
    for name, values in expected.items():
        np.testing.assert_array_equal(plain(name, a, b), values, err_msg=name)
    assert np.isnan(plain("minimum", a, b)).any()
    assert not plain("is_finite", np.full(1, np.nan, a.dtype))


# Machine instructions of one activation, apart from constants, which a time loop loads once.
BUDGETS = {"linear": 0, "relu": 1, "tanh": 13, "sigmoid": 10, "softplus": 17}


def test_gpus_need_few_instructions() -> None:
    """NVRTC compiles the activations without a warning, a branch or a spill. From sm_80 on they keep their budgets."""
    from support import sass

    kernel = """
    extern "C" __global__ void {name}_{scalar}({scalar} *values, int steps) {{
        {scalar} z = values[threadIdx.x];
        #pragma unroll 1
        for (int step = 0; step < steps; ++step) z = {scalar}(1.5) * {call};
        values[threadIdx.x] = z;
    }}
    """
    calls = {"none": "z", **{name: f"lanes::{name}(z)" for name in ACTIVATIONS}}
    kernels = [kernel.format(name=name, scalar=scalar, call=call) for name, call in calls.items() for scalar in SCALARS]
    source = "".join([HEADER, *kernels])
    for (_, arch), cubin in sass.compile_all({"activations": source}, sass=True).items():
        assert cubin.warnings == []
        for entry in cubin.entries:
            used = cubin.resources(entry)
            assert (used.spill_stores, used.stack) == (0, 0), (entry, arch)
        loops = {name: cubin.time_loop(f"{name}_float") for name in calls}
        for name, budget in BUDGETS.items():
            assert loops[name].count("BRA") == 1, (name, arch)
            constants = loops[name].count("MOV", "HFMA2")
            spent = loops[name].total - constants - loops["none"].total
            assert arch == "sm_75" or spent <= budget, (name, arch)
