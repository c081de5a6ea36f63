"""The reader of machine code finds the registers, loops and instructions of known kernels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT, sass

from sweep.backends.compiled.source import inlined

KERNELS = ROOT / "kernels"

EMPTY = 'extern "C" __global__ void nothing() {}'

CHAIN = """
extern "C" __global__ void chain(float *x, int steps) {
    float a = x[threadIdx.x];
#pragma unroll 1
    for (int t = 0; t < steps; ++t) {
#pragma unroll
        for (int i = 0; i < 8; ++i) a = fmaf(a, a, 0.5f);
    }
    x[threadIdx.x] = a;
}
"""

NESTED = """
extern "C" __global__ void nested(float *x, int rows) {
    float a = x[threadIdx.x];
#pragma unroll 1
    for (int i = 0; i < rows; ++i) {
#pragma unroll
        for (int k = 0; k < OUTER; ++k) a = a * a;
#pragma unroll 1
        for (int j = 0; j < 1000; ++j) {
            a = fmaf(a, a, 0.5f);
            x[j] = a;
        }
    }
    x[threadIdx.x] = a;
}
"""

# A division and shuffles have slow paths, which stand behind the EXIT or are called.
SHUFFLED = """
extern "C" __global__ void shuffled(float *x, int steps) {
    float a = x[threadIdx.x];
    if (threadIdx.x % 3 == 0) a += x[7];
#pragma unroll 1
    for (int t = 0; t < steps; ++t) {
        a += __shfl_xor_sync(0xffffffffu, a, 1);
        a = a / (a + x[t]);
        a += __shfl_xor_sync(0xffffffffu, a, 2);
        if (a != a) {
            x[3] = a;
            return;
        }
    }
    x[threadIdx.x] = a;
}
"""

SWITCHED = """
extern "C" __global__ void switched(float *x, const int *kinds, int steps) {
    float a = x[threadIdx.x];
#pragma unroll 1
    for (int t = 0; t < steps; ++t) {
        switch (kinds[t]) {
            case 0: a = __sinf(a); break;
            case 1: a = __cosf(a); break;
            case 2: a = exp2f(a); break;
            case 3: a = __log2f(a); break;
            case 4: a = fmaf(a, a, a); break;
            case 5: a = a - 7.0f * a * a; break;
            case 6: a = rsqrtf(a); break;
            case 7: a = a + 3.0f; break;
        }
    }
    x[threadIdx.x] = a;
}
"""

INDEXED = """
extern "C" __global__ void indexed(float *x, int n) {
    float v[32];
    for (int i = 0; i < 32; ++i) v[i] = x[i];
    for (int i = 0; i < n; ++i) v[i % 32] += v[(int)x[i] & 31];
    for (int i = 0; i < 32; ++i) x[i] = v[i];
}
"""

# 128 values are alive through the loop, in 64 registers.
CROWDED = """
extern "C" __global__ void __launch_bounds__(1024, BLOCKS) crowded(float *x, int steps) {
    float v[128];
#pragma unroll
    for (int i = 0; i < 128; ++i) v[i] = x[1024 * i + threadIdx.x];
#pragma unroll 1
    for (int t = 0; t < steps; ++t) {
#pragma unroll
        for (int i = 0; i < 128; ++i) v[i] = fmaf(v[i], v[(5 * i + 1) % 128], 0.5f);
    }
#pragma unroll
    for (int i = 0; i < 128; ++i) x[1024 * i + threadIdx.x] = v[i];
}
"""

NOISE = f"""
{inlined(KERNELS / "philox.cuh")}
#line 1 "noise.cu"
extern "C" __global__ void noise(float *out, unsigned long long seed, int blocks) {{
    const unsigned long long stream = blockIdx.x * blockDim.x + threadIdx.x;
    float sums[4] = {{0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll 1
    for (int block = 0; block < blocks; ++block) {{
        float lanes[4];
        philox::normals(block, 0, stream, seed, lanes);
        for (int i = 0; i < 4; ++i) sums[i] += lanes[i];
    }}
    for (int i = 0; i < 4; ++i) out[4 * stream + i] = sums[i];
}}
"""

SOURCES = {
    "nothing": EMPTY,
    "chain": CHAIN,
    "shuffled": SHUFFLED,
    "switched": SWITCHED,
    "indexed": INDEXED,
    "crowded": CROWDED.replace("BLOCKS", "1"),
    "noise": NOISE,
}


@pytest.fixture(scope="module")
def cubins() -> dict[tuple[str, str], sass.Cubin]:
    """Compile and disassemble every kernel above for every architecture."""
    return sass.compile_all(SOURCES, sass=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty cache."""
    monkeypatch.setattr(sass, "CACHE", tmp_path / "cache")
    sass._drop_old.cache_clear()
    yield tmp_path / "cache"
    sass._drop_old.cache_clear()


every_architecture = pytest.mark.parametrize("arch", sass.ARCHITECTURES)


@every_architecture
def test_every_architecture_compiles_and_disassembles(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """An empty kernel takes no memory, has no loop and ends."""
    cubin = cubins["nothing", arch]
    resources = cubin.resources("nothing")
    assert cubin.image.startswith(b"\x7fELF")
    assert cubin.entries == ["nothing"]
    assert (resources.stack, resources.spill_stores, resources.spill_loads, resources.shared) == (0, 0, 0, 0)
    assert sass.count(cubin.sass("nothing"), "EXIT") == 1
    assert cubin.loops("nothing") == []
    with pytest.raises(LookupError, match="'nothing' has no loop"):
        cubin.time_loop("nothing")


@every_architecture
def test_a_loop_holds_the_instructions_written_in_it(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """Eight multiply-adds a step are eight FFMA, with no more than the counter, the test and the branch beside them."""
    loop = cubins["chain", arch].time_loop("chain")
    assert cubins["chain", arch].loops("chain") == [loop]
    assert loop.count("FFMA") == 8
    assert loop.count("BRA") == 1
    assert loop.opcodes["FFMA.FTZ"] == 8
    assert loop.total == loop.own == loop.opcodes.total()
    assert 8 + 3 <= loop.total <= 8 + 4
    assert loop.depth == 1
    addresses = [instruction.address for instruction in loop.body]
    assert loop.body[-1].targets == (addresses[0],)
    assert addresses == list(range(addresses[0], addresses[-1] + 16, 16))


def test_products_and_sums_are_not_contracted() -> None:
    """The options keep a product and a sum apart, as on the CPU, unless the source fuses them."""
    source = 'extern "C" __global__ void k(float *x) { x[0] = x[1] * x[2] + x[3]; }'
    apart = sass.compile(source).sass("k")
    fused = sass.compile(source, options=("--fmad=true",)).sass("k")
    assert (sass.count(apart, "FMUL"), sass.count(apart, "FADD"), sass.count(apart, "FFMA")) == (1, 1, 0)
    assert (sass.count(fused, "FMUL"), sass.count(fused, "FADD"), sass.count(fused, "FFMA")) == (0, 0, 1)


@pytest.mark.parametrize(("outer", "outer_is_larger"), [(2, False), (40, True)])
def test_a_nested_loop_is_counted_once(outer: int, outer_is_larger: bool) -> None:
    """The total of an outer loop includes the inner one, its own count does not, and either can be the time loop."""
    cubin = sass.compile(f"#define OUTER {outer}\n{NESTED}")
    whole, inner = cubin.loops("nested")
    assert (whole.depth, inner.depth) == (1, 2)
    assert whole.inner == (inner,)
    assert whole.total == whole.own + inner.total
    assert (inner.count("FFMA"), inner.count("FMUL")) == (1, 0)
    assert (whole.count("FFMA"), whole.count("FMUL")) == (1, outer)
    assert cubin.time_loop("nested") == inner
    assert cubin.time_loop("nested", nested=True) == (whole if outer_is_larger else inner)


@every_architecture
def test_what_stands_out_of_line_is_not_in_the_loop(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """A loop that shuffles, divides and may return ends before the EXIT and holds no slow path."""
    cubin = cubins["shuffled", arch]
    # sm_75 waits for diverged lanes in a short loop of its own.
    loop = cubin.time_loop("shuffled", nested=True)
    first_exit = next(i.address for i in cubin.sass("shuffled") if i.is_a("EXIT"))
    assert loop.depth == 1
    assert loop.body[-1].address < first_exit
    assert sass.count(cubin.sass("shuffled"), "RET") >= 1
    assert loop.count("RET", "EXIT") == 0
    assert loop.count("SHFL") == 2
    assert loop.count("MUFU.RCP") == 1


@every_architecture
def test_a_switch_is_followed_through_its_table(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """The branch of a switch leads to every case, so that all of them are in the loop."""
    (loop,) = cubins["switched", arch].loops("switched")
    assert loop.count("BRX") >= 1
    assert all(loop.count(f"MUFU.{what}") == 1 for what in ("SIN", "COS", "EX2", "LG2", "RSQ"))


@every_architecture
def test_an_array_indexed_at_run_time_is_on_the_stack(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """Local memory that is not a spill appears only in the stack."""
    resources = cubins["indexed", arch].resources("indexed")
    assert resources.stack == 32 * 4
    assert (resources.spill_stores, resources.spill_loads) == (0, 0)
    assert sass.count(cubins["indexed", arch].sass("indexed"), "LDL") > 0


@every_architecture
def test_spills_are_seen(cubins: dict[tuple[str, str], sass.Cubin], arch: str) -> None:
    """More live values than registers give spills, and the loop that moves them shows it."""
    resources = cubins["crowded", arch].resources("crowded")
    assert resources.registers == 64
    assert resources.stack > 0
    assert resources.spill_stores > 0
    assert resources.spill_loads > 0
    loop = cubins["crowded", arch].time_loop("crowded")
    assert loop.count("FFMA") == 128
    assert loop.count("LDL") > 0


def test_what_the_compiler_warns_of_is_kept() -> None:
    """If an architecture cannot hold a launch bound there is a warning on it, and none on the others."""
    source = CROWDED.replace("BLOCKS", "2")
    assert sass.compile(source, "sm_90").warnings == []
    assert sass.compile(source, "sm_90").resources("crowded").registers == 32
    (warning,) = sass.compile(source, "sm_75").warnings
    assert "threads per SM" in warning


def test_shared_memory_is_that_of_the_source() -> None:
    """Static shared memory is counted without what the system reserves, for each kernel of a source."""
    source = """
    extern "C" __global__ void with(float *x) {
        __shared__ float s[96];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[95 - threadIdx.x];
    }
    extern "C" __global__ void without(float *x) { x[0] = 0.0f; }
    """
    cubin = sass.compile(source)
    assert cubin.entries == ["with", "without"]
    assert cubin.resources("with").shared == 96 * 4
    assert cubin.resources("without").shared == 0
    assert sass.count(cubin.sass("with"), "BAR") == 1
    assert sass.count(cubin.sass("without"), "BAR") == 0


def test_a_kernel_that_is_not_there_is_refused_with_those_that_are() -> None:
    """The message for a wrong name lists the right ones."""
    cubin = sass.compile(EMPTY)
    with pytest.raises(LookupError, match="no kernel 'chain' in the cubin: it has nothing"):
        cubin.resources("chain")
    with pytest.raises(LookupError, match="no kernel 'chain' in the cubin: it has nothing"):
        cubin.loops("chain")


def test_an_error_names_the_real_file_and_line() -> None:
    """What #line says is what the message says; before it, the name that the caller gave."""
    with pytest.raises(sass.CompileError, match=r'model\.cuh\(12\): error: identifier "y" is undefined'):
        sass.compile('#line 11 "model.cuh"\nextern "C" __global__ void k(float *x) {\n    x[0] = y;\n}\n')
    with pytest.raises(sass.CompileError, match=r"here\.cu\(1\): error"):
        sass.compile("int f = y;", name="here.cu")


@every_architecture
def test_noise_costs_no_memory_and_few_instructions(
    cubins: dict[tuple[str, str], sass.Cubin], arch: str, record_property: Callable[[str, object], None]
) -> None:
    """Normals need no header and no local memory, and at most 45 instructions each, loop and sum included."""
    assert "#include" not in NOISE
    cubin = cubins["noise", arch]
    resources = cubin.resources("noise")
    assert cubin.warnings == []
    assert (resources.stack, resources.spill_stores, resources.spill_loads) == (0, 0, 0)
    assert resources.registers <= 32
    loop = cubin.time_loop("noise")
    assert loop.count("MUFU.RSQ") == 2  # the square roots of two pairs: four normals
    record_property("instructions_per_normal", loop.total / 4)
    assert loop.total / 4 <= 45


def test_a_result_is_read_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is cached and comes back without compiler and disassembler; other options are compiled again."""
    first = sass.compile(CHAIN)
    code = first.sass("chain")
    assert len(list(cache.iterdir())) == 2

    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("ran again")

    with monkeypatch.context() as patch:
        patch.setattr(sass, "_compiled", refuse)
        patch.setattr(sass.subprocess, "run", refuse)
        again = sass.compile(CHAIN)
        assert again == first
        assert again.sass("chain") == code
        with pytest.raises(AssertionError, match="ran again"):
            sass.compile(CHAIN, options=("-DOTHER",))
        with pytest.raises(AssertionError, match="ran again"):
            sass.compile(CHAIN, "sm_80")


def test_a_damaged_result_is_made_again(cache: Path) -> None:
    """A file that was cut off is not used."""
    first = sass.compile(EMPTY)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert sass.compile(EMPTY).image == first.image


def test_no_cache_is_needed(cache: Path) -> None:
    """If no folder can be made, nothing is cached."""
    cache.write_text("a file stands here")
    assert sass.compile(EMPTY).entries == ["nothing"]
    assert cache.read_text() == "a file stands here"


def test_results_are_dropped_after_a_month(cache: Path) -> None:
    """The cache forgets what is older than a month, and nothing else."""
    cache.mkdir()
    old, young = cache / "old", cache / "young"
    for file, days in ((old, 31), (young, 29)):
        file.write_bytes(b"")
        os.utime(file, (time.time() - days * 86400,) * 2)
    sass.compile(EMPTY)
    assert not old.exists()
    assert young.exists()


def listing(*lines: str) -> list[sass.Instruction]:
    """Read a listing written by hand: ``label:`` or an instruction, one a line."""
    address, text = 0, [".text.k:"]
    for line in lines:
        text.append(line if line.endswith(":") else f"        /*{address:04x}*/    {line} ;")
        address += 0 if line.endswith(":") else 16
    return sass._parsed("\n".join(text))["k"]


@pytest.mark.parametrize(
    ("lines", "bodies"),
    [
        pytest.param(
            [".L_0:", "IADD3 R0, R0, 0x1, RZ", "@P0 BRA `(.L_0)", "EXIT", ".L_1:", "FMUL R1, R1, R1", "BRA `(.L_1)"],
            [(0x00, 0x10)],
            id="from the first instruction; what the kernel does not branch to is none",
        ),
        pytest.param(
            [
                "BRA `(.L_1)",
                ".L_0:",
                "FADD R1, R1, R1",
                "NOP",
                ".L_1:",
                "FMUL R1, R1, R1",
                "BRA.U UP0, `(.L_0)",
                "EXIT",
            ],
            [(0x10, 0x30, 0x40)],
            id="entered at its test, which stands last",
        ),
        pytest.param(
            ["BRA `(.L_1)", ".L_0:", "FADD R1, R1, R1", "@P0 BRA `(.L_0)", ".L_1:", "@P1 BRA `(.L_0)", "EXIT"],
            [(0x10, 0x20, 0x30), (0x10, 0x20)],
            id="entered at its test, with an inner one at its start",
        ),
        pytest.param(
            [
                ".L_0:",
                "@P1 BRA `(.L_2)",
                ".L_1:",
                "MUFU.EX2 R1, R1",
                "BRA !P2, `(.L_0)",
                "EXIT",
                ".L_2:",
                "BRA `(.L_1)",
            ],
            [(0x00, 0x10, 0x20)],
            id="with a block behind the end that comes back",
        ),
        pytest.param(
            ["@P0 BRA `(.L_1)", ".L_0:", "FFMA R1, R1, R1, R1", ".L_1:", "FMUL R1, R1, R1", "@!P1 BRA `(.L_0)", "EXIT"],
            [(0x10, 0x20, 0x30)],
            id="with two entrances",
        ),
        pytest.param(
            ["MOV R0, RZ", ".L_0:", "@P0 BRA `(.L_0)", "@P1 EXIT", "FMUL R1, R1, R1", "@!P1 BRA `(.L_0)", "EXIT"],
            [(0x10, 0x20, 0x30, 0x40)],
            id="with two branches to one start",
        ),
    ],
)
def test_loops_of_every_shape_are_found(lines: list[str], bodies: list[tuple[int, ...]]) -> None:
    """It does not matter where a loop is entered or where its test is."""
    found = sass._everywhere(sass._loops(listing(*lines)))
    assert [tuple(instruction.address for instruction in loop.body) for loop in found] == bodies


def test_without_the_wheels_the_tests_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a wheel or a file in it is missing, the test is skipped, with a reason that says how to install it."""
    with pytest.raises(pytest.skip.Exception, match="pip install nvidia-cuda-nvdisasm"):
        sass._wheel_file("nvidia-cuda-nvdisasm", "nothing-of-the-kind")

    def missing(name: str) -> None:
        raise sass.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sass.metadata, "files", missing)
    with pytest.raises(pytest.skip.Exception, match="pip install nvidia-cuda-nvrtc"):
        sass._wheel_file("nvidia-cuda-nvrtc", "libnvrtc.so.*")
