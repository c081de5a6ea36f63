"""A processor with AVX-512, emulated, for the native back end's code of this very process: nothing is copied.

The emulator is Bochs' (the package bochscpu-python). Its addresses are the process's: page tables map every gigabyte that
the process has anything in, and pages come into the emulator when the code first asks for them.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import mmap
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from sweep.backends import native
from sweep.backends.source import Specialisation

#: The registers of x87, SSE and AVX; the masks, and the halves and the sixteen registers that AVX-512 adds.
AVX, AVX512 = 0x07, 0xE7
#: The kernels' own way to be compiled, for another processor; to call anything that is not in there is an error.
OPTIONS = (
    *("-march=skylake-avx512" if option == "-march=native" else option for option in native._OPTIONS),
    *("-nostdlib", "-Wl,-z,defs,-Bsymbolic"),
)
#: What the code calls: of the memory below `room`, as much as it asks for. The compiler makes memset of loops.
CALLED = """
extern "C" {
char *room;
unsigned long left;
void *aligned_alloc(unsigned long alignment, unsigned long size) {
    return size > left || size % alignment ? 0 : room - size;
}
void free(void *) {}
void *memset(void *to, int value, unsigned long size) {
    void *at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}
void *memcpy(void *to, const void *from, unsigned long size) {
    void *at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}
}
"""
#: The package is linked for glibc 2.38 or later; before, these functions had but their old names.
_NEWER = ("sscanf", "strtoull")
_MIB = 2**20
_GIB = 2**30
_PAGE = 4096
_FLOATS = 0x1F80  # of MXCSR: no exception, rounded to the nearest
_KEPT = ("rbx", "rbp", "r12", "r13", "r14", "r15")


@functools.cache
def emulator() -> ModuleType:
    """Import the emulator."""
    try:
        return importlib.import_module("bochscpu")
    except ImportError as error:
        if "__isoc23_" not in str(error):
            raise
    jumps = "".join(f'asm(".globl __isoc23_{name}\\n__isoc23_{name}: jmp {name}@PLT");' for name in _NEWER)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "newer.so"
        command = ["g++", "-x", "c++", "-shared", "-fPIC", "-o", str(made), "-"]
        subprocess.run(command, input=jumps, text=True, check=True)
        ctypes.CDLL(str(made), ctypes.RTLD_GLOBAL)
    return importlib.import_module("bochscpu")


def why_not() -> str:
    """Return why the emulator cannot run the native back end's code here; empty if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("g++"):
        return "the emulated processor runs what g++ makes for Linux on x86-64"
    try:
        emulator()
    except ImportError as error:
        return f"no emulated processor: {error}"
    return ""


class Fault(Exception):
    """The processor cannot go on; its argument is the number of the exception."""

    UNDEFINED = 6


def _pages(count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, count * _PAGE), dtype=np.uint64).reshape(count, -1)


class Processor:
    """The one processor: the emulator's memory, too, is there but once. It is that of this process."""

    def __init__(self) -> None:
        self._bochs, self._cpu, self._memory = emulator(), *map(importlib.import_module, ("bochscpu.cpu", "bochscpu.memory"))
        # Tables of the first, and of the second level; those are of pages of a gigabyte.
        self._tables = _pages(257)
        self._tables[0, :256] = np.arange(1, 257) << 12 | 3
        self._gigabytes = [-1]  # by their places in the emulator's memory; the tables have the first
        self._stack = _pages(64)
        self._session = self._bochs.Session()
        self._session.missing_page_handler = self._bring

    def _bring(self, place: int) -> None:
        """Put a page where the emulator misses one."""
        gigabyte, within = divmod(place & -_PAGE, _GIB)
        start = self._gigabytes[gigabyte] * _GIB if gigabyte else self._tables.ctypes.data
        self._memory.page_insert(place & -_PAGE, start + within)

    def _map(self) -> None:
        """Map all that the process has by now."""
        for line in Path("/proc/self/maps").read_text().splitlines():
            first, last = (int(address, 16) // _GIB for address in line.split()[0].split("-"))
            for gigabyte in range(first, min(last, 2**17 - 1) + 1):
                if gigabyte not in self._gigabytes:
                    self._tables[1 + gigabyte // 512, gigabyte % 512] = len(self._gigabytes) * _GIB | 0x83
                    self._gigabytes.append(gigabyte)

    def call(
        self, function: int, *arguments: int, registers: int = AVX512, watch: Callable[[int], None] | None = None
    ) -> int:
        """Call a function of up to six integers that returns one.

        Parameters
        ----------
        function : int
            Its address.
        *arguments : int
            Of the function.
        registers : int
            Those which the processor has, as in XCR0.
        watch : callable, optional
            Is called with the address of each instruction ahead of it.

        Raises
        ------
        Fault
            Where an instruction cannot be executed.
        """
        self._map()
        top = self._stack.ravel()[-8:]
        # A function returns to the instruction that halts.
        self._stack[0, 0], top[-1] = 0xF4, self._stack.ctypes.data
        state = self._state(function, top[-1:].ctypes.data, registers)
        for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), arguments, strict=False):
            setattr(state, name, value)
        self._session.cpu.state = state
        faults: list[int] = []
        self._session.run([self._hook(faults, watch)])
        after = self._session.cpu.state
        if faults:
            raise Fault(faults[0])
        assert after.rsp == state.rsp + 8
        assert [getattr(after, name) for name in _KEPT] == [getattr(state, name) for name in _KEPT]
        assert after.mxcsr & ~0x3F == _FLOATS
        return int(ctypes.c_int(after.rax & 0xFFFFFFFF).value)

    def _state(self, function: int, stack: int, registers: int) -> Any:
        """Return the state ahead of a call: 64-bit mode, vector units that are on, and nothing useful in registers."""
        state = self._bochs.State()
        self._cpu.set_long_mode(state)
        state.cr4 |= 1 << 9 | 1 << 10 | 1 << 18
        state.xcr0, state.cr3 = registers, 0
        for name, attributes in {"cs": 0x209B, **dict.fromkeys(("ds", "es", "ss", "fs", "gs"), 0xC093)}.items():
            segment = self._bochs.Segment()
            segment.present, segment.selector, segment.attr, segment.limit = True, 8, attributes, 2**32 - 1
            setattr(state, name, segment)
        state.mxcsr, state.mxcsr_mask, state.rflags = _FLOATS, 0xFFFF, 2
        state.rip, state.rsp = function, stack
        for number, name in enumerate(_KEPT):
            setattr(state, name, 0x5EED + number)
        vectors = state.zmm
        for vector in vectors:
            vector.q = [2**64 - 1] * 8
        state.zmm = vectors
        return state

    def _hook(self, faults: list[int], watch: Callable[[int], None] | None) -> Any:
        def fault(session: Any, cpu: int, number: int, code: int) -> None:
            faults.append(number)
            session.stop()

        hook = self._bochs.Hook()
        hook.hlt = lambda session, cpu: session.stop()
        hook.exception = fault
        if watch:
            hook.before_execution = lambda session, cpu, instruction: watch(session.cpu.rip)
        return hook


processor = functools.cache(Processor)


def address(function: Any) -> int:
    """Return where a function of a library begins."""
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


class EmulatedDevice(native.NativeDevice):
    """The native back end's device on a processor with vectors of 64 bytes."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._vector_bytes = 64
        self._options = options
        self._room = _pages(8 * _MIB // _PAGE)

    def load(self, specialisation: Specialisation) -> dict[str, Any]:
        """Compile for that processor, or take what was compiled before."""
        if specialisation not in self._modules:
            gcc = (shutil.which("g++"),)
            with mock.patch.object(native, "_OPTIONS", OPTIONS), mock.patch.object(native, "compiler", lambda: gcc):
                library = native._library(specialisation.source + CALLED)
            self._modules[specialisation] = {
                entry: functools.partial(self._call, library, entry) for entry in native._ENTRIES
            }
        return self._modules[specialisation]

    def _call(self, library: ctypes.CDLL, entry: str, *arguments: int) -> int:
        # Whatever the code reads before it writes there is NaN.
        self._room[...] = 2**64 - 1
        ctypes.c_uint64.in_dll(library, "room").value = self._room.ctypes.data + self._room.nbytes
        ctypes.c_uint64.in_dll(library, "left").value = self._room.nbytes
        return processor().call(address(getattr(library, entry)), *arguments, **self._options)
