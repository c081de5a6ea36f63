"""An emulated processor with AVX-512, for the native back end's code of this very process: nothing is copied.

The emulator is Bochs' (the package bochscpu-python). Its addresses are the process's: page tables map every gigabyte that
the process has anything in, and a page comes into the emulator when the code first asks for it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from sweep.backends.compiled.source import Specialisation

#: The back end's module once more, to be told of another compiler and of other options: what is called is in the library.
native = importlib.util.module_from_spec(importlib.util.find_spec("sweep.backends.native"))
native.__spec__.loader.exec_module(native)
native.compiler = lambda: (shutil.which("g++"),)
MARCH = "-march=skylake-avx512"
native._OPTIONS = (
    *(MARCH if option == "-march=native" else option for option in native._OPTIONS),
    *("-nostdlib", "-Wl,-z,defs,-Bsymbolic"),
)
#: Memory there is below `room`, for one who asks once; the compiler makes calls of the others from loops and copies.
CALLED = """
extern "C" {
char *room;
unsigned long left;
void *aligned_alloc(unsigned long alignment, unsigned long size) { return size > left ? 0 : room - size; }
void free(void *) {}
void *memset(void *to, int value, unsigned long size) {
    for (char *at = (char *)to; size;) asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}
void *memcpy(void *to, const void *from, unsigned long size) {
    for (char *at = (char *)to; size;) asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}
}
"""
#: Registers that a processor may have, as in XCR0: those of AVX; with them masks, and all that is wider than 32 bytes.
AVX, AVX512 = 0x07, 0xE7
#: The package is linked for glibc 2.38 or later; before, these functions had but their old names.
_NEWER = ("sscanf", "strtoull")
Watch = Callable[[int], None]
_GIB, _PAGE = 2**30, 2**12
_MXCSR = 0x1F80  # no exceptions, rounded to the nearest, subnormals as they are
_KEPT = ("rbx", "rbp", "r12", "r13", "r14", "r15")


@cache
def emulator() -> Any:
    """Import the emulator."""
    try:
        importlib.import_module("bochscpu")
    except ImportError as error:
        if "__isoc23_" not in str(error):
            raise
        jumps = "".join(f'asm(".globl __isoc23_{name}\\n__isoc23_{name}: jmp {name}@PLT");' for name in _NEWER)
        with tempfile.TemporaryDirectory() as folder:
            command = ["g++", "-x", "c++", "-shared", "-fPIC", "-o", f"{folder}/newer.so", "-"]
            subprocess.run(command, input=jumps, text=True, check=True)
            ctypes.CDLL(f"{folder}/newer.so", ctypes.RTLD_GLOBAL)
    importlib.import_module("bochscpu.utils")  # and what it imports
    return sys.modules["bochscpu"]


def why_not() -> str:
    """Return why the emulator cannot run the native back end's code here; empty if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("g++"):
        return "the emulated processor runs what g++ makes for Linux on x86-64"
    try:
        emulator()
    except ImportError as error:
        return f"there is no emulated processor: {error}"
    return ""


class Fault(Exception):
    """An instruction cannot be executed. It has the exception's number, the address, and the last missing page."""

    UNDEFINED = 6


def _pages(count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, count * _PAGE), dtype=np.uint64).reshape(count, -1)


class Processor:
    """The only processor, because the emulator has only one memory: that of this process."""

    def __init__(self) -> None:
        self._bochs = emulator()
        # The first table is of tables, those of pages of a gigabyte.
        self._tables = _pages(257)
        self._tables[0, :256] = np.arange(1, 257) << 12 | 3
        self._gigabytes = [-1]  # by their places in the emulator's memory; the tables have the first
        self._stack = _pages(64)
        self._session = self._bochs.Session()
        self._session.missing_page_handler = self._bring

    def _bring(self, place: int) -> None:
        """Add a page that the emulator misses."""
        gigabyte, within = divmod(place & -_PAGE, _GIB)
        start = self._gigabytes[gigabyte] * _GIB if gigabyte else self._tables.ctypes.data
        self._bochs.memory.page_insert(place & -_PAGE, start + within)

    def _map(self) -> None:
        """Map all memory that the process has now."""
        for line in Path("/proc/self/maps").read_text().splitlines():
            first, last = (int(place, 16) // _GIB for place in line.split()[0].split("-"))
            for gigabyte in range(first, min(last, 2**17 - 1) + 1):
                if gigabyte not in self._gigabytes:
                    self._tables[1 + gigabyte // 512, gigabyte % 512] = len(self._gigabytes) * _GIB | 0x83
                    self._gigabytes.append(gigabyte)

    def call(self, function: Any, *given: int, registers: int = AVX512, watch: Watch | None = None) -> int:
        """Call a function of up to six integers that returns one; `watch` is told each instruction's address ahead of it."""
        self._map()
        # The function returns to an instruction that halts.
        self._stack[0, 0], self._stack[-1, -1] = 0xF4, self._stack.ctypes.data
        before = self._state(registers)
        before.rip = ctypes.cast(function, ctypes.c_void_p).value
        before.rsp = self._stack.ctypes.data + self._stack.nbytes - 8
        for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), given, strict=False):
            setattr(before, name, value)
        self._session.cpu.state = before
        faults: list[tuple[int, str, str]] = []

        def fault(session: Any, cpu: int, number: int, code: int) -> None:
            faults.append((number, hex(session.cpu.rip), hex(session.cpu.cr2)))
            session.stop()

        hook = self._bochs.Hook()
        hook.hlt = lambda session, cpu: session.stop()
        hook.exception = fault
        if watch:
            hook.before_execution = lambda session, cpu, instruction: watch(session.cpu.rip)
        self._session.run([hook])
        if faults:
            raise Fault(*faults[0])  # to keep one beside the hook would keep the hook, too, for ever
        after = self._session.cpu.state
        assert after.rsp == before.rsp + 8
        assert [getattr(after, name) for name in _KEPT] == [getattr(before, name) for name in _KEPT]
        assert after.mxcsr & ~0x3F == _MXCSR  # but for what has occurred
        return ctypes.c_int(after.rax & 0xFFFFFFFF).value

    def _state(self, registers: int) -> Any:
        """Return the state before a call: 64-bit mode, vectors switched on, and no useful data in the registers."""
        state = self._bochs.State()
        self._bochs.cpu.set_long_mode(state)
        state.cr4 |= 1 << 9 | 1 << 10 | 1 << 18
        state.xcr0, state.cr3 = registers, 0
        for name, attributes in {"cs": 0x209B, **dict.fromkeys(("ds", "es", "ss", "fs", "gs"), 0xC093)}.items():
            segment = self._bochs.Segment()
            segment.present, segment.selector, segment.attr, segment.limit = True, 8, attributes, 2**32 - 1
            setattr(state, name, segment)
        state.mxcsr, state.mxcsr_mask, state.rflags = _MXCSR, 0xFFFF, 2
        for number, name in enumerate(_KEPT):
            setattr(state, name, 2**40 + number)
        vectors = state.zmm
        for vector in vectors:
            vector.q = [2**64 - 1] * 8
        state.zmm = vectors
        return state


processor = cache(Processor)


class EmulatedDevice(native.NativeDevice):
    """The native back end's device on the emulated processor, with vectors of 64 bytes."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._vector_bytes, self._options, self._room = 64, options, _pages(2**11)

    def load(self, specialisation: Specialisation) -> dict[str, Any]:
        """Compile for that processor, or take what was compiled before."""
        if specialisation not in self._modules:
            library = native._library(specialisation.source + CALLED)
            self._modules[specialisation] = {name: partial(self._call, library, name) for name in native._ENTRIES}
        return self._modules[specialisation]

    def _call(self, library: ctypes.CDLL, entry: str, *given: int) -> int:
        self._room[...] = 2**64 - 1  # memory that is read before it is written is NaN
        ctypes.c_uint64.in_dll(library, "room").value = self._room.ctypes.data + self._room.nbytes
        ctypes.c_uint64.in_dll(library, "left").value = self._room.nbytes
        return processor().call(getattr(library, entry), *given, **self._options)
