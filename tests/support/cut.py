"""Jobs of every kind for the native back end, and kernels that are cut in other ways than it cuts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from support.jobs import Results, network
from sweep import Integration, Job, Model, Target, gaussian, grid, record, samples, sine
from sweep.backends import native
from sweep.backends.compiled import cpu
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.kernel import Kernel, Needs
from sweep.checks.caution import silence
from sweep.execution.prepare import prepare
from sweep.signals.waveforms import white_noise

SHORT = Integration(dt=0.5, duration=30.0, transient=3.5)
SERIES = samples(np.random.default_rng(7).normal(size=(3, 80)), interval=0.5)
OBSERVED = ["x_mean", "x_std", "x_min", "x_max", "r_mean", "r_std", "r_min", "r_max", "x_final", "r_final"]

#: Among them every activation, coupling, input and observable, both precisions and schemes, noise, and sets that diverge.
with silence():  # an instantaneous current with noise is a trap for users
    JOBS: dict[str, Job] = {
        "a last segment of three steps": Job(
            model=network(2, activation="tanh"),
            design=grid(tau_s=np.linspace(1, 9, 30)),
            integration=dataclasses.replace(SHORT, duration=13.0),
            observe=OBSERVED,
        ),
        "noise, records": Job(
            model=network(5, activation="tanh"),
            design=grid(tau_s=np.linspace(0, 9, 7), noise=[0.0, 0.3]),
            integration=SHORT,
            observe=[*OBSERVED, record("x", every=3), record("r", every=3)],
        ),
        "targets, simultaneous": Job(
            model=network(3, activation="sigmoid"),
            input=sine(amplitude=1.0, frequency=40.0),
            target=Target(SERIES, lags=[0, 1.5]),
            design=grid(tau_s=np.linspace(0, 9, 11)),
            integration=dataclasses.replace(SHORT, scheme="simultaneous"),
            observe=["target_correlation", "target_mse"],
        ),
        "many comparisons": Job(
            model=network(3, activation="tanh"),
            input=sine(amplitude=1.0, frequency=40.0),
            target=Target(
                samples(np.random.default_rng(8).normal(size=(3, 300)), interval=0.5), lags=[0.5 * k for k in range(7)]
            ),
            design=grid(tau_s=np.linspace(0, 9, 11)),
            integration=dataclasses.replace(SHORT, duration=110.0),
            observe=["target_correlation", "target_mse", "r_var"],
        ),
        "compensated": Job(
            model=network(2, activation="softplus"),
            design=grid(tau_s=np.geomspace(1, 2000, 9)),
            integration=dataclasses.replace(SHORT, duration=300.0),
            observe=["r_mean", "x_final"],
        ),
        "own weights, stimuli": Job(
            model=Model(units=6, activation="relu", weights=gaussian(units=6, seed=3, networks=2, std=0.5)),
            input=[sine(amplitude=1.0, frequency=20.0), white_noise(std=0.8, seed=4, interval=0.5)],
            design=grid(network=[1, 0], stimulus=[0, 1], **{"W[0,2]": [0.3, -0.3]}),
            integration=SHORT,
            observe=["x_final", "r_max"],
        ),
        "shared networks, entries": Job(
            model=Model(units=67, activation="tanh", weights=gaussian(units=67, seed=3, networks=2)),
            design=grid(network=[1, 0], bias=[0.1, 0.2], **{"W[66,2]": [0.3, -0.3]}),
            integration=SHORT,
            observe=["x_final"],
        ),
        "float64": Job(
            model=network(4, activation="tanh"),
            design=grid(gain=np.linspace(0, 1, 5), noise=[0.1]),
            integration=dataclasses.replace(SHORT, precision="float64"),
            observe=["x_std", "r_final"],
        ),
        "divergence": Job(
            model=network(3, activation="linear"),
            design=grid(gain=[0.5, 1e3, 1e9]),
            integration=SHORT,
            observe=["r_mean", record("x", every=2)],
        ),
    }


def decay(duration: int, precision: str = "float32", taus: Sequence[float] = (2.0, 3.0)) -> Job:
    """Return a job of steps of 1 ms in which x falls from 1 to nothing, kept up to a thousand times."""
    return Job(
        model=Model(units=1, activation="linear", parameters={"x0": 1.0}),
        design=grid(tau_s=taus),
        integration=Integration(dt=1.0, duration=float(duration), precision=precision),
        observe=[record("x", every=-(-duration // 1100))],
    )


class Cut(native.NativeDevice):
    """A device with vectors of any width, which cuts kernels in other ways than the planner."""

    def __init__(self, vector_bytes: int | None = None, **changes: int) -> None:
        super().__init__()
        self._vector_bytes = vector_bytes or self._vector_bytes
        self._changes = changes

    def passes(self, needs: Needs) -> Sequence[tuple[slice, Kernel]]:
        """Return the planner's kernel with changes."""
        kernel = cpu.choose(needs, self._vector_bytes)
        return [(slice(0, needs.comparisons), dataclasses.replace(kernel, **self._changes))]


def simulate(device: native.NativeDevice, job: Job, progress: Callable[[int], None] | None = None) -> Results:
    """Simulate a job that has a single block."""
    (block,) = job.blocks
    return KernelBackend("native", device).simulate(prepare(job), job.parameter_sets(block), progress=progress)


def different(one: Results, other: Results) -> list[str]:
    """Return the names of the variables that differ in a bit."""
    assert set(one) == set(other)
    return [name for name in one if one[name].tobytes() != other[name].tobytes()]
