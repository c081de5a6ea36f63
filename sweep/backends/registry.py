"""Which back ends there are, which of them work here, and which one takes the steps of a job."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from sweep.backends.protocol import Backend
from sweep.errors import BackendError, suggest
from sweep.job import Job


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether a back end works here, and why or why not.

    Attributes
    ----------
    name : str
        Of the back end.
    works : bool
        Whether it can be used.
    reason : str
        Why, or why not.
    device : str
        What it computes on.
    expected : bool
        Whether something is here that makes one expect it to work, such as its package.
    note : str
        What to tell the user of the choice: that one expected to work does not. Empty if there is nothing to tell.
    """

    name: str
    works: bool
    reason: str
    device: str = ""
    expected: bool = True
    note: str = ""


def _probe_cupy() -> Probe:
    from sweep.backends import cupy

    why_not = cupy.why_not()
    return Probe(
        name="cupy",
        works=not why_not,
        reason=why_not or f"{cupy.version()}, on the GPU",
        device="" if why_not else cupy.device_name(),
        expected=importlib.util.find_spec("cupy") is not None,
    )


def _load_cupy() -> Backend:
    from sweep.backends.cupy import CupyBackend

    return CupyBackend()


def _probe_native() -> Probe:
    from sweep.backends import native

    why_not = native.why_not()
    return Probe(
        name="native",
        works=not why_not,
        reason=why_not or f"{native.version()}, on the CPU",
        device=_cpu(),
        expected=bool(os.environ.get("CXX", "").strip()) or native.compiler() is not None,
    )


def _load_native() -> Backend:
    from sweep.backends.native import NativeBackend

    return NativeBackend()


def _cpu() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.processor() or platform.machine()}, {cores} cores"


def _probe_numpy() -> Probe:
    return Probe(name="numpy", works=True, reason=f"NumPy {np.__version__}, on the CPU", device=_cpu())


def _load_numpy() -> Backend:
    from sweep.backends.numpy import NumpyBackend

    return NumpyBackend()


#: Fastest first: "auto" takes the first that works.
_BACKENDS: Mapping[str, tuple[Callable[[], Probe], Callable[[], Backend]]] = {
    "cupy": (_probe_cupy, _load_cupy),
    "native": (_probe_native, _load_native),
    "numpy": (_probe_numpy, _load_numpy),
}
NAMES: tuple[str, ...] = ("auto", *_BACKENDS)

#: What is kept of who computed a result.
PROVENANCE = ("backend", "backend_reason", "device", "method")


@cache
def _look(name: str) -> Probe:
    # Once per process, for every block asks, and a driver may be slow to answer.
    return _BACKENDS[name][0]()


def probe() -> Iterator[Probe]:
    """Say of one back end after the other whether it works here."""
    return map(_look, _BACKENDS)


def choose(name: str = "auto") -> Probe:
    """Choose a back end.

    Parameters
    ----------
    name : str
        ``"auto"``, the fastest that works here, or the name of one.

    Returns
    -------
    Probe
        The back end chosen, and why; where a faster one was to be expected, also why not that.

    Raises
    ------
    BackendError
        If there is no such back end, or it cannot work here: there is no falling back from an explicit choice.
    """
    if name == "auto":
        broken = []
        for found in probe():
            if found.works:
                break
            if found.expected:
                broken.append(f"{found.name} does not work here: {found.reason}")
        note = f"{'; '.join(broken)}; using {found.name}" if broken else ""
        return dataclasses.replace(found, reason=f"{note or 'the fastest that works here'}: {found.reason}", note=note)
    if name not in _BACKENDS:
        raise BackendError(f"backend = {name!r} does not exist. {suggest(str(name), ('auto', *_BACKENDS))}")
    found = _look(name)
    if not found.works:
        raise BackendError(f"backend = {name!r} cannot work here: {found.reason}. Use backend = 'auto'.")
    return found


@cache
def _loaded(name: str) -> Backend:
    return _BACKENDS[name][1]()


def get_backend(name: str = "auto") -> Backend:
    """Return the back end of that name, one per process; see :func:`choose`."""
    return _loaded(choose(name).name)


def provenance(name: str, job: Job) -> dict[str, str]:
    """Return who does a job here, as the attributes of a result say it.

    Parameters
    ----------
    name : str
        Of the back end, or ``"auto"``.
    job : Job
        What is to be done.

    Returns
    -------
    dict of str to str
        By the names of :data:`PROVENANCE`.
    """
    chosen = choose(name)
    said = (chosen.name, chosen.reason, chosen.device, get_backend(name).describe(job))
    return dict(zip(PROVENANCE, said, strict=True))
