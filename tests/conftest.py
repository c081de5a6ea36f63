"""What the tests share: every back end that works here, and a function to run a job on it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from support import emulated, fast
from support.jobs import Simulate

from sweep import Job
from sweep.backends import registry as backends
from sweep.backends.protocol import Backend, Entry, Probe
from sweep.backends.registry import get_backend, probe
from sweep.execution.prepare import simulate_block

settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")
# A shell without a terminal starts background processes with interrupts ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make most of a ``product`` slow: on a back end that compiles a kernel for every case, all but the first few."""
    seen: Counter[tuple[str, str]] = Counter()
    for item in items:
        mark = item.get_closest_marker("product")
        if not (mark and isinstance(item, pytest.Function)):
            continue
        name = item.callspec.params["backend"]
        seen[item.nodeid.partition("[")[0], name] += 1
        if name != "numpy" and seen[item.nodeid.partition("[")[0], name] > mark.kwargs.get("quick", 0):
            item.add_marker(pytest.mark.slow)


FOUND = {look.name: look for look in probe()}
BACKENDS = [pytest.param(name, marks=pytest.mark.gpu if name == "cupy" else ()) for name in (*FOUND, "emulated")]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the name of a back end that works here: one of the package, or the emulated kernels."""
    look = FOUND.get(request.param)
    if look and not look.works:
        pytest.skip(f"back end {look.name}: {look.reason}")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "emulated":
            patch.setattr(backends, "BACKENDS", {**backends.BACKENDS, "emulated": emulated.ENTRY})
        yield request.param


@pytest.fixture(scope="session")
def simulate(backend: str) -> Simulate:
    """Run all blocks of a job on the back end, and return every variable ``(set, ...)``, with the sets in C order."""
    engine = get_backend(backend)

    def run(job: Job, batch: int | None = None) -> dict[str, np.ndarray]:
        whole = {v.name: np.empty((*job.design.shape, *v.shape), dtype=v.dtype) for v in job.variables}
        for block in job.blocks:
            results = simulate_block(engine, job, block, batch)
            assert set(results) == set(whole)
            for variable in job.variables:
                values = results[variable.name]
                assert values.shape == (block.size, *variable.shape)
                assert values.dtype == variable.dtype
                whole[variable.name][block.slices] = values.reshape((*block.shape, *variable.shape))
        dims = len(job.design.shape)
        return {name: value.reshape(job.design.size, *value.shape[dims:]) for name, value in whole.items()}

    return run


def _forget() -> None:
    backends._look.cache_clear()
    backends._loaded.cache_clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a place for a store."""
    return tmp_path / "out.zarr"


@pytest.fixture
def before_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that adds back ends, ``name=(probe, load)``, before NumPy's in this process."""
    numpy = backends.BACKENDS["numpy"]

    def put(**others: tuple[Callable[[], Probe], Callable[[], Backend]]) -> None:
        made = {name: Entry(name=name, rank=-1, probe=look, load=load) for name, (look, load) in others.items()}
        monkeypatch.setattr(backends, "BACKENDS", {**made, "numpy": numpy})
        _forget()

    yield put
    _forget()


@pytest.fixture
def only_numpy(before_numpy: Callable[..., None]) -> None:
    """Hide all back ends except NumPy's in this process."""
    before_numpy()


@pytest.fixture
def two(before_numpy: Callable[..., None]) -> None:
    """Make two back ends available in this process."""
    before_numpy(fast=(fast.look, fast.load))
