"""A second back end, which is NumPy's with another name. Workers preload it, and have it before NumPy's in their list."""

from __future__ import annotations

import os

from sweep import Job
from sweep.backends import registry
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import Backend, Entry, Probe

#: If this variable is set, the back end does not work, and the variable has the reason.
BROKEN = "FAST_IS_BROKEN"
#: The cards that this process sees when the module is imported, which is when a real back end would look.
SEEN = os.environ.get("CUDA_VISIBLE_DEVICES", "any")


def device() -> str:
    """Return the name of its device."""
    return f"made-up card {SEEN}"


class FastBackend(NumpyBackend):
    """The same as NumPy's back end."""

    name = "fast"

    def devices(self) -> tuple[str, ...]:
        """Return two cards, with the two kinds of names that cards may have."""
        return ("GPU-1a2b", "7")

    def describe(self, job: Job) -> str:
        """Return a text that only this back end returns."""
        return "in no time"


def look() -> Probe:
    """Say whether it works here."""
    why = os.environ.get(BROKEN)
    return Probe(name="fast", works=why is None, reason=why or "made up", device=device())


def load() -> Backend:
    """Return the back end."""
    return FastBackend()


ENTRY = Entry(name="fast", rank=-1, probe=look, load=load)


def dask_setup(worker: object) -> None:
    """Put it into a worker: Dask calls this when it preloads the module."""
    registry.BACKENDS = {"fast": ENTRY, "numpy": registry.BACKENDS["numpy"]}
