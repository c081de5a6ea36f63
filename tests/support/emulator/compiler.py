"""From the source of a kernel to a library that runs it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

HEADERS = [Path(__file__).with_name(name) for name in ("emulator.h", "fibres.h")]
COMPILER = "g++"
# Symbols stay inside their library. _FORTIFY_SOURCE would forbid the jump from one stack to another.
OPTIONS = ["-std=c++17", "-O1", "-march=native", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden"]
OPTIONS += ["-fno-gnu-unique", "-U_FORTIFY_SOURCE", "-include", str(HEADERS[0])]

_BOUNDS = r"(?:__launch_bounds__\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*)?"
_ENTRY = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(')


@functools.cache
def library(file: str, source: str) -> ctypes.CDLL:
    """Compile a source, or take what was compiled of it before, in this process or another.

    Raises
    ------
    RuntimeError
        The compiler's message.
    """
    folder = Path(tempfile.gettempdir()) / f"emulated-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    parts = [_version(), *OPTIONS, *(header.read_text(encoding="utf-8") for header in HEADERS), file, source]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    target = folder / f"{digest[:32]}.so"
    if not target.exists():
        _compile(f'#line 1 "{file}"\n{source}\n', target)
    return ctypes.CDLL(str(target))


@functools.cache
def _version() -> str:
    return _call([COMPILER, "--version"])


def _compile(source: str, target: Path) -> None:
    # The preprocessor first: macros choose and name the kernels.
    seen = _call([COMPILER, "-E", "-P", "-DSWEEP_EMULATED", "-x", "c++", "-"], source)
    wrappers = [
        f'extern "C" __attribute__((visibility("default"))) int emulate_{entry}(emulator::Launch *launch) '
        f"{{ return emulator::run<{entry}>({entry}, launch); }}\n"
        for entry in _ENTRY.findall(seen)
    ]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        written = Path(folder, target.name)
        _call([COMPILER, *OPTIONS, "-x", "c++", "-", "-o", str(written)], "".join([source, *wrappers]))
        os.replace(written, target)  # whole or not at all, whoever else compiles the same


def _call(command: Sequence[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the kernel does not compile:\n{done.stderr}")
    return done.stdout
