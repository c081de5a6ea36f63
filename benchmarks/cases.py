"""The cases S, M and L, and the loop that a user would write without us."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import sweep


@dataclass(frozen=True)
class Case:
    """A network of ``units`` units, ``sets`` parameter sets, ``steps`` steps."""

    name: str
    units: int
    sets: int
    steps: int

    @property
    def updates(self) -> int:
        """Unit-updates of the whole case."""
        return self.units * self.sets * self.steps

    def values(self) -> dict[str, np.ndarray]:
        """Return the swept parameters, each ``(set,)``: gain and both rate constants."""
        return {
            "gain": np.linspace(0.5, 1.5, self.sets),
            "tau_s": 1.0 / np.linspace(0.05, 0.2, self.sets),
            "tau_r": 1.0 / np.linspace(0.1, 0.3, self.sets),
        }

    def weights(self) -> np.ndarray:
        """Return W, common to all sets and scaled by each one's gain."""
        return sweep.gaussian(units=self.units, seed=1)

    def job(self) -> sweep.Job:
        """Return the case as a job: mean, variance and final rate are observed."""
        return sweep.Job(
            model=sweep.Model(units=self.units, weights=self.weights(), activation="tanh"),
            input=sweep.sine(frequency=5.0),
            design=sweep.zipped("point", **self.values()),
            integration=sweep.Integration(dt=1.0, duration=float(self.steps)),
            observe=["r_mean", "r_var", "r_final"],
        )


S = Case("S", units=2, sets=100_000, steps=1000)
M = Case("M", units=32, sets=4096, steps=1000)
L = Case("L", units=128, sets=1024, steps=500)


def plain_numpy(case: Case) -> dict[str, np.ndarray]:
    """Simulate a case as one would write it down: all sets at once, a line an equation."""
    values = {name: value.astype(np.float32)[:, None] for name, value in case.values().items()}
    gain, alpha_s, alpha_r = values["gain"], 1 / values["tau_s"], 1 / values["tau_r"]
    weights = case.weights().astype(np.float32)
    u = np.sin(2 * np.pi * 5.0 * np.arange(case.steps) / 1000).astype(np.float32)
    x = np.zeros((case.sets, case.units), np.float32)
    r, total, squares = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t in range(case.steps):
        x = x + alpha_s * (gain * (r @ weights.T) + u[t] - x)
        r = r + alpha_r * (np.tanh(x) - r)
        total += r
        squares += r * r
    mean = total / case.steps
    return {"r_mean": mean, "r_var": squares / case.steps - mean**2, "r_final": r}
