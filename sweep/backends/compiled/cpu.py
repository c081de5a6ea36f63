"""The kernel for CPUs, ``kernels/tile_of_sets.cpp``, cut to a job and to the processor's vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import Kernel, Needs

FILE = "tile_of_sets.cpp"

#: Rows of W and vectors of sets of a product in registers, by the bytes of a vector. Their sums must fit the registers;
#: processors with vectors of 64 bytes have twice as many registers.
_SHAPES = {64: (6, 4), 32: (6, 2), 16: (4, 2)}
#: Sets times units of a tile of a small network: enough to hide latencies, and few enough that the states of some steps fit
#: the first cache.
_TILE_NUMBERS = 128
#: Up to this many units each set may have a matrix of its own. With more units the sets of a tile share one.
_MOST_UNITS_OF_OWN_WEIGHTS = 64
#: Vector instructions of a product_sets of a unit, per weight and per sum. They are fitted to measured times, at two per cycle.
_INSTRUCTIONS, _PER_WEIGHT, _PER_SUM = 19, 0.8, 0.5
_NOISE_INSTRUCTIONS = 45


@dataclass(frozen=True, kw_only=True)
class TileKernel(Kernel):
    """A kernel for a CPU.

    Attributes
    ----------
    vector_bytes : int
        Size of a lane, which is a vector of neighbouring sets.
    rows, vectors : int
        Rows of W and vectors of sets of a product in registers.
    """

    vector_bytes: int
    rows: int
    vectors: int

    @property
    def own_weights(self) -> bool:
        """Whether each set has a matrix of its own. For factors alone it is not worth it: the sums over a run are scaled."""
        return self.needs.chooses and self.needs.units <= _MOST_UNITS_OF_OWN_WEIGHTS

    @property
    def shares_network(self) -> bool:
        """Whether the sets of a tile must have the same network."""
        return self.needs.coupling == 2 and not self.own_weights

    @property
    def record_axes(self) -> tuple[str, str, str]:
        """The order of a record's axes in memory: as in the result, because transposing would take longer than the steps."""
        return ("set", "record", "unit")

    @property
    def instructions(self) -> float:
        """About how many vector instructions a unit-product_sets takes."""
        needs = self.needs
        sums = _PER_SUM * (needs.sums + len(needs.running))
        return (
            _INSTRUCTIONS + _PER_WEIGHT * needs.units * (needs.coupling > 0) + sums + _NOISE_INSTRUCTIONS * needs.noisy
        )

    def own_macros(self) -> dict[str, int | str]:
        """Return the macros of the design; see :class:`sweep.backends.compiled.kernel.Kernel`."""
        return {
            "VECTOR_BYTES": self.vector_bytes,
            "TILE": self.tile_sets,
            "ROWS": self.rows,
            "VECTORS": self.vectors,
            "OWN_WEIGHTS": int(self.own_weights),
        }

    def packed(self, matrices: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Lay out weight matrices product by product, each ``[from][to]``; unchanged if each set has a matrix of its own."""
        if self.own_weights:
            return matrices
        count, units, _ = matrices.shape
        products = np.array_split(matrices, -(-units // self.rows), axis=1)
        return np.concatenate([part.transpose(0, 2, 1).reshape(count, -1) for part in products], axis=1)

    def describe(self) -> str:
        """Return how the steps are simulated, in words."""
        needs = self.needs
        width = self.vector_bytes // needs.itemsize
        return (
            f"tiles of {self.tile_sets} sets in vectors of {width} ({self.file}), N = {needs.units}, {needs.precision}"
        )


def choose(needs: Needs, vector_bytes: int) -> TileKernel:
    """Cut the kernel to a job, for vectors of ``vector_bytes`` bytes."""
    rows, vectors = _SHAPES[vector_bytes]
    product_sets = vectors * vector_bytes // needs.itemsize
    return TileKernel(
        file=FILE,
        needs=needs,
        tile_sets=product_sets * max(1, _TILE_NUMBERS // (product_sets * needs.units)),
        unroll=4 if needs.units == 1 else 2,
        vector_bytes=vector_bytes,
        rows=_rows(needs.units, rows),
        vectors=vectors,
    )


def _rows(units: int, most: int) -> int:
    """Return the rows of the largest product, if all products are about equal and none is padded."""
    return -(-units // -(-units // most))
