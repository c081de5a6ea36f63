"""Which kernel takes the steps of a job, and how it is cut to the job's measure.

There are three designs (``kernels/README.md``): a thread per set, a group of lanes per set, and a product per step. Each is
compiled for exactly what a job needs. What a design cannot hold in registers goes to the next one; more comparisons with
targets than any can hold are made in several passes over the same steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import BY_BOTH, BY_SET, BY_UNIT, Kernel, Needs

_WARP = 32
_TILE, _DEPTH = 64, 16  # of kernels/product.cu
_THREADS = 128
_PARTS_OF_SM, _REGISTERS_OF_PART = 4, 16_384
#: Registers that a kernel may count on; the compiler wants some of the 255 for addresses and for loads under way.
_REGISTERS = 200
_OTHER_REGISTERS, _COMPARING_REGISTERS = 34, 10
#: By bytes of a number: from 9 units on the compiler would move weights of 8 bytes into registers that it lacks.
_MOST_UNITS_OF_THREAD = {4: 12, 8: 8}
_MOST_ROWS = 4
_MOST_COMPARISONS = 32
#: Instructions of a unit-step besides the product, as counted in the compiled kernels: of the two equations, of the
#: activation in float32 and float64, and of reading and writing the state where a launch is a step.
_INSTRUCTIONS = 4
_ACTIVATION_INSTRUCTIONS = {
    "linear": (0, 0),
    "relu": (1, 3),
    "tanh": (13, 90),
    "sigmoid": (10, 60),
    "softplus": (17, 90),
}
_OF_ANOTHER_ACTIVATION = (20, 90)
_STEP_INSTRUCTIONS = 90
_NOISE_INSTRUCTIONS = 45
#: Shared memory for the series, and the most steps of it.
_STAGE_BYTES, _STAGE_STEPS, _FEWEST_STAGE_STEPS = 16_384, 256, 16


def _ceil(number: int, share: int) -> int:
    return -(-number // share)


@dataclass(frozen=True, kw_only=True)
class CudaKernel(Kernel):
    """A kernel for a GPU, and how it is launched.

    Attributes
    ----------
    threads : int
        In a block.
    rows, parts : int
        Of the weights, for a lane; 0 where a design has no such thing.
    """

    threads: int
    rows: int = 0
    parts: int = 0

    @property
    def by_value(self) -> bool:
        """Whether weights and what varies by unit are passed by value."""
        return self.file == THREAD_PER_SET

    @property
    def record_axes(self) -> tuple[str, str, str]:
        """How records lie in memory: neighbouring lanes have sets, or the units of one."""
        return ("record", "set", "unit") if self.file == LANES_PER_SET else ("record", "unit", "set")

    @property
    def one_step(self) -> bool:
        """Whether a launch is one step."""
        return self.file == PRODUCT

    @property
    def shares_network(self) -> bool:
        """Whether the sets of a tile must have the same network."""
        return self.file == PRODUCT and self.needs.coupling == 2

    @property
    def stage(self) -> int:
        """Steps of the series that are in shared memory at a time."""
        needs = self.needs
        if not needs.columns or self.file == PRODUCT:
            return 0
        steps = _STAGE_BYTES // (needs.columns * needs.itemsize)
        whole = min(_STAGE_STEPS, steps // self.unroll * self.unroll)
        return whole if whole >= _FEWEST_STAGE_STEPS else 0

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        itemsize = self.needs.itemsize
        if self.file == PRODUCT:
            return _TILE * _TILE * itemsize
        rates = 0
        if self.file == LANES_PER_SET:
            rates = 2 * self.tile_sets * (4 * _ceil(self.needs.units, 4) + 4)
        return (rates + self.stage * self.needs.columns) * itemsize

    @property
    def registers(self) -> int:
        """About how many registers a thread needs."""
        needs = self.needs
        if self.file == PRODUCT:
            return 112
        held = needs.units if self.file == THREAD_PER_SET else self.rows // self.parts
        each = 2 + 2 * needs.compensated + needs.sums + len(needs.running)
        each += sum(mode == BY_BOTH or (mode == BY_UNIT and not self.by_value) for mode in needs.modes)
        each += 2 if needs.noisy else 0
        weights = 0
        if needs.coupling and self.file == LANES_PER_SET:
            weights = self.rows * 4 * _ceil(_ceil(needs.units, 4), self.parts)
        elif needs.coupling == 2:
            weights = needs.units**2
        common = sum(mode == BY_SET for mode in needs.modes)
        other = _OTHER_REGISTERS + _COMPARING_REGISTERS * (needs.comparisons > 0)
        return other + (held * (each + 1) + weights + common) * needs.itemsize // 4

    @property
    def fits(self) -> bool:
        """Whether a thread has registers enough, and a block no more threads than are worth a barrier."""
        return self.registers <= _REGISTERS and self.threads <= 8 * _WARP

    @property
    def instructions(self) -> float:
        """About how many instructions of a thread a unit-step takes, idle lanes counted."""
        needs = self.needs
        other = (
            _INSTRUCTIONS + _ACTIVATION_INSTRUCTIONS.get(needs.activation, _OF_ANOTHER_ACTIVATION)[needs.itemsize == 8]
        )
        other += 2 * needs.sums + len(needs.running) + _NOISE_INSTRUCTIONS * needs.noisy
        product = needs.units if needs.coupling else 0
        if self.file == PRODUCT:
            return 1.2 * product + 3 * other + _STEP_INSTRUCTIONS
        if self.file == THREAD_PER_SET:
            return product + other
        held = self.rows // self.parts
        lanes = self.parts * _ceil(needs.units, self.rows)
        quads = _ceil(_ceil(needs.units, 4), self.parts) if needs.coupling else 0
        wasted = 2 if needs.noisy and held % 2 else 1
        step = quads * (4 * self.rows + 1) + held * (other + 2 * (self.parts - 1)) + 6
        step += held * (wasted - 1) * _NOISE_INSTRUCTIONS
        width = _ceil(lanes, _WARP) * _WARP if lanes > _WARP else _WARP / (_WARP // lanes)
        return step * width / needs.units

    def own_macros(self) -> dict[str, int | str]:
        """Return the macros of the design; see :class:`sweep.backends.compiled.kernel.Kernel`."""
        macros: dict[str, int | str] = {"MIN_THREAD_BLOCKS": self._blocks_per_sm}
        if self.file != PRODUCT:
            macros["THREADS"] = self.threads
        if self.file == LANES_PER_SET:
            macros |= {"ROWS": self.rows, "PARTS": self.parts}
        return macros

    @property
    def _blocks_per_sm(self) -> int:
        """Blocks that the compiler must leave registers for: without a limit it keeps constants in them."""
        if self.file == PRODUCT:
            return 4 if self.needs.itemsize == 4 else 2
        spare = 60 if self.file == LANES_PER_SET or self.needs.units <= 8 else 120
        # A warp takes its registers from one of the four parts of a multiprocessor.
        warps = _PARTS_OF_SM * (_REGISTERS_OF_PART // (_WARP * min(255, self.registers + spare)))
        return max(1, min(16, warps // (self.threads // _WARP)))

    @property
    def rows_of_rates(self) -> int:
        """Rows that the product reads of the rates, whole depths of it."""
        return _ceil(self.needs.units, _DEPTH) * _DEPTH

    def packed(self, matrices: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Lay out weight matrices ``(network, to, from)``: for the product ``(network, from, to)``, padded with 0."""
        if self.file != PRODUCT:
            return matrices
        units = self.needs.units
        room = ((0, 0), (0, self.rows_of_rates - units), (0, -units % _TILE))
        return np.pad(matrices.transpose(0, 2, 1), room)

    def blocks(self, sets: int) -> int:
        """Return how many blocks a launch has."""
        tiles = _ceil(self.needs.units, _TILE) if self.file == PRODUCT else 1
        return sets // self.tile_sets * tiles

    def describe(self) -> str:
        """Say in words how the steps are taken."""
        needs = self.needs
        how = {
            THREAD_PER_SET: "a thread per set",
            LANES_PER_SET: f"{self.tile_sets} sets per block of {self.threads} lanes",
            PRODUCT: "a tiled product per step",
        }[self.file]
        return f"{how} ({self.file}), N = {needs.units}, {needs.precision}"


THREAD_PER_SET, LANES_PER_SET, PRODUCT = "thread_per_set.cu", "lanes_per_set.cu", "product.cu"


def candidates(needs: Needs) -> Iterator[CudaKernel]:
    """Yield the ways to take the steps of a job with no more registers than there are; the last is always possible."""
    units = needs.units
    if units <= _MOST_UNITS_OF_THREAD[needs.itemsize]:
        yield CudaKernel(
            file=THREAD_PER_SET,
            needs=needs,
            threads=_THREADS,
            tile_sets=_THREADS,
            unroll=4 if units <= 4 else 2,
        )
    for parts in (1, 2):
        for rows in range(parts, _MOST_ROWS + 1, parts) if units > 1 else ():
            lanes = parts * _ceil(units, rows)
            threads = _THREADS if lanes <= _WARP else _ceil(lanes, _WARP) * _WARP
            yield CudaKernel(
                file=LANES_PER_SET,
                needs=needs,
                threads=threads,
                tile_sets=threads // _WARP * (_WARP // lanes) if lanes <= _WARP else 1,
                rows=rows,
                parts=parts,
                unroll=2,
            )
    yield CudaKernel(file=PRODUCT, needs=needs, threads=_THREADS, tile_sets=_TILE)


@lru_cache
def choose(needs: Needs) -> CudaKernel:
    """Choose the way with the fewest instructions that fits."""
    *on_chip, product = candidates(needs)
    return min(filter(lambda one: one.fits, on_chip), key=lambda one: one.instructions, default=product)


def passes(needs: Needs) -> list[tuple[slice, CudaKernel]]:
    """Divide the comparisons of a job into passes over its steps.

    Returns
    -------
    list of (slice, Kernel)
        The comparisons of each pass; the first also measures all the rest.
    """
    counts = {max(1, _ceil(needs.comparisons, most)) for most in range(1, _MOST_COMPARISONS + 1)}
    shares = min(
        sorted(counts),
        key=lambda count: sum(one.instructions for _, one in _divided(needs, count)),
    )
    return _divided(needs, shares)


def _divided(needs: Needs, shares: int) -> list[tuple[slice, CudaKernel]]:
    bounds = [needs.comparisons * k // shares for k in range(shares + 1)]
    return [
        (slice(low, high), choose(needs.to_compare(high - low, first=low == 0)))
        for low, high in itertools.pairwise(bounds)
    ]
