"""How the CPU's kernel is cut to a job and to the vector unit: ``kernels/tile_of_sets.cpp``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.backends.compiled.kernel import Kernel, Needs

FILE = "tile_of_sets.cpp"

#: Rows of W and vectors of sets that a product in registers takes at once, by the bytes of a vector: as many sums as fit
#: the registers, of which there are twice as many where vectors have 64 bytes.
_SHAPES = {64: (6, 4), 32: (6, 2), 16: (4, 2)}
#: Numbers of each kind that a tile of a small network has: enough to hide latencies, few enough that the states of some
#: steps lie in the first cache.
_TILE_NUMBERS = 128
#: Up to so many units each set may have a matrix of its own; beyond, sets of a tile share one.
_MOST_UNITS_OF_OWN_WEIGHTS = 64
#: How many vector instructions, two per cycle, would take as long as was measured.
_INSTRUCTIONS, _PER_WEIGHT, _PER_SUM = 19, 0.8, 0.5
_NOISE_INSTRUCTIONS = 45


@dataclass(frozen=True, kw_only=True)
class TileKernel(Kernel):
    """A kernel for a CPU.

    Attributes
    ----------
    vector_bytes : int
        Of a lane, which is a vector of neighbouring sets.
    rows, vectors : int
        Of a product in registers.
    """

    vector_bytes: int
    rows: int
    vectors: int

    @property
    def own_weights(self) -> bool:
        """Whether each set has a matrix of its own."""
        return self.needs.coupling == 2 and self.needs.units <= _MOST_UNITS_OF_OWN_WEIGHTS

    @property
    def shares_network(self) -> bool:
        """Whether the sets of a tile must have the same network."""
        return self.needs.coupling == 2 and not self.own_weights

    @property
    def record_axes(self) -> tuple[str, str, str]:
        """How records lie in memory: as in the result, for to turn them there would take longer than the steps."""
        return ("set", "record", "unit")

    @property
    def instructions(self) -> float:
        """About how many instructions a unit-step takes, of a vector's share."""
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
        """Lay out weight matrices: one product after the other, ``[from][to]``; as they are where each set has its own."""
        if self.own_weights:
            return matrices
        count, units, _ = matrices.shape
        products = np.array_split(matrices, -(-units // self.rows), axis=1)
        return np.concatenate([part.transpose(0, 2, 1).reshape(count, -1) for part in products], axis=1)

    def describe(self) -> str:
        """Say in words how the steps are taken."""
        needs = self.needs
        width = self.vector_bytes // needs.itemsize
        return (
            f"tiles of {self.tile_sets} sets in vectors of {width} ({self.file}), N = {needs.units}, {needs.precision}"
        )


def choose(needs: Needs, vector_bytes: int) -> TileKernel:
    """Cut the kernel to a job, for vectors of so many bytes."""
    rows, vectors = _SHAPES[vector_bytes]
    step = vectors * vector_bytes // needs.itemsize
    return TileKernel(
        file=FILE,
        needs=needs,
        tile_sets=step * max(1, _TILE_NUMBERS // (step * needs.units)),
        unroll=4 if needs.units == 1 else 2,
        vector_bytes=vector_bytes,
        rows=_rows(needs.units, rows),
        vectors=vectors,
    )


def _rows(units: int, most: int) -> int:
    """Return the rows of the largest products where all are as equal as can be: none is padded."""
    return -(-units // -(-units // most))
