"""Which back ends there are, which of them work here, and which one takes the steps of a job."""

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


#: What is kept of who computed a result.
PROVENANCE = ("backend", "backend_reason", "device", "method")


#: By name; "auto" takes the first that works.
BACKENDS: Mapping[str, Entry] = _found()


@cache
def _look(name: str) -> Probe:
    # Once per process, for every block asks, and a driver may be slow to answer.
    return BACKENDS[name].probe()


def probe() -> Iterator[Probe]:
    """Say of one back end after the other whether it works here."""
    return map(_look, BACKENDS)


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
