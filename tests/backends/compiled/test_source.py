"""The text of a kernel: its macros, and the files that it is put together from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import needs

from sweep.backends.compiled import source
from sweep.backends.compiled.gpu import LANES_PER_SET, PRODUCT, THREAD_PER_SET, choose

# ------------------------------------------------------------------------------------------------------------ macros

_KERNELS = (THREAD_PER_SET, LANES_PER_SET, PRODUCT)


def bare(file: str) -> str:
    """Return the inlined text of a kernel, without comments and messages."""
    return re.sub(r'//[^\n]*|"[^"\n]*"', "", source.inlined(source.folder() / file))


def words(text: str) -> set[str]:
    """Return the identifiers in a text."""
    return set(re.findall(r"\b[A-Za-z_]\w*", text))


def macros_of(file: str) -> set[str]:
    """Return the macros that the host defines for a kernel."""
    units = {THREAD_PER_SET: 3, LANES_PER_SET: 20, PRODUCT: 300}[file]
    one = choose(needs.plain(units))
    assert one.file == file
    return {name.partition("(")[0] for name, _ in one.specialisation.macros}


def test_every_macro_is_used_and_explained() -> None:
    """The host defines no macro that no kernel reads, and the headers say what each is for."""
    explained = "".join(
        line
        for path in source.folder().glob("*.cu*")
        for line in path.read_text().splitlines(True)
        if line.startswith("//")
    )
    for file in _KERNELS:
        defined = macros_of(file)
        assert defined - words(explained) <= {"RUNNING_R", "MOMENTS_R", "RECORD_R"}
        common = set.intersection(*map(macros_of, _KERNELS))
        assert defined - common <= words(bare(file))
        assert common <= set.union(*(words(bare(each)) for each in _KERNELS))


@pytest.mark.parametrize("file", _KERNELS)
def test_no_condition_reads_a_macro_that_nobody_defines(file: str) -> None:
    """In an #if an undefined name would silently be 0, so the host, the kernels or the compiler define every name there."""
    text = bare(file)
    asked = words(" ".join(re.findall(r"^\s*#\s*(?:el)?if(?!n?def)\b(.*)$", text, re.MULTILINE)))
    own = set(re.findall(r"#define (\w+)", text))
    compilers = {"__CUDA_ARCH__", "__CUDACC__", "__clang__", "__FMA__", "__has_builtin", "__builtin_elementwise_sqrt"}
    assert asked - {"defined"} <= macros_of(file) | own | compilers


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
    """The inlined text has each file once and no include, and every line has the number that the compiler reports."""
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
    """For any includes, repeated or not: each included file has its lines once, with their own numbers."""
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
