"""Which back ends there are, which of them work here, and which one simulates a job."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from sweep import backends
from sweep.backends.protocol import Backend, Entry, Probe
from sweep.errors import BackendError, suggest
from sweep.job import Job


def _found() -> dict[str, Entry]:
    """Return the back ends of this folder, the fastest first: every module that has an ``ENTRY``."""
    modules = [
        import_module(f"{backends.__name__}.{module.name}") for module in pkgutil.iter_modules(backends.__path__)
    ]
    entries = [module.ENTRY for module in modules if hasattr(module, "ENTRY")]
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.rank)}


#: The attributes that say what computed a result.
PROVENANCE = ("backend", "backend_reason", "device", "method")


#: All back ends, by name. "auto" takes the first one that works.
BACKENDS: Mapping[str, Entry] = _found()


@cache
def _look(name: str) -> Probe:
    # Once per process, because every block asks, and a driver may be slow to answer.
    return BACKENDS[name].probe()


def probe() -> Iterator[Probe]:
    """Yield for one back end after the other whether it works here."""
    return map(_look, BACKENDS)


def choose(name: str = "auto") -> Probe:
    """Choose a back end.

    Parameters
    ----------
    name : str
        ``"auto"`` for the fastest that works here, or the name of a back end.

    Returns
    -------
    Probe
        The chosen back end and the reason. If a faster one should work here but does not, the reason says why.

    Raises
    ------
    BackendError
        If there is no such back end, or if it cannot work here. An explicit choice is never replaced by another one.
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
    if name not in BACKENDS:
        raise BackendError(f"backend = {name!r} does not exist. {suggest(str(name), ('auto', *BACKENDS))}")
    found = _look(name)
    if not found.works:
        raise BackendError(f"backend = {name!r} cannot work here: {found.reason}. Use backend = 'auto'.")
    return found


@cache
def _loaded(name: str) -> Backend:
    return BACKENDS[name].load()


def get_backend(name: str = "auto") -> Backend:
    """Return the back end with this name, of which a process has one; see :func:`choose`."""
    return _loaded(choose(name).name)


def provenance(name: str, job: Job) -> dict[str, str]:
    """Return what computes a job here, as attributes of a result.

    Parameters
    ----------
    name : str
        Name of the back end, or ``"auto"``.
    job : Job
        The job.

    Returns
    -------
    dict of str to str
        The attributes, by the names of :data:`PROVENANCE`.
    """
    chosen = choose(name)
    said = (chosen.name, chosen.reason, chosen.device, get_backend(name).describe(job))
    return dict(zip(PROVENANCE, said, strict=True))
