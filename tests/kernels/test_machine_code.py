"""The kernels as a GPU would get them: whatever a job asks for compiles, without spills and within budget."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import needs, sass

from sweep.backends.compiled import source
from sweep.backends.compiled.gpu import LANES_PER_SET, PRODUCT, THREAD_PER_SET, CudaKernel, candidates, choose

PLANS = [choose(each) for each in needs.covering()]


def label(one: CudaKernel) -> str:
    """Name a kernel by what it is for."""
    return f"{one.file.removesuffix('.cu')}-N{one.needs.units}-{one.needs.precision}-{one.needs.activation}"


# ------------------------------------------------------------------------------------------------- every kind of job


@pytest.fixture(scope="module")
def cubins() -> dict[tuple[int, str], sass.Cubin]:
    """Compile all kernels for all architectures."""
    sources = {f"{i}": one.specialisation.source for i, one in enumerate(PLANS)}
    return {(int(name), arch): cubin for (name, arch), cubin in sass.compile_all(sources).items()}


def test_the_covering_has_every_design_in_both_precisions() -> None:
    """Each of the three designs is among the kernels, for float and for double."""
    kinds = {(one.file, one.needs.precision) for one in PLANS}
    assert len(kinds) == 6
    assert 40 <= len(PLANS) <= 80


@pytest.mark.parametrize("number", range(len(PLANS)), ids=[f"{i}-{label(one)}" for i, one in enumerate(PLANS)])
def test_every_kind_of_job_compiles_without_spills(cubins: dict[tuple[int, str], sass.Cubin], number: int) -> None:
    """A kernel has both entries and no warning, no spills, and as many blocks fit a multiprocessor as were asked for."""
    one = PLANS[number]
    compiled = {arch: cubin for (which, arch), cubin in cubins.items() if which == number}
    assert set(compiled) == set(sass.ARCHITECTURES)
    for arch, cubin in compiled.items():
        assert cubin.warnings == [], arch
        assert cubin.entries == ["observed", "transient"]
        for entry in cubin.entries:
            used = cubin.resources(entry)
            assert (used.stack, used.spill_stores, used.spill_loads) == (0, 0, 0), (arch, entry, used)
            assert used.shared == 0
            # A warp takes its registers, in eights, from one of the four parts of a multiprocessor.
            warps = 4 * (16_384 // (32 * -(-used.registers // 8) * 8))
            blocks = int(dict(one.specialisation.macros)["MIN_THREAD_BLOCKS"])
            assert warps >= blocks * one.threads // 32, (arch, entry, used)


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
    """The time loop takes no more instructions than planned, and no fewer than the product and the step need."""
    one = choose(needs.plain(units, activation))
    loop = budgeted[units, activation].time_loop("observed")
    taken = per_unit_step(one, loop)
    record_property("instructions_per_unit_step", taken)
    assert units + 8 <= taken <= BUDGETS[units][activation == "tanh"]
    # All of the state stays where it is: no turn of the loop reads or writes device memory.
    assert loop.count("LDG", "STG", "LDL", "STL") == 0
    products = loop.count("FFMA") + loop.count("FMUL")
    held = units**2 if one.file == THREAD_PER_SET else one.rows * units // one.parts
    assert products >= one.unroll * held


@pytest.mark.parametrize("units", [24, 32, 48, 64])
def test_no_other_cut_would_be_much_faster(units: int) -> None:
    """Of the ways to cut a network into lanes that fit, the one chosen takes few instructions more than the best."""
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


# ---------------------------------------------------------------------------------------------- one text, many files


def attributed(text: str) -> dict[str, dict[int, str]]:
    """Return the lines of a text by the file and the line that ``#line`` says they are from."""
    found: dict[str, dict[int, str]] = {}
    name, number = "", 0
    for line in text.split("\n"):
        if match := re.fullmatch(r'#line (\d+) "([^"]+)"', line):
            name, number = match[2], int(match[1])
            continue
        if line:
            lines = found.setdefault(name, {})
            assert number not in lines, f"{name}({number}) is there twice"
            lines[number] = line
        number += 1
    return found


def lines_of(file: Path) -> dict[int, str]:
    """Return the lines of a file that are not empty and include nothing."""
    lines = enumerate(file.read_text(encoding="utf-8").split("\n"), start=1)
    return {number: line for number, line in lines if line and not line.startswith('#include "')}


@pytest.mark.parametrize("file", [THREAD_PER_SET, LANES_PER_SET, PRODUCT])
def test_every_line_of_a_kernel_is_there_once_under_its_own_number(file: str) -> None:
    """The one text has each file once, no include left, and every line where the compiler says it is."""
    text = source.inlined(source.folder() / file)
    assert "#include" not in text
    found = attributed(text)
    assert {file, "lanes.cuh", "activations.cuh", "arguments.cuh", "philox.cuh", "observables.cuh"} <= set(found)
    for name, lines in found.items():
        assert lines == lines_of(source.folder() / name), name


trees = st.integers(1, 6).flatmap(
    lambda count: st.tuples(
        *[
            st.lists(
                st.sampled_from(["int a;", "", "// b", *(f'#include "{j}.cuh"' for j in range(i + 1, count))]),
                max_size=8,
            )
            for i in range(count)
        ]
    )
)


@given(tree=trees)
def test_files_that_include_each_other_are_inlined_once(
    tmp_path_factory: pytest.TempPathFactory, tree: tuple[list[str], ...]
) -> None:
    """Whatever includes what, and how often: each file reached has its lines once, under their own numbers."""
    folder = tmp_path_factory.mktemp("tree")
    for i, lines in enumerate(tree):
        (folder / f"{i}.cuh").write_text("\n".join(lines), encoding="utf-8")
    reached, waiting = set(), [0]
    while waiting:
        i = waiting.pop()
        if i not in reached:
            reached.add(i)
            waiting += [int(line.split('"')[1][0]) for line in tree[i] if line.startswith("#include")]
    found = attributed(source.inlined(folder / "0.cuh"))
    expected = {f"{i}.cuh": lines_of(folder / f"{i}.cuh") for i in reached}
    assert found == {name: lines for name, lines in expected.items() if lines}


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
    """A mistake anywhere in the kernels is reported at its own line of its own file."""
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
