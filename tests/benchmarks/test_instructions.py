"""The script that counts machine instructions: how a loop becomes instructions per unit-step."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType


def test_blocks_of_code_begin_where_branches_go(scripts: Callable[[str], ModuleType]) -> None:
    """Basic blocks are cut after every branch and before every target of a branch."""
    instructions = scripts("instructions")
    make = instructions.Instruction
    code = [
        make(address=16 * i, predicate="", opcode="BRA" if targets else "FADD", text="", targets=targets)
        for i, targets in enumerate([(), (48,), (), (), (), (0,)])
    ]
    cut = [[one.address // 16 for one in block] for block in instructions.blocks(code)]
    assert cut == [[0, 1], [2], [3, 4, 5]]


def test_counted_instructions_are_near_the_products(scripts: Callable[[str], ModuleType]) -> None:
    """In every design a unit-step takes at least its N multiply-adds, and not much more than twice as many."""
    instructions, cases = scripts("instructions"), scripts("cases")
    chosen = {name: cases.REGIMES[name] for name in ("N = 8, relu", "N = 64, relu", "N = 256, relu")}
    rows = instructions.table(chosen, ["sm_80", "sm_90"])
    for name, row in rows.items():
        units = cases.REGIMES[name].units
        for arch in ("sm_80", "sm_90"):
            assert units < row[arch]["instructions"] < 1.5 * units + 80
            assert row[arch]["spills"] == 0
    lines = list(instructions.lines(rows, ["sm_80", "sm_90"]))
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert math.isclose(instructions.H100["speed"], 3.35e13, rel_tol=0.01)
