"""Measure how fast this machine is in several cases, and compare with its limit.

``simulate`` of a back end is called directly, block by block, on as many threads as the back end asks for. So only the back end
is measured, and neither Dask nor the labels of a result.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import math
import platform
import statistics
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.gpu import passes
from sweep.backends.compiled.kernel import Needs
from sweep.backends.protocol import Backend, Probe
from sweep.checks import number
from sweep.design.makers import zipped
from sweep.execution.plan import cores
from sweep.execution.prepare import prepare
from sweep.job import Job
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import Array
from sweep.model.weights import gaussian
from sweep.signals.waveforms import sine
from sweep.version import __version__

_REPEATS = 3
#: Numbers of sets and units with which a calibration begins.
_FIRST_SETS, _FIRST_UNITS = 128, 2**14
#: The largest number of sets, and of units in all sets, with which any device is busy. A longer measurement has more steps
#: instead, because otherwise it would mostly measure how fast parameters and results are copied.
_MOST_SETS, _MOST_UNITS = 2**20, 2**24
#: Blocks for each thread: two, so that a thread that is done early can take another one.
_BLOCKS = 2
_Seconds = Annotated[float, Gt(0), Le(600)]
_PRODUCT = 768


@dataclass(frozen=True)
class Case:
    """A case to measure: a network of ``units`` units, with ``sets`` sets and ``steps`` steps."""

    name: str
    units: int
    sets: int
    steps: int
    noise: float = 0.0

    @property
    def updates(self) -> int:
        """Number of unit-updates of the whole case."""
        return self.units * self.sets * self.steps

    def values(self) -> dict[str, Array]:
        """Return the swept parameters, each ``(set,)``: gain and both time constants."""
        return {
            "gain": np.linspace(0.5, 1.5, self.sets),
            "tau_s": 1.0 / np.linspace(0.05, 0.2, self.sets),
            "tau_r": 1.0 / np.linspace(0.1, 0.3, self.sets),
        }

    def weights(self) -> Array:
        """Return W, ``(unit, unit)``. All sets share it, and scale it by their gain."""
        return gaussian(units=self.units, seed=1)

    def job(self, blocks: int | None = None) -> Job:
        """Return the case as a job with this number of blocks, which observes mean, variance and final rate."""
        parameters = {"noise": self.noise} if self.noise else {}
        return Job(
            model=Model(units=self.units, weights=self.weights(), activation="tanh", parameters=parameters),
            input=sine(frequency=5.0),
            design=zipped("point", **self.values()),
            integration=Integration(dt=1.0, duration=float(self.steps)),
            observe=("r_mean", "r_var", "r_final"),
            sets_per_block=None if blocks is None else -(-self.sets // blocks),
        )


S = Case("S", units=2, sets=100_000, steps=1000)
M = Case("M", units=32, sets=4096, steps=1000)
L = Case("L", units=128, sets=1024, steps=500)
XL = Case("XL", units=512, sets=128, steps=200)
NOISY = Case("M, noise", units=32, sets=4096, steps=1000, noise=0.1)
CASES = (S, M, NOISY, L, XL)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The measurement of a case.

    Attributes
    ----------
    case : Case
        The case, with the numbers of sets and steps that were measured.
    rate : float
        Unit-updates per second.
    limit : float
        The rate that cannot be exceeded, in unit-updates per second.
    by : str
        What limits the rate.
    """

    case: Case
    rate: float
    limit: float
    by: str

    def line(self) -> str:
        """Return a row of the table below :data:`TITLE`."""
        case = self.case
        return (
            f"{case.name:<9} {case.units:>4} {case.sets:>9,} {case.steps:>9,} {_number(self.rate / 1e9):>8} "
            f"{_number(self.limit / 1e9):>8} {100 * self.rate / self.limit:>6.2f}  {self.by}"
        )


TITLE = f"{'case':<9} {'N':>4} {'sets':>9} {'steps':>9} {'10^9/s':>8} {'limit':>8} {'%':>6}  limited by"


def check_seconds(seconds: float) -> float:
    """Check how long a measurement should take, and return it; raise JobError if it is not possible."""
    return number("--seconds", seconds, _Seconds, "Leave it out for 1.")


def header(chosen: Probe) -> list[tuple[str, str]]:
    """Return names and values of everything that a measurement depends on."""
    return [
        ("tausweep", f"{__version__}, {datetime.date.today().isoformat()}"),
        ("back end", f"{chosen.name}, {chosen.reason}"),
        ("device", chosen.device),
        ("machine", f"{processor()}, {cores()} cores for this process; {platform.platform()}"),
        ("versions", f"Python {platform.python_version()}, NumPy {np.__version__}, CuPy {_cupy_version()}"),
    ]


def measures(engine: Backend, cases: Iterable[Case], seconds: float) -> Iterator[Measure]:
    """Measure one case after the other.

    Parameters
    ----------
    engine : Backend
        The back end.
    cases : iterable of Case
        The cases. Their numbers of sets are chosen so that a measurement takes long enough. If the largest number of sets is
        not enough, the number of steps is raised.
    seconds : float
        About how long each of the three measurements of a case takes. Their median counts.

    Yields
    ------
    Measure
        The measurement of a case, as soon as it is known.
    """
    threads = engine.concurrency(cores())
    gpu = _gpu(engine)
    on_cpu = 0.0 if gpu else multiply_adds(cores(), min(seconds, 1.0) / 4)
    for case in cases:
        sized = calibrated(engine, case, seconds, threads)
        job = sized.job(_BLOCKS * threads)
        taken = statistics.median(seconds_of(engine, job, threads) for _ in range(_REPEATS))
        if gpu:
            each = instructions(job)
            limit, by = gpu._device.speed / each, f"{each:.0f} instructions a unit-step"
        else:
            limit, by = on_cpu / case.units, f"{case.units} multiply-adds a unit-step"
        yield Measure(case=sized, rate=sized.updates / taken, limit=limit, by=by)


def explained(engine: Backend) -> str:
    """Return a text that explains the limits."""
    if gpu := _gpu(engine):
        return (
            f"The limit is {gpu._device.speed:.3g} lane-instructions a second, which the device issues at its highest "
            "clock, divided by the estimated instructions of a unit-step."
        )
    return (
        "The limit is the speed of a float32 matrix product on all cores here, as if W r were the only work. "
        "With few units the activation and the rest take longer than W r."
    )


def _gpu(engine: Backend) -> KernelBackend | None:
    """Return the back end if it computes on a GPU."""
    return engine if isinstance(engine, KernelBackend) and engine.devices() else None


def instructions(job: Job) -> float:
    """Return about how many instructions a unit-step of a job takes on a GPU, in all passes together."""
    return sum(kernel.instructions for _, kernel in passes(Needs.of(job, compensated=False)))


def calibrated(engine: Backend, case: Case, seconds: float, threads: int) -> Case:
    """Return the case with so many sets that it takes about ``seconds``, and with more steps if they would be too many."""
    most = max(1, min(_MOST_SETS, _MOST_UNITS // case.units))
    sized = dataclasses.replace(case, sets=min(case.sets, max(_FIRST_SETS, _FIRST_UNITS // case.units), most))
    engine.compile(sized.job(_BLOCKS * threads))
    # The first run includes work that is done only once, so it is not measured.
    seconds_of(engine, sized.job(_BLOCKS * threads), threads)
    while True:
        taken = seconds_of(engine, sized.job(_BLOCKS * threads), threads)
        enough = taken >= seconds / 4
        factor = max(1.0, seconds / taken) if enough else min(16.0, seconds / 2 / taken)
        sets = min(most, _rounded(sized.sets * factor))
        more = max(1.0, sized.sets * factor / sets)
        sized = dataclasses.replace(sized, sets=sets, steps=_rounded(sized.steps * more))
        if enough:
            return sized


class _Stopped(BaseException):
    """Raised if another thread failed or Ctrl-C was pressed. It is not an Exception, so that no handler catches it."""


def seconds_of(engine: Backend, job: Job, threads: int) -> float:
    """Simulate all blocks of a job on ``threads`` threads, and return the seconds that it took.

    After an interrupt, or if a block fails, the other threads stop at their next report of progress.
    """
    stop = threading.Event()

    def go_on(_: int) -> None:
        if stop.is_set():
            raise _Stopped

    def one(number: int) -> None:
        engine.simulate(prepared, job.parameter_sets(job.blocks[number]), progress=go_on)

    prepared = prepare(job)
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(one, number) for number in range(len(job.blocks))]
        try:
            for future in running:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return time.perf_counter() - start


def multiply_adds(threads: int, seconds: float) -> float:
    """Return the float32 multiply-adds per second that BLAS reaches on ``threads`` cores, the best of three tries."""
    # Imported here, because a machine with a GPU need not have what it imports.
    from sweep.backends.numpy.blas import one_blas_thread

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, _PRODUCT, _PRODUCT)).astype(np.float32)

    def work(_: int) -> int:
        done, out = 0, np.empty_like(a)
        while time.perf_counter() < end:
            np.matmul(a, b, out=out)
            done += 1
        return done

    best = 0.0
    # Each core has a thread with its own product, so that OMP_NUM_THREADS does not matter.
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            start = time.perf_counter()
            end = start + seconds
            products = sum(pool.map(work, range(threads)))
            best = max(best, products * _PRODUCT**3 / (time.perf_counter() - start))
    return best


def processor() -> str:
    """Return the system's name of the processor."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _rounded(number: float) -> int:
    """Round to two digits, so that tables are easier to read."""
    power: int = 10 ** max(0, math.floor(math.log10(max(1.0, number))) - 1)
    return max(1, round(number / power) * power)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cupy_version() -> str:
    # Found by the names of its wheels, because importing it takes a second and may fail.
    found = (_version(name) for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy"))
    return next(filter(None, found), "not installed")
