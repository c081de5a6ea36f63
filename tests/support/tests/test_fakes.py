"""The fake CuPy: it has what is used of the real one, under the same names."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import FAKES, ROOT

CUPY = importlib.util.find_spec("cupy")


_USED = {
    "cupy": ("RawModule", "asarray", "empty", "arange", "ndarray", "get_default_memory_pool", "float32", "__version__"),
    "cupy.cuda": ("Device", "Stream", "get_current_stream"),
    "cupy.cuda.runtime": (
        "CUDARuntimeError",
        "getDeviceCount",
        "memGetInfo",
        "getDeviceProperties",
        "driverGetVersion",
    ),
    "cupy.cuda.driver": ("CUDADriverError",),
    "cupy.cuda.compiler": ("CompileException",),
    "cupy.cuda.memory": ("OutOfMemoryError",),
    "cupy.cuda.nvrtc": ("getVersion",),
    "cupyx": ("empty_pinned",),
}
_SIGNATURES = {
    "cupy": ("empty", "asarray", "ndarray.get", "ndarray.set"),
    "cupy.cuda.compiler": ("CompileException",),
    "cupyx": ("empty_pinned",),
}


def found_in(folder: Path | None) -> SimpleNamespace:
    """Ask a fresh process for the names and the parameters of what the back end uses, of the fake or of the real CuPy."""
    code = f"""
import inspect, json
from operator import attrgetter
used, signatures = {_USED!r}, {_SIGNATURES!r}
import cupy, cupyx
def get(module, name):
    top, *rest = f"{{module}}.{{name}}".split(".")
    return attrgetter(".".join(rest))({{"cupy": cupy, "cupyx": cupyx}}[top])
def lacks(module, name):
    try:
        get(module, name)
    except AttributeError:
        return True
    return False
missing = [f"{{m}}.{{n}}" for m, names in used.items() for n in names if lacks(m, n)]
def of(thing):
    try:
        return [name for name in inspect.signature(thing).parameters if name not in ("self", "args", "kwargs")]
    except (TypeError, ValueError):
        return None
parameters = {{f"{{m}}.{{n}}": of(get(m, n)) for m, ns in signatures.items() for n in ns}}
bases = [issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError),
         issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError),
         issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)]
words = str(cupy.cuda.runtime.CUDARuntimeError(35))
print(json.dumps([missing, parameters, bases, words]))
"""
    path = os.pathsep.join(map(str, filter(None, (folder, ROOT / "tests"))))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    return SimpleNamespace(
        **dict(zip(("missing", "parameters", "bases", "words"), json.loads(done.stdout), strict=True))
    )


def test_the_fake_has_what_is_used() -> None:
    """Every name exists, and the errors are of the kinds that the back end catches."""
    fake = found_in(FAKES)
    assert fake.missing == []
    assert all(fake.bases)
    assert None not in fake.parameters.values()


@pytest.mark.skipif(CUPY is None, reason="needs CuPy")
def test_the_fake_is_like_the_real_one() -> None:
    """The real CuPy has the same names, and takes every parameter of the fake, in the same order."""
    fake, real = found_in(FAKES), found_in(None)
    assert real.missing == []
    assert real.bases == fake.bases
    assert real.words == fake.words
    for name, parameters in fake.parameters.items():
        taken = real.parameters[name]
        if taken is not None:
            assert [each for each in taken if each in parameters] == parameters, name
