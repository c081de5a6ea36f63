"""Bugs planted in the real kernels are found: with some order of threads the result is wrong, or the launch fails.

These tests are about the emulator, not the kernels: if a kernel passes on it, its barriers and its indices are right.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from support import emulated
from support.emulator import EmulationError, Module
from support.marks import quick

from sweep import Integration, Job, Model, Target, gaussian, grid, record, samples, sine
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.gpu import LANES_PER_SET, PRODUCT, THREAD_PER_SET, choose
from sweep.backends.compiled.kernel import Needs
from sweep.backends.compiled.source import Specialisation
from sweep.execution.prepare import prepare

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)
SEEDS = range(12)


@dataclass(frozen=True)
class Bug:
    """A piece of the inlined source of a kernel, and the wrong text that replaces it."""

    right: str
    wrong: str

    def plant(self, text: str) -> str:
        """Plant the bug in a source, which must have the right text exactly once."""
        assert text.count(self.right) == 1, f"the kernel has changed: plant another bug than {self.right!r}"
        return text.replace(self.right, self.wrong)


@dataclass(frozen=True)
class Text:
    """A source, and the file it comes from."""

    source: str
    file: str


class Planted(emulated.Device):
    """An emulated device on which every kernel has the bug."""

    speed = 1e15

    def __init__(self, bug: Bug | None, seed: int) -> None:
        super().__init__(seed)
        self._bug = bug

    def load(self, specialisation: Specialisation | Text) -> Module:
        """Compile a kernel with the bug in it."""
        source = specialisation.source
        return super().load(Text(self._bug.plant(source) if self._bug else source, specialisation.file))


def job(units: int) -> Job:
    """Return a noisy driven job whose launches have several segments, with a record and comparisons."""
    rng = np.random.default_rng(units)
    return Job(
        model=Model(
            units=units,
            weights=gaussian(units=units, seed=1),
            parameters={"noise": 0.3, "x0": rng.normal(size=units), "bias": rng.normal(size=units)},
        ),
        input=sine(amplitude=1.0, frequency=40.0),
        target=Target(samples(rng.normal(size=60), interval=1.0), lags=[0, 2]),
        design=grid(tau_s=[2.0, 5.0, 20.0], gain=[0.5, 1.0]),
        integration=Integration(dt=1, duration=43, transient=5),
        observe=["r_mean", "x_var", "r_max", "x_final", "target_correlation", record("r", every=3)],
    )


def simulate(units: int, bug: Bug | None, seed: int) -> bytes:
    """Run the job of a size, and return all bits of its results."""
    this = job(units)
    results = KernelBackend("planted", Planted(bug, seed)).simulate(prepare(this), this.parameter_sets(this.blocks[0]))
    return b"".join(results[name].tobytes() for name in sorted(results))


@lru_cache
def expected(units: int) -> bytes:
    """Return the results of the kernel without a bug."""
    return simulate(units, None, 0)


def found(units: int, bug: Bug, seed: int) -> bool:
    """Return whether the bug is found with a seed."""
    try:
        return simulate(units, bug, seed) != expected(units)
    except EmulationError:
        return True


#: Sizes for which a kernel waits in another way, has idle lanes, or lanes with places left over.
THREAD, WARP, BLOCK, TILES = 3, 18, 77, 150
KERNELS = {THREAD: THREAD_PER_SET, WARP: LANES_PER_SET, BLOCK: LANES_PER_SET, TILES: PRODUCT}

PUBLISHED = "if constexpr (IN_WARP)\n            __syncwarp();\n        else\n            __syncthreads();"

BUGS: dict[str, tuple[int, Bug]] = {
    "a stage is overwritten while others read it": (
        THREAD,
        Bug("    __syncthreads();  // the last stage has been read by all\n", ""),
    ),
    "a stage is read before all of it is there": (
        THREAD,
        Bug("stage[i] = rows[i];\n    __syncthreads();", "stage[i] = rows[i];"),
    ),
    "a stage begins one row late": (
        THREAD,
        Bug("(unsigned long long)from * COLUMNS;\n    __sync", "(from + 1) * COLUMNS;\n    __sync"),
    ),
    "a turn of several steps goes on by one row": (THREAD, Bug("row += turn * COLUMNS;", "row += COLUMNS;")),
    "weights by value are transposed": (
        THREAD,
        Bug("a.constants[WEIGHTS_AT + to * UNITS + from]", "a.constants[WEIGHTS_AT + from * UNITS + to]"),
    ),
    "a thread takes its neighbour's set": (
        THREAD,
        Bug("blockIdx.x * THREADS + threadIdx.x)", "blockIdx.x * THREADS + threadIdx.x + 1)"),
    ),
    "an array of sets is transposed": (THREAD, Bug("(long long)row * sets + set;", "(long long)set * sets + row;")),
    "lanes of a warp do not wait for the rates": (WARP, Bug("__syncwarp();", ";")),
    "a set of several warps waits for one": (BLOCK, Bug(PUBLISHED, "__syncwarp();")),
    "one copy of the rates in a warp": (WARP, Bug("copy = 1 - copy;", "")),
    "one copy of the rates in a block": (BLOCK, Bug("copy = 1 - copy;", "")),
    "the copies are read the wrong way round": (WARP, Bug("rates + copy * COPY", "rates + (1 - copy) * COPY")),
    "rates are wiped after they are published": (
        WARP,
        Bug("rates[i] = 0;\n        __syncthreads();", "rates[i] = 0;"),
    ),
    "the padding of the rates is not wiped": (WARP, Bug("rates[i] = 0;", ";")),
    "groups of a warp share their rates": (WARP, Bug("own * STRIDE + first + i]", "first + i]")),
    "weights of lanes are transposed": (
        WARP,
        Bug("matrix[to * UNITS + from]", "matrix[from * UNITS + to]"),
    ),
    "both parts of a row keep the same sums": (BLOCK, Bug("row + (part * HELD + i) % ROWS", "row + i")),
    "a place left over is flushed": (WARP, Bug("if (has(i)) observers[i].flush", "observers[i].flush")),
    "a place left over is stored": (WARP, Bug("if (!has(i)) continue;", "")),
    "a place left over is recorded": (WARP, Bug("RECORD_R && has(i) &&", "RECORD_R &&")),
    "units beyond the last are read": (
        BLOCK,
        Bug("return first + i < UNITS ? first + i : UNITS - 1;", "return first + i;"),
    ),
    "a tile is multiplied before it is there": (
        TILES,
        Bug("rates.store(shared + ROWS_OF_TILE);\n    __syncthreads();", "rates.store(shared + ROWS_OF_TILE);"),
    ),
    "a tile is overwritten while others multiply": (
        TILES,
        Bug("        }\n        __syncthreads();\n    }\n#pragma unroll", "        }\n    }\n#pragma unroll"),
    ),
    "sums are finished before they are there": (
        TILES,
        Bug("*(const Quad *)sums[i];\n    __syncthreads();", "*(const Quad *)sums[i];"),
    ),
    "one copy of the tiles": (TILES, Bug("copy = 1 - copy;", "")),
    "units and sets of a tile are swapped": (
        TILES,
        Bug(
            "first_set = blockIdx.x % tiles * TILE, first_unit = blockIdx.x / tiles * TILE;",
            "first_set = blockIdx.x / tiles * TILE, first_unit = blockIdx.x % tiles * TILE;",
        ),
    ),
    "new rates are seen in the same step": (
        TILES,
        Bug("*at(a.new_rates, unit, a.sets, set) = u.r;", "*at((real *)a.rates, unit, a.sets, set) = u.r;"),
    ),
    "the last tile has units beyond the last": (TILES, Bug("if (unit < UNITS) finish", "finish")),
}


@pytest.mark.parametrize("units", KERNELS)
def test_the_kernels_as_they_stand_are_right_in_any_order(units: int) -> None:
    """Without a bug the bits are the same for every seed, and no launch fails."""
    assert choose(Needs.of(job(units), compensated=False)).file == KERNELS[units]
    assert all(simulate(units, None, seed) == expected(units) for seed in SEEDS[:4])


#: One of each kind for each kernel.
QUICK = (
    "a stage is overwritten while others read it",
    "weights by value are transposed",
    "lanes of a warp do not wait for the rates",
    "a set of several warps waits for one",
    "a place left over is stored",
    "units beyond the last are read",
    "a tile is multiplied before it is there",
    "new rates are seen in the same step",
)


@pytest.mark.parametrize("name", quick(QUICK, BUGS))
def test_a_planted_bug_is_found(name: str) -> None:
    """Each bug compiles, and with at least one seed the result differs or the launch fails."""
    units, bug = BUGS[name]
    Planted(bug, 0).load(choose(Needs.of(job(units), compensated=False)).specialisation)
    assert any(found(units, bug, seed) for seed in SEEDS)
