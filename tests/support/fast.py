"""A second back end, NumPy's under another name. Given to workers as a preload, it stands before NumPy's in their list."""

from __future__ import annotations

import os

from sweep import Job
from sweep.backends import registry
from sweep.backends.numpy import NumpyBackend
from sweep.backends.protocol import Backend, Entry, Probe

#: Where this variable says why, the back end does not work.
BROKEN = "FAST_IS_BROKEN"
#: What this process sees of the two cards when the module is imported, which is when a real one would look.
SEEN = os.environ.get("CUDA_VISIBLE_DEVICES", "any")


def device() -> str:
    """Return the words for what it computes on."""
    return f"made-up card {SEEN}"


class FastBackend(NumpyBackend):
    """Does what NumPy's does."""

    name = "fast"

    def devices(self) -> tuple[str, ...]:
        """Return two cards, by the two kinds of name that a card may have."""
        return ("GPU-1a2b", "7")

    def describe(self, job: Job) -> str:
        """Say something that only this back end says."""
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
