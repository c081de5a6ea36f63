"""The cases that are measured on a GPU, and the bound on their speed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.backends.compiled.source import folder
from sweep.bench import Case, L, M, S
from sweep.design.makers import zipped
from sweep.job import Job
from sweep.model.weights import gaussian
from sweep.observables import record
from sweep.signals.recordings import samples
from sweep.signals.targets import Target

__all__ = ["REGIMES", "UNITS", "Case", "L", "M", "Regime", "S", "bound", "kernels_digest"]

UNITS = (1, 2, 4, 8, 12, 16, 20, 32, 48, 64, 96, 128, 256, 512)
#: Enough sets, and enough sets times units, to keep a large GPU busy: many more threads than it can run at a time.
_BUSY_SETS, _BUSY_UNITS = 2**20, 2**22


@dataclass(frozen=True)
class Regime(Case):
    """A case with one special feature.

    Attributes
    ----------
    networks : int
        Number of weight matrices, which the sets use in turn; 0: one matrix for all sets.
    lags : int
        Number of lags at which the rates are compared with a target; 0: no target.
    every : int
        Steps from one record of the rates of all units to the next; 0: no records.
    """

    activation: str = "tanh"
    precision: str = "float32"
    networks: int = 0
    lags: int = 0
    every: int = 0

    def job(self, blocks: int | None = None) -> Job:
        """Return the case as a job with this number of blocks (None: the job chooses)."""
        job = super().job(blocks)
        model = dataclasses.replace(job.model, activation=self.activation)
        design, observe, target = job.design, job.observe, None
        if self.networks:
            own = np.stack([gaussian(units=self.units, seed=seed) for seed in range(self.networks)])
            model = dataclasses.replace(model, weights=own)
            design = zipped("point", **self.values(), network=np.arange(self.sets) % self.networks)
        if self.lags:
            heard = np.random.default_rng(1).normal(size=self.steps + self.lags)
            target = Target(samples(heard, interval=1.0), lags=tuple(map(float, range(self.lags))))
            observe = (*observe, "target_correlation")
        if self.every:
            observe = (*observe, record("r", every=self.every))
        integration = dataclasses.replace(job.integration, precision=self.precision)
        return dataclasses.replace(
            job, model=model, design=design, observe=observe, target=target, integration=integration
        )


def _regime(units: int, what: str = "tanh", **own: Any) -> Regime:
    sets = min(_BUSY_SETS, _BUSY_UNITS // units)
    return Regime(f"N = {units}, {what}", units=units, sets=sets, steps=1000, **own)


REGIMES = {
    regime.name: regime
    for regime in (
        *(_regime(units, kind, activation=kind) for kind in ("tanh", "relu") for units in UNITS),
        *(_regime(units, "noise", noise=0.1) for units in (1, 2, 8, 32, 128)),
        *(_regime(units, "a record every 10 steps", every=10) for units in (2, 32)),
        _regime(1, "11 lags", lags=11),
        *(_regime(units, "64 networks", networks=64) for units in (2, 8, 16, 64, 128)),
        *(_regime(units, "float64", precision="float64") for units in (2, 32, 128)),
    )
}


def bound(counted: Mapping[str, float], speed: float, special: float, double: float) -> tuple[float, str]:
    """Return the unit-updates per second that a device cannot exceed, and what limits it.

    Parameters
    ----------
    counted : mapping
        Counts per unit-step from ``instructions.py``: all ``instructions``, and among them the ``special`` functions and
        those in ``double`` precision.
    speed : float
        Lane-instructions per second.
    special, double : float
        How many times longer than other instructions these two keep a device busy.
    """
    longest = {
        "instructions": counted["instructions"],
        "special functions": special * counted["special"],
        "double precision": double * counted["double"],
    }
    by = max(longest, key=lambda name: longest[name])
    return speed / longest[by], by


def kernels_digest() -> str:
    """Return the digest of the kernels' sources, which says for which kernels instructions were counted."""
    text = b"".join(path.read_bytes() for path in sorted(folder().glob("*.cu*")))
    return hashlib.sha256(text).hexdigest()
