"""The functions of a lane (kernels/activations.cuh) as a library, and numbers to test them with."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.backends.compiled.source import folder, inlined

COMPILER = shutil.which("g++")

HEADER = inlined(folder() / "activations.cuh")

Array = NDArray[np.floating]

WIDTHS = {"float": (1, 4, 8, 16), "double": (1, 2, 4, 8)}
SCALARS = {"float": np.float32, "double": np.float64}
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softplus")

# Every function of a lane as one of three lanes a, b and c.
CALLS = {
    **{name: f"lanes::{name}(a)" for name in ACTIVATIONS},
    "fma": "lanes::fma(a, b, c)",
    "minimum": "lanes::minimum(a, b)",
    "maximum": "lanes::maximum(a, b)",
    "absolute": "lanes::absolute(a)",
    "copy_sign": "lanes::copy_sign(lanes::absolute(a), b)",
    "reciprocal": "lanes::reciprocal(a)",
    "divide": "lanes::divide(a, b)",
    "is_finite": "lanes::select(lanes::is_finite(a), lanes::broadcast<lane>(1), lane{})",
}

DRIVER = """
extern "C" void {name}_{scalar}_{width}(
    const {scalar} *x, const {scalar} *y, const {scalar} *z, {scalar} *out, long n) {{
    typedef {lane};
    for (long i = 0; i < n; i += {width}) {{
        lane a, b, c;
        __builtin_memcpy(&a, x + i, sizeof a);
        __builtin_memcpy(&b, y + i, sizeof b);
        __builtin_memcpy(&c, z + i, sizeof c);
        const lane result = {call};
        __builtin_memcpy(out + i, &result, sizeof result);
    }}
}}
"""


class Library:
    """The functions of CALLS, compiled over lanes of some widths."""

    def __init__(self, path: Path, header: str, widths: dict[str, tuple[int, ...]], flags: list[str]) -> None:
        if COMPILER is None:
            pytest.skip("needs g++ to compile kernels/activations.cuh")
        source, library = path / "lanes.cpp", path / "lanes.so"
        drivers = [
            DRIVER.format(
                name=name,
                call=call,
                scalar=scalar,
                width=width,
                lane=f"{scalar} lane"
                + (f" __attribute__((vector_size({width} * sizeof({scalar}))))" if width > 1 else ""),
            )
            for name, call in CALLS.items()
            for scalar, choice in widths.items()
            for width in choice
        ]
        source.write_text("\n".join([header, *drivers]))
        # -Wpsabi warns of vectors that are wider than the registers, but no vector is an argument once all is inlined.
        warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-but-set-variable", "-Wno-psabi"]
        options = ["-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
        command = [str(COMPILER), *options, *flags, *warnings, "-o", str(library), str(source)]
        subprocess.run(command, check=True)
        self._library = ctypes.CDLL(str(library))

    def __call__(self, name: str, *arrays: Array, width: int = 1) -> Array:
        """Return the function of up to three arrays, whose length is a multiple of the width."""
        first = arrays[0]
        scalar = {4: "float", 8: "double"}[first.dtype.itemsize]
        out = np.full_like(first, 7)
        inputs = [np.ascontiguousarray(array) for array in (*arrays, first, first)[:3]]
        function = getattr(self._library, f"{name}_{scalar}_{width}")
        function(*(ctypes.c_void_p(array.ctypes.data) for array in (*inputs, out)), ctypes.c_long(first.size))
        return out


def sample(scalar: str) -> Array:
    """Numbers of every binade, many in the range where activations bend, and special values."""
    generator, kind = np.random.default_rng(5), SCALARS[scalar]
    anywhere = generator.integers(0, 256, (2**18, np.dtype(kind).itemsize), dtype=np.uint8).view(kind).ravel()
    anywhere[np.isnan(anywhere)] = np.nan  # a signalling NaN would make NumPy warn
    bend = np.exp2(generator.uniform(-14, 7.5, 2**18)) * generator.choice([-1, 1], 2**18)
    info = np.finfo(kind)
    edges = [
        0,
        info.smallest_subnormal,
        info.tiny / 2,
        info.tiny,
        0.55,
        9.01,
        9.02,
        87.7,
        88,
        104,
        746,
        info.max,
        np.inf,
    ]
    edges = np.array([*edges, np.nan, 1, 2], kind)
    return np.concatenate([anywhere, bend.astype(kind), edges, -edges])


def assert_same_bits(got: Array, expected: Array) -> None:
    """All NaN count as equal, because the compiler chooses which of two NaN a sum returns."""
    word = np.uint32 if got.dtype == np.float32 else np.uint64
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    there = ~np.isnan(got)
    np.testing.assert_array_equal(got.view(word)[there], expected.view(word)[there])
