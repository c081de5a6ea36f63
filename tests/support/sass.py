"""Kernels compiled by NVRTC as CuPy would, and their machine code (SASS) taken apart. No GPU and no CUDA toolkit.

Two wheels do it: ``nvidia-cuda-nvrtc`` compiles, ``nvidia-cuda-nvdisasm`` disassembles. Importing this module skips the
importing test module where one of them is missing.

Notes
-----
Both take their time, 0.05 s or more a compilation and 0.25 s to 0.5 s a disassembly, so their results are kept for a
month in pytest's cache folder, by the hash of all that goes in, and :func:`compile_all` works on every core.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from support import ROOT

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120")

# The options that CuPy 14 always passes, and --fmad=false from the back end.
OPTIONS = ("--std=c++17", "--fmad=false", "-ftz=true", "--device-as-default-execution-space")

CACHE = ROOT / ".pytest_cache" / "d" / "sass"
_MONTH = 30 * 24 * 3600


def _wheel_file(wheel: str, pattern: str) -> Path:
    """Return the file of an installed wheel, or skip the tests that need it."""
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match(pattern):
            return Path(str(file.locate()))
    return pytest.skip(f"needs {pattern} of the wheel {wheel}: pip install {wheel}", allow_module_level=True)


_BUILTINS = _wheel_file("nvidia-cuda-nvrtc", "libnvrtc-builtins.so.*")
_NVRTC = _wheel_file("nvidia-cuda-nvrtc", "libnvrtc.so.*")
_NVDISASM = _wheel_file("nvidia-cuda-nvdisasm", "nvdisasm")


class CompileError(Exception):
    """NVRTC could not compile the source; the message is its log."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of a thread, or of a thread block, of a kernel; memory in bytes."""

    registers: int
    stack: int  # local memory of a thread: arrays indexed at run time, spilled registers, called functions
    spill_stores: int  # moved from registers to local memory, each instruction counted once
    spill_loads: int
    shared: int  # static, of a block, without what the system keeps for itself


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One machine instruction."""

    address: int  # bytes from the kernel's first instruction
    predicate: str  # "P0", "!P0", "!UP0" ..., empty where there is none
    opcode: str  # with its modifiers: "FFMA.FTZ"
    text: str  # predicate, opcode and operands, as nvdisasm prints them
    targets: tuple[int, ...] = ()  # where a branch may go, apart from the next instruction

    def is_a(self, name: str) -> bool:
        """Return whether this is the opcode, with any modifiers: an FFMA.FTZ is an FFMA."""
        return f"{self.opcode}.".startswith(f"{name}.")


def count(instructions: Iterable[Instruction], *names: str) -> int:
    """Return how many instructions have one of these opcodes, with any modifiers."""
    return sum(any(instruction.is_a(name) for name in names) for instruction in instructions)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A loop of the machine code.

    The body is what lies in line, from the lowest address to the last branch back to it, and not what one turn
    executes. A block that a forward branch skips is counted, such as the call of a slow path. What stands out of line is
    not: the slow paths of division and square root behind the EXIT, reached by CALL.REL; shuffles of a diverged warp,
    reached by BRA.DIV; a block that leaves the loop for good.
    """

    body: tuple[Instruction, ...]  # in order, inner loops included, NOP left out
    inner: tuple[Loop, ...]  # those directly inside, largest first
    depth: int  # 1 for a loop that is in no other

    @property
    def total(self) -> int:
        """Instructions, those of inner loops counted once."""
        return len(self.body)

    @property
    def own(self) -> int:
        """Instructions outside every inner loop."""
        nested = {instruction.address for loop in self.inner for instruction in loop.body}
        return sum(instruction.address not in nested for instruction in self.body)

    @property
    def opcodes(self) -> Counter[str]:
        """How often each opcode, with its modifiers, occurs in the body."""
        return Counter(instruction.opcode for instruction in self.body)

    def count(self, *names: str) -> int:
        """Return how many instructions of the body have one of these opcodes, with any modifiers."""
        return count(self.body, *names)


@dataclass(frozen=True, kw_only=True)
class Cubin:
    """A compiled source."""

    image: bytes = field(repr=False)  # the ELF file that a driver loads
    log: str = field(repr=False)  # what NVRTC and ptxas said

    @property
    def warnings(self) -> list[str]:
        """The warnings in the log."""
        return [line for line in self.log.splitlines() if "warning" in line]

    @property
    def entries(self) -> list[str]:
        """Names of the kernels."""
        return sorted(self._said)

    def resources(self, entry: str) -> Resources:
        """Return the registers and the memory of a kernel."""
        self._check(entry)
        said = self._said[entry]

        def numbers(pattern: str) -> list[int]:
            return [int(match) for match in re.findall(pattern, said)]

        # "smem" is missing where it is 0. Functions that were not inlined report after the kernel that calls them, whose
        # frame has theirs in it.
        return Resources(
            registers=max(numbers(r"Used (\d+) registers")),
            stack=max(numbers(r"(\d+) bytes stack frame")),
            spill_stores=sum(numbers(r"(\d+) bytes spill stores")),
            spill_loads=sum(numbers(r"(\d+) bytes spill loads")),
            shared=sum(numbers(r"(\d+) bytes smem")),
        )

    def sass(self, entry: str) -> list[Instruction]:
        """Return the instructions of a kernel, with the functions after it and the padding."""
        self._check(entry)
        return self._code[entry]

    def loops(self, entry: str) -> list[Loop]:
        """Return every loop of a kernel, the one with the largest body first."""
        return sorted(_everywhere(_loops(self.sass(entry))), key=lambda loop: -loop.total)

    def time_loop(self, entry: str, *, nested: bool = False) -> Loop:
        """Return the loop to read a budget from: the largest one without inner loops.

        If `nested`, loops with inner loops stand too, and the one with the most instructions of its own is taken.
        """
        loops = self.loops(entry)
        candidates = loops if nested else [loop for loop in loops if not loop.inner]
        if not candidates:
            raise LookupError(f"kernel {entry!r} has no loop: was it unrolled, or its result not stored?")
        return max(candidates, key=lambda loop: loop.own)

    @cached_property
    def _said(self) -> dict[str, str]:
        """What ptxas -v reported about each kernel."""
        parts = re.split(r"Compiling entry function '(\S+)' for '\S+'", self.log)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @cached_property
    def _code(self) -> dict[str, list[Instruction]]:
        return _parsed(_disassembled(self.image))

    def _check(self, entry: str) -> None:
        if entry not in self._said:
            raise LookupError(f"no kernel {entry!r} in the cubin: it has {', '.join(self.entries) or 'none'}")


def compile(source: str, arch: str = "sm_90", name: str = "kernel.cu", options: Iterable[str] = ()) -> Cubin:
    """Compile a source, in one piece (no folder of headers is searched), with `OPTIONS` and any further ones.

    Messages call the file `name` up to the first ``#line``. Raises CompileError with the compiler's log.
    """
    options = (*OPTIONS, f"-arch={arch}", "--ptxas-options=-v", *options)
    key = repr((source, name, options, metadata.version("nvidia-cuda-nvrtc")))
    log, image = _cached(key.encode(), lambda: b"\0".join(_compiled(source, name, options))).split(b"\0", 1)
    return Cubin(image=image, log=log.decode())


def compile_all(
    sources: Mapping[str, str],
    architectures: Iterable[str] = ARCHITECTURES,
    options: Iterable[str] = (),
    *,
    sass: bool = False,
) -> dict[tuple[str, str], Cubin]:
    """Compile every source for every architecture, on all cores; the result is by name and architecture.

    If `sass`, disassemble as well, which takes longer than to compile.
    """
    options, architectures = tuple(options), tuple(architectures)
    pairs = [(name, arch) for name in sources for arch in architectures]

    def one(pair: tuple[str, str]) -> Cubin:
        name, arch = pair
        cubin = compile(sources[name], arch, f"{name}.cu", options)
        if sass:
            _disassembled(cubin.image)
        return cubin

    # Threads are enough: NVRTC is called without the GIL and nvdisasm is a process.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(pairs, pool.map(one, pairs), strict=True))


@cache
def _nvrtc() -> ctypes.CDLL:
    # NVRTC opens its built-ins by name, and finds them outside the loader's path only where they are loaded already.
    ctypes.CDLL(str(_BUILTINS))
    return ctypes.CDLL(str(_NVRTC))


def _compiled(source: str, name: str, options: Iterable[str]) -> tuple[bytes, bytes]:
    """Return the compiler's log and the cubin."""
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    arguments = [option.encode() for option in options]

    def fetch(what: str) -> bytes:
        size = ctypes.c_size_t()
        check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def check(status: int) -> None:
        if status:
            nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise RuntimeError(f"NVRTC: {nvrtc.nvrtcGetErrorString(status).decode()}")

    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None))
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
        log = fetch("ProgramLog").rstrip(b"\0")
        if failed:
            raise CompileError(log.decode())
        return log, fetch("CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _disassembled(image: bytes) -> str:
    """Return what nvdisasm prints of a cubin's code."""

    def run() -> bytes:
        # It wants a real file: it reads neither a pipe nor standard input.
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(image)
            file.flush()
            return subprocess.run([_NVDISASM, "-c", file.name], check=True, capture_output=True).stdout

    return _cached(metadata.version("nvidia-cuda-nvdisasm").encode() + image, run).decode()


def _cached(key: bytes, make: Callable[[], bytes]) -> bytes:
    """Return the result of `make`, from the cache if possible. Without a folder that can be written there is no cache."""
    path = CACHE / hashlib.sha256(key).hexdigest()
    with contextlib.suppress(OSError, zlib.error):
        return zlib.decompress(path.read_bytes())
    content = make()
    with contextlib.suppress(OSError):
        CACHE.mkdir(parents=True, exist_ok=True)
        _drop_old()
        with tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as file:
            file.write(zlib.compress(content))
        os.replace(file.name, path)
    return content


@cache
def _drop_old() -> None:
    for path in CACHE.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _MONTH:
                path.unlink()


_SECTION = re.compile(r"\.text\.(\S+):")
_LABEL = re.compile(r"(\.L_\w+):")
_INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]+)\*/\s+(?:@(\S+)\s+)?(\S+?)(?:\s+(.*?))?\s*;")


def _parsed(listing: str) -> dict[str, list[Instruction]]:
    """Return the instructions of each section of code in nvdisasm's listing."""
    code: dict[str, list[tuple[int, str, str, str]]] = {}
    here: list[tuple[int, str, str, str]] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for line in listing.splitlines():
        if section := _SECTION.fullmatch(line):
            here = code.setdefault(section[1], [])
        elif label := _LABEL.fullmatch(line):
            waiting.append(label[1])
        elif match := _INSTRUCTION.match(line):
            address = int(match[1], 16)
            labels |= dict.fromkeys(waiting, address)
            waiting = []
            here.append((address, match[2] or "", match[3], match[4] or ""))
    return {
        name: [
            Instruction(
                address=address,
                predicate=predicate,
                opcode=opcode,
                text=" ".join(filter(None, [f"@{predicate}" if predicate else "", opcode, operands])),
                targets=_targets(opcode, operands, labels),
            )
            for address, predicate, opcode, operands in lines
        ]
        for name, lines in code.items()
    }


def _targets(opcode: str, operands: str, labels: Mapping[str, int]) -> tuple[int, ...]:
    # BSSY names a label too, and a barrier's end is not where the next instruction is taken from. A BRX, the branch of a
    # switch, lists its labels in a comment.
    if opcode.split(".")[0] not in {"BRA", "BRX", "CALL", "JMP", "JMX"}:
        return ()
    return tuple(labels[label] for label in re.findall(r"\.L_\w+", operands) if label in labels)


def _goes_on(instruction: Instruction) -> bool:
    """Say whether the next instruction may follow."""
    if instruction.predicate or instruction.opcode in {"BRA.DIV", "BRA.CONV"}:
        return True
    if instruction.is_a("BRA"):  # the condition may be an operand: BRA.U !UP0, BRA !P2
        return re.search(r"\bU?P\d", instruction.text) is not None
    return not any(instruction.is_a(end) for end in ("EXIT", "RET", "BRX", "JMP", "JMX"))


def _loops(code: list[Instruction]) -> tuple[Loop, ...]:
    """Return the outermost loops of the code that the first instruction leads to, largest first."""
    index = {instruction.address: i for i, instruction in enumerate(code)}
    edges = [(i, index[target]) for i, instruction in enumerate(code) for target in instruction.targets]
    edges += [(i, i + 1) for i in range(len(code) - 1) if _goes_on(code[i])]
    sources, targets = np.array(edges, dtype=np.int32).reshape(-1, 2).T
    reached = breadth_first_order(_graph(sources, targets, len(code)), 0, return_predecessors=False)
    alive = np.isin(sources, reached)
    return _nest(code, sources[alive], targets[alive], 1)


def _nest(code: list[Instruction], sources: np.ndarray, targets: np.ndarray, depth: int) -> tuple[Loop, ...]:
    """Return the loops of a graph: its cyclic parts, and in each, with the edges into its entrances cut, the inner ones."""
    parts, part = connected_components(_graph(sources, targets, len(code)), connection="strong")
    sizes = np.bincount(part, minlength=parts)
    loops = []
    for number in np.flatnonzero(sizes > 1):
        inside = part[sources] == number
        into = part[targets] == number
        within = inside & into
        members = np.flatnonzero(part == number)
        entrances = targets[into & ~inside] if (into & ~inside).any() else members[:1]
        back = sources[within & (targets == members[0])].max()
        kept = within & ~np.isin(targets, entrances)
        body = tuple(code[i] for i in members if i <= back and not code[i].is_a("NOP"))
        loops.append(Loop(body=body, inner=_nest(code, sources[kept], targets[kept], depth + 1), depth=depth))
    return tuple(sorted(loops, key=lambda loop: -loop.total))


def _graph(sources: np.ndarray, targets: np.ndarray, nodes: int) -> coo_array:
    return coo_array((np.ones(sources.size, dtype=np.int8), (sources, targets)), shape=(nodes, nodes)).tocsr()


def _everywhere(loops: Iterable[Loop]) -> list[Loop]:
    return [found for loop in loops for found in (loop, *_everywhere(loop.inner))]
