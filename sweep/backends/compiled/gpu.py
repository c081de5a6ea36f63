"""The kernels for GPUs: which one simulates a job, and how it is cut to the job.

There are three designs (``kernels/README.md``): a thread per set, a group of lanes per set, and a product per step. Each is
compiled for exactly what a job needs. A job that does not fit the registers of one design gets the next one. If a job makes
more comparisons with targets than any design can hold, they are made in several passes over the same steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import BY_BOTH, BY_SET, BY_UNIT, Kernel, Needs

_WARP = 32
_TILE, _DEPTH = 64, 16  # of kernels/product.cu
_THREADS = 128
_PARTS_OF_SM, _REGISTERS_OF_PART = 4, 16_384
#: Registers that a kernel may plan with. The compiler needs the rest of the 255 for addresses and for loads in progress.
_REGISTERS = 200
_OTHER_REGISTERS, _COMPARING_REGISTERS = 34, 10
#: The largest network for a thread per set, by bytes of a number. With more units the compiler would move weights of 8 bytes
#: into more registers than there are.
_MOST_UNITS_OF_THREAD = {4: 12, 8: 8}
_MOST_ROWS = 4
_MOST_COMPARISONS = 32
#: Instructions of a unit-step besides the product, counted in the compiled kernels: for the two equations, for the activation
#: in float32 and in float64, and for reading and writing the state if a launch is one step.
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
#: Bytes of shared memory for the series, and the largest and smallest number of steps in it.
_STAGE_BYTES, _STAGE_STEPS, _FEWEST_STAGE_STEPS = 16_384, 256, 16


def _ceil(number: int, share: int) -> int:
    return -(-number // share)


@dataclass(frozen=True, kw_only=True)
class CudaKernel(Kernel):
    """A kernel for a GPU, and how it is launched.

    Attributes
    ----------
    threads : int
        Number of threads in a thread block.
    rows, parts : int
        Rows of W that a lane holds, and into how many parts their columns are divided; 0 in the other designs.
    """

    threads: int
    rows: int = 0
    parts: int = 0

    @property
    def by_value(self) -> bool:
        """Whether weights, and parameters that vary by unit alone, are passed by value."""
        return self.file == THREAD_PER_SET

    @property
    def record_axes(self) -> tuple[str, str, str]:
        """The order of a record's axes in memory: last what differs between neighbouring lanes, sets or units."""
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
        """Number of steps whose series is in shared memory at a time; 0 if it is read from device memory."""
        needs = self.needs
        if not needs.columns or self.file == PRODUCT:
            return 0
        steps = _STAGE_BYTES // (needs.columns * needs.itemsize)
        whole = min(_STAGE_STEPS, steps // self.unroll * self.unroll)
        return whole if whole >= _FEWEST_STAGE_STEPS else 0

    @property
    def shared_bytes(self) -> int:
        """Bytes of shared memory of a thread block."""
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
        """Whether a thread has enough registers, and a thread block not so many threads that its barrier gets slow."""
        return self.registers <= _REGISTERS and self.threads <= 8 * _WARP

    @property
    def instructions(self) -> float:
        """About how many instructions of a thread a unit-step takes, including idle lanes."""
        needs = self.needs
        other = (
            _INSTRUCTIONS + _ACTIVATION_INSTRUCTIONS.get(needs.activation, _OF_ANOTHER_ACTIVATION)[needs.itemsize == 8]
        )
        other += 2 * needs.sums + len(needs.running) + _NOISE_INSTRUCTIONS * needs.noisy
        product = needs.units if needs.coupling else 0
        if self.file == PRODUCT:
            return 1.2 * (product + self._copied) + 3 * other + _STEP_INSTRUCTIONS
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
        macros: dict[str, int | str] = {"MIN_THREAD_BLOCKS": self._thread_blocks_per_sm}
        if self.file == PRODUCT:
            macros |= {"COPIES": len(self.copies), "COPIED": self._copied}
        else:
            macros["THREADS"] = self.threads
        if self.file == LANES_PER_SET:
            macros |= {"ROWS": self.rows, "PARTS": self.parts}
        return macros

    @property
    def _thread_blocks_per_sm(self) -> int:
        """Thread blocks per multiprocessor that the compiler must leave registers for; it would fill more with constants."""
        if self.file == PRODUCT:
            return 4 if self.needs.itemsize == 4 else 2
        spare = 60 if self.file == LANES_PER_SET or self.needs.units <= 8 else 120
        # A warp takes its registers from one of the four parts of a multiprocessor.
        warps = _PARTS_OF_SM * (_REGISTERS_OF_PART // (_WARP * min(255, self.registers + spare)))
        return max(1, min(16, warps // (self.threads // _WARP)))

    @property
    def rows_of_rates(self) -> int:
        """Number of rows of the rates that the product reads, padded to a multiple of its depth."""
        return _ceil(self.needs.units + self._copied, _DEPTH) * _DEPTH

    @property
    def copies(self) -> Sequence[tuple[range, int]]:
        """Runs of units of which the product reads the rates times a factor, besides the rates."""
        return self.needs.factors.copies if self.file == PRODUCT else ()

    @property
    def _copied(self) -> int:
        return sum(len(run) for run, _ in self.copies)

    def packed(self, matrices: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Lay out weight matrices ``(network, to, from)``; for the product as ``(network, from, to)``, padded with 0."""
        if self.file != PRODUCT:
            return matrices
        units = self.needs.units
        room = ((0, 0), (0, self.rows_of_rates - units - self._copied), (0, -units % _TILE))
        return np.pad(matrices.transpose(0, 2, 1), room)

    def thread_blocks(self, sets: int) -> int:
        """Return the number of thread blocks of a launch."""
        tiles = _ceil(self.needs.units, _TILE) if self.file == PRODUCT else 1
        return sets // self.tile_sets * tiles

    def describe(self) -> str:
        """Return how the steps are simulated, in words."""
        needs = self.needs
        how = {
            THREAD_PER_SET: "a thread per set",
            LANES_PER_SET: f"{self.tile_sets} sets per thread block of {self.threads} lanes",
            PRODUCT: "a tiled product per step",
        }[self.file]
        return f"{how} ({self.file}), N = {needs.units}, {needs.precision}"


THREAD_PER_SET, LANES_PER_SET, PRODUCT = "thread_per_set.cu", "lanes_per_set.cu", "product.cu"


def candidates(needs: Needs) -> Iterator[CudaKernel]:
    """Yield all ways to cut a kernel to a job. Only the last one, the product, always fits."""
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
    """Return the kernel with the fewest instructions among those that fit."""
    *on_chip, product = candidates(needs)
    return min(filter(lambda one: one.fits, on_chip), key=lambda one: one.instructions, default=product)


def passes(needs: Needs) -> list[tuple[slice, CudaKernel]]:
    """Divide the comparisons of a job into passes over its steps.

    Returns
    -------
    list of (slice, Kernel)
        The comparisons and the kernel of each pass. The first pass also measures all other observables.
    """
    counts = {max(1, _ceil(needs.comparisons, most)) for most in range(1, _MOST_COMPARISONS + 1)}
    shares = min(
        sorted(counts),
        key=lambda count: sum(one.instructions for _, one in _divided(needs, count)),
    )
    return _divided(needs, shares)


def _divided(needs: Needs, shares: int) -> list[tuple[slice, CudaKernel]]:
    bounds = [needs.comparisons * k // shares for k in range(shares + 1)]
    return [(some, choose(needs.to_compare(some))) for some in itertools.starmap(slice, itertools.pairwise(bounds))]
