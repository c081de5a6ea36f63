"""A way to import the scripts of ``benchmarks/``, which are no package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from support import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a way to import a script of ``benchmarks/``."""
    before = set(sys.modules)
    path = list(sys.path)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]
