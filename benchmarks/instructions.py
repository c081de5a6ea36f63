"""Count the machine instructions of a unit-step by compiling and disassembling the kernels. This needs no GPU.

    python benchmarks/instructions.py [--architectures sm_80 sm_90 sm_100 sm_120] [--output results/instructions.json]

The instructions in the loop over the steps are counted, in both branches of a condition and including those of idle lanes.
From this follows a bound for any device, which issues one instruction per lane and clock, and has fewer lanes for special
functions and for double precision. Work that is done once per segment (up to 1024 steps) is not counted.

How the count of a loop becomes instructions per unit-step:

- ``thread_per_set.cu``: one turn of the loop is UNROLL steps of N units.
- ``lanes_per_set.cu``: the same, times the lanes of a set. These are all lanes of its warps or, if several sets share a
  warp, its share of the warp.
- ``product.cu``, where a launch is one step: one turn of the inner loop makes DEPTH of the PADDED_FROM products of
  TILE x TILE unit-steps, with THREADS threads. One turn of the loop after it makes one unit-step. The instructions outside
  both loops are divided among the TILE x TILE / THREADS unit-steps of a thread. In a float32 kernel basic blocks with double
  precision belong to the end of a segment, and are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import pytest

try:
    from support import sass
except pytest.skip.Exception as missing:
    sys.exit(str(missing))

from cases import REGIMES, Regime, bound, kernels_digest
from support.sass import Cubin, Instruction, count

from sweep.backends.compiled.gpu import _DEPTH, LANES_PER_SET, PRODUCT, CudaKernel, passes
from sweep.backends.compiled.kernel import Needs

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
_WARP = 32
_SPECIAL = ("MUFU",)
_DOUBLE = ("DFMA", "DADD", "DMUL", "DSETP", "DMNMX")
#: An H100 SXM: lane-instructions per second; how many times longer a special function and double precision take.
H100 = {"speed": 132 * 128 * 1.98e9, "special": 8.0, "double": 2.0}


@dataclasses.dataclass(frozen=True)
class Count:
    """Instructions of a lane per unit-step: all, special functions, double precision."""

    instructions: float = 0.0
    special: float = 0.0
    double: float = 0.0

    @classmethod
    def of(cls, code: Iterable[Instruction], times: float) -> Count:
        """Return the count of some instructions, multiplied by ``times``."""
        code = list(code)
        return cls(times * len(code), times * count(code, *_SPECIAL), times * count(code, *_DOUBLE))

    def __add__(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


def counted(kernel: CudaKernel, cubin: Cubin) -> Count:
    """Return the instructions of a unit-step with a kernel."""
    units = kernel.needs.units
    if kernel.file == PRODUCT:
        return _of_product(kernel, cubin)
    lanes = 1.0
    if kernel.file == LANES_PER_SET:
        used = kernel.parts * -(-units // kernel.rows)
        lanes = -(-used // _WARP) * _WARP if used > _WARP else _WARP / (_WARP // used)
    return Count.of(cubin.time_loop("observed").body, lanes / (kernel.unroll * units))


def _of_product(kernel: CudaKernel, cubin: Cubin) -> Count:
    units, tile = kernel.needs.units, kernel.tile_sets
    rows, columns = -(-units // _DEPTH) * _DEPTH, -(-units // tile) * tile
    code = [one for one in cubin.sass("observed") if not one.is_a("NOP")]
    product = cubin.time_loop("observed").body
    behind = product[-1].address
    # We look for a branch back, and not for a loop in the graph, because ptxas may leave the product by a call that never
    # returns.
    back = [(one.targets[0], one.address) for one in code if one.targets and behind < one.targets[0] < one.address]
    first, last = max(back, key=lambda ends: ends[1] - ends[0])
    finish = [one for one in code if first <= one.address <= last]
    # The code after the last loop is slow paths of functions, which are not counted.
    once = [one for one in code if one.address < first and not product[0].address <= one.address <= behind]
    step = finish
    if kernel.needs.precision == "float32":
        step = [one for block in blocks(finish) if not count(block, *_DOUBLE, "F2F") for one in block]
    own = kernel.threads / tile**2 * columns / units
    return Count.of(product, own * rows / _DEPTH) + Count.of(once, own) + Count.of(step, 1.0)


def blocks(code: Iterable[Instruction]) -> list[list[Instruction]]:
    """Cut code into basic blocks."""
    code = list(code)
    targets = {target for one in code for target in one.targets}
    cut: list[list[Instruction]] = [[]]
    for one in code:
        if one.address in targets and cut[-1]:
            cut.append([])
        cut[-1].append(one)
        if one.targets:
            cut.append([])
    return [block for block in cut if block]


def kernels(regime: Regime) -> list[CudaKernel]:
    """Return the kernels of a regime, one for each pass. They do not depend on the numbers of sets and steps."""
    small = dataclasses.replace(regime, sets=max(2, regime.networks), steps=16)
    return [kernel for _, kernel in passes(Needs.of(small.job(), compensated=False))]


def table(regimes: dict[str, Regime], architectures: Iterable[str]) -> dict[str, Any]:
    """Count every regime for every architecture."""
    architectures = tuple(architectures)
    chosen = {name: kernels(regime) for name, regime in regimes.items()}
    every = {f"{name}, pass {i}": kernel for name, own in chosen.items() for i, kernel in enumerate(own)}
    sources = {name: kernel.specialisation.source for name, kernel in every.items()}
    cubins = sass.compile_all(sources, architectures, sass=True)
    rows: dict[str, Any] = {}
    for name, own in chosen.items():
        row: dict[str, Any] = {
            "kernel": own[0].describe(),
            "passes": len(own),
            "estimate": sum(p.instructions for p in own),
        }
        for arch in architectures:
            compiled = [cubins[f"{name}, pass {i}", arch] for i in range(len(own))]
            found = sum((counted(kernel, cubin) for kernel, cubin in zip(own, compiled, strict=True)), Count())
            resources = [cubin.resources("observed") for cubin in compiled]
            row[arch] = {
                **{key: round(value, 2) for key, value in dataclasses.asdict(found).items()},
                "registers": max(one.registers for one in resources),
                "stack": max(one.stack for one in resources),
                "spills": sum(one.spill_stores for one in resources),
            }
        rows[name] = row
    return rows


def lines(rows: dict[str, Any], architectures: Iterable[str]) -> Iterable[str]:
    """Yield the table as Markdown."""
    architectures = tuple(architectures)
    yield f"| regime | kernel | {' | '.join(architectures)} | estimate | registers | H100 bound, 10⁹/s | by |"
    yield "|---|---|" + "---|" * (len(architectures) + 4)
    for name, row in rows.items():
        numbers = " | ".join(f"{row[arch]['instructions']:.1f}" for arch in architectures)
        end = "– | – | –"
        if "sm_90" in row:
            own = row["sm_90"]
            most, by = bound(own, **H100)
            spilt = f" ({own['spills']} B spilt)" if own["spills"] else ""
            end = f"{own['registers']}{spilt} | {most / 1e9:,.0f} | {by}"
        yield f"| {name} | {row['kernel'].split('(')[1].split('.')[0]} | {numbers} | {row['estimate']:.1f} | {end} |"


def main() -> None:
    """Count, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES, choices=sass.ARCHITECTURES)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "instructions.json")
    options = parser.parse_args()
    rows = table(REGIMES, options.architectures)
    print("\n".join(lines(rows, options.architectures)))
    result = {
        "date": datetime.date.today().isoformat(),
        "nvrtc": metadata.version("nvidia-cuda-nvrtc"),
        "kernels_sha256": kernels_digest(),
        "regimes": rows,
    }
    options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
