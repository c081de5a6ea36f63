"""The kernels as a GPU would get them: for every kind of job they compile, without spills and within their budgets."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import needs, sass
from support.marks import quick

from sweep.backends.compiled import source
from sweep.backends.compiled.gpu import PRODUCT, THREAD_PER_SET, CudaKernel, candidates, choose

PLANS = [choose(each) for each in needs.every_two_meet()]


def label(one: CudaKernel) -> str:
    """Name a kernel by what it is for."""
    return f"{one.file.removesuffix('.cu')}-N{one.needs.units}-{one.needs.precision}-{one.needs.activation}"


# ------------------------------------------------------------------------------------------------- every kind of job


def test_the_covering_has_every_design_in_both_precisions() -> None:
    """Each of the three designs is among the kernels, for float and for double."""
    kinds = {(one.file, one.needs.precision) for one in PLANS}
    assert len(kinds) == 6
    assert 40 <= len(PLANS) <= 60


def assert_no_spills(one: CudaKernel, architectures: Sequence[str]) -> None:
    """Assert that it has both entries, no warning, no spills, and that as many blocks fit as were asked for."""
    compiled = sass.compile_all({"kernel": one.specialisation.source}, architectures)
    assert len(compiled) == len(architectures)
    for (_, arch), cubin in compiled.items():
        assert cubin.warnings == [], arch
        assert cubin.entries == ["observed", "transient"]
        for entry in cubin.entries:
            used = cubin.resources(entry)
            assert (used.stack, used.spill_stores, used.spill_loads) == (0, 0, 0), (arch, entry, used)
            assert used.shared == 0
            # A warp takes its registers, in eights, from one of the four parts of a multiprocessor.
            warps = 4 * (16_384 // (32 * -(-used.registers // 8) * 8))
            thread_blocks = int(dict(one.specialisation.macros)["MIN_THREAD_BLOCKS"])
            assert warps >= thread_blocks * one.threads // 32, (arch, entry, used)


@pytest.mark.parametrize("number", range(0, len(PLANS), 2))
def test_every_second_kind_of_job_compiles_without_spills(number: int) -> None:
    """It does for one architecture, another for each kernel in turn."""
    assert_no_spills(PLANS[number], [sass.ARCHITECTURES[number % len(sass.ARCHITECTURES)]])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PLANS)), ids=[f"{i}-{label(one)}" for i, one in enumerate(PLANS)])
def test_every_kind_of_job_compiles_without_spills_everywhere(number: int) -> None:
    """It does for every architecture."""
    assert_no_spills(PLANS[number], sass.ARCHITECTURES)


# ---------------------------------------------------------------------------------------------------------- budgets

#: Most instructions of a unit-step, idle lanes counted: (relu, tanh).
BUDGETS: dict[int, tuple[float, float]] = {
    1: (12, 24),
    2: (12, 24),
    4: (14, 26),
    8: (18, 30),
    12: (22, 34),
    16: (28.5, 41),
    32: (46, 58),
    64: (82, 95),
    128: (166, 179),
}


def per_unit_step(one: CudaKernel, loop: sass.Loop) -> float:
    """Return how many instructions the time loop takes for a step of a unit."""
    units = one.needs.units
    if one.file == THREAD_PER_SET:
        return loop.own / one.unroll / units
    lanes = one.parts * -(-units // one.rows)
    warps = -(-lanes // 32) if lanes > 32 else 1 / (32 // lanes)
    return loop.own / one.unroll * 32 * warps / units


@pytest.fixture(scope="module")
def budgeted() -> dict[tuple[int, str], sass.Cubin]:
    """Compile and take apart the kernels that have a budget."""
    kernels = {f"{n} {f}": choose(needs.plain(n, f)) for n in BUDGETS for f in ("relu", "tanh")}
    sources = {name: one.specialisation.source for name, one in kernels.items()}
    compiled = sass.compile_all(sources, ["sm_90"], sass=True)
    return {(int(name.split()[0]), name.split()[1]): cubin for (name, _), cubin in compiled.items()}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("units", BUDGETS)
def test_a_unit_step_keeps_its_budget(
    budgeted: dict[tuple[int, str], sass.Cubin],
    units: int,
    activation: str,
    record_property: Callable[[str, object], None],
) -> None:
    """The time loop has no more instructions than its budget, and no fewer than the product and the step need."""
    one = choose(needs.plain(units, activation))
    loop = budgeted[units, activation].time_loop("observed")
    taken = per_unit_step(one, loop)
    record_property("instructions_per_unit_step", taken)
    assert units + 8 <= taken <= BUDGETS[units][activation == "tanh"]
    # The state stays in registers and shared memory: no turn of the loop reads or writes device memory.
    assert loop.count("LDG", "STG", "LDL", "STL") == 0
    products = loop.count("FFMA") + loop.count("FMUL")
    held = units**2 if one.file == THREAD_PER_SET else one.rows * units // one.parts
    assert products >= one.unroll * held


@pytest.mark.parametrize("units", quick([32], [24, 32, 48, 64]))
def test_no_other_cut_would_be_much_faster(units: int) -> None:
    """Among the ways to divide a network among lanes, the chosen one has at most 5 % more instructions than the best."""
    needed = needs.plain(units)
    *on_chip, _ = candidates(needed)
    ways = {f"{one.rows} {one.parts}": one for one in on_chip if one.fits}
    compiled = sass.compile_all({name: one.specialisation.source for name, one in ways.items()}, ["sm_90"], sass=True)
    taken = {name: per_unit_step(ways[name], cubin.time_loop("observed")) for (name, _), cubin in compiled.items()}
    chosen = choose(needed)
    assert taken[f"{chosen.rows} {chosen.parts}"] <= 1.05 * min(taken.values()), taken


@pytest.mark.parametrize(("precision", "opcode"), [("float32", "FFMA"), ("float64", "DFMA")])
def test_the_product_is_mostly_multiply_adds(precision: str, opcode: str) -> None:
    """In the inner loop of the tiled product at least four of five instructions are multiply-adds."""
    one = choose(needs.plain(256, precision=precision))
    assert one.file == PRODUCT
    cubin = sass.compile(one.specialisation.source)
    loop = max(cubin.loops("observed"), key=lambda loop: loop.count(opcode))
    assert loop.count(opcode) == 512  # 16 deep, 8 units by 4 sets
    share = 0.8 if precision == "float32" else 0.75
    assert loop.count(opcode) >= share * loop.total
    assert loop.count("BAR") == 1


@pytest.mark.parametrize(
    ("file", "before"),
    [
        ("lanes.cuh", "template <typename lane> SWEEP_DEVICE lane divide(lane a, lane b) {"),
        ("rate_model.cuh", "SWEEP_DEVICE lane unsound(const Unit &u)"),
        ("observables.cuh", "struct Statistics {"),
        (THREAD_PER_SET, "struct OneSet {"),
        (THREAD_PER_SET, "template <bool observed> SWEEP_DEVICE void thread_per_set"),
    ],
)
def test_an_error_names_the_real_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, before: str
) -> None:
    """A mistake anywhere in the kernels is reported with the right file and line."""
    folder = tmp_path / "kernels"
    shutil.copytree(source.folder(), folder)
    monkeypatch.setattr(source, "folder", lambda: folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(before) == 1
    place = text.index(before)
    (folder / file).write_text(f"{text[:place]}int planted = mistake;\n{text[place:]}", encoding="utf-8")
    with pytest.raises(sass.CompileError) as caught:
        sass.compile(dataclasses.replace(choose(needs.plain(2)).specialisation).source)
    line = text.count("\n", 0, place) + 1
    assert f'{file}({line}): error: identifier "mistake" is undefined' in str(caught.value)
