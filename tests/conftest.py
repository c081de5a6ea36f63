"""What the tests share: every back end that works here, and a way to run a job on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from sweep import Job
from sweep.backends import get_backend, probe

settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")

Simulate = Callable[..., dict[str, np.ndarray]]

BACKENDS = [
    pytest.param(look.name, marks=pytest.mark.gpu if look.name == "cupy" else ()) for look in probe() if look.works
]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Name a back end that works here."""
    return request.param


@pytest.fixture(scope="session")
def simulate(backend: str) -> Simulate:
    """Run all blocks of a job on the back end: every variable ``(set, ...)``, the sets in C order."""
    engine = get_backend(backend)

    def run(job: Job, batch: int | None = None) -> dict[str, np.ndarray]:
        whole = {v.name: np.empty((*job.design.shape, *v.shape), dtype=v.dtype) for v in job.variables}
        for block in job.blocks:
            results = engine.simulate(job, job.parameters(block), batch=batch)
            assert set(results) == set(whole)
            for variable in job.variables:
                values = results[variable.name]
                assert values.shape == (block.size, *variable.shape)
                assert values.dtype == variable.dtype
                whole[variable.name][block.slices] = values.reshape((*block.shape, *variable.shape))
        dims = len(job.design.shape)
        return {name: value.reshape(job.design.size, *value.shape[dims:]) for name, value in whole.items()}

    return run
