"""Segments and launches: no result depends on how the work was cut."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import emulated, needs
from support.emulator import EmulatedDevice

from sweep import Integration, Job, Model, Target, gaussian, grid, record, samples, sine
from sweep.backends.compiled import layout, source
from sweep.backends.compiled.backend import KernelBackend
from sweep.backends.compiled.gpu import LANES_PER_SET, PRODUCT, THREAD_PER_SET, choose, passes
from sweep.backends.compiled.kernel import Needs
from sweep.backends.compiled.layout import LONGEST_SEGMENT, segment_stop
from sweep.backends.registry import get_backend
from sweep.execution.prepare import prepare

emulates = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)


def job(units: int, speed: float = 1.0, **changes: Any) -> Job:
    """Return a job of noisy driven sets, some of which diverge, with everything measured."""
    rng = np.random.default_rng(units)
    parts = {
        "model": Model(
            units=units,
            weights=gaussian(units=units, seed=1),
            activation="softplus",
            parameters={"noise": 0.1, "threshold": rng.normal(0, 0.2, units), "x0": rng.normal(0, 0.5, units)},
        ),
        "input": sine(amplitude=1.0, frequency=40.0),
        "target": Target(samples(rng.normal(size=160), interval=1.0), lags=[-1, 0, 2]),
        "design": grid(tau_s=[2.0, 5.0, 20.0], gain=[0.5, 1.0, 400.0]),
        "integration": Integration(dt=1, duration=125, transient=7),
        "observe": ["r_mean", "r_var", "x_mean", "r_min", "x_max", "target_correlation", record("r", every=3)],
    }
    return Job(**(parts | changes))


@pytest.mark.parametrize("units", [3, 20, 300])
def test_a_plan_belongs_to_the_job_and_not_to_a_block(units: int) -> None:
    """A block in which a swept parameter has only one value gets the same kernel as the whole design."""
    whole = Needs.of(job(units), compensated=False)
    for sets_per_block in (1, 2, 3, 7):
        assert Needs.of(job(units, sets_per_block=sets_per_block), compensated=False) == whole
    one_value = job(units, design=grid(tau_s=[5.0], gain=[1.0]))
    assert Needs.of(one_value, compensated=False).modes == whole.modes


# ---------------------------------------------------------------------------------------------------------- segments

STOPS = """
#include "arguments.cuh"
struct Ask { const word *steps; word *start, *stop; word count; };
extern "C" __global__ void kernel(const Ask a) {
    for (word i = threadIdx.x; i < a.count; i += blockDim.x) {
        a.start[i] = segment_start(a.steps[i]);
        a.stop[i] = segment_stop(a.steps[i]);
    }
}
"""


@dataclass(frozen=True)
class Text:
    """A source that is in no file of the kernels."""

    source: str
    file: str = "stops.cu"


@emulates
def test_segments_are_those_of_the_kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Host and kernels cut the steps after the transient at the same places."""
    folder = tmp_path_factory.mktemp("kernels")
    shutil.copytree(source.folder(), folder, dirs_exist_ok=True)
    (folder / "stops.cu").write_text(STOPS, encoding="utf-8")
    macros = "".join(f"#define {name} {value}\n" for name, value in choose(needs.plain(1)).specialisation.macros)
    device = EmulatedDevice()
    module = device.load(Text(macros + source.inlined(folder / "stops.cu")))
    # All cuts near the first ones, and others up to the largest word.
    rng = np.random.default_rng(0)
    steps = np.concatenate([np.arange(9_000), 2 ** np.arange(13, 32), rng.integers(0, 2**32 - 1025, 3_000)])
    arrays = [device.upload(steps.astype(np.uint32)), *(device.zeros(len(steps), np.uint32) for _ in range(2))]
    ask = np.zeros(1, dtype=np.dtype([("steps", "u8"), ("start", "u8"), ("stop", "u8"), ("count", "u4")], align=True))
    ask[0] = (*map(device.address, arrays), len(steps))
    device.launch(module, "kernel", 1, 64, 0, (ask,))
    starts, stops = (device.download(array).astype(np.int64) for array in arrays[1:])
    assert stops.tolist() == [segment_stop(int(step)) for step in steps]
    assert (starts <= steps).all()
    # A segment starts where the one before it stops.
    assert starts[starts > 0].tolist() == [segment_stop(int(start) - 1) for start in starts[starts > 0]]
    assert [segment_stop(int(start)) for start in starts] == stops.tolist()


@given(transient=st.integers(0, 400), observed=st.integers(1, 5000), most=st.integers(1, 6000))
def test_spans_partition_the_steps_and_cut_at_ends_of_segments(transient: int, observed: int, most: int) -> None:
    """For spans of any length: each step is in one span, no span crosses the end of the transient, and no segment is cut."""
    timing = Integration(dt=1, duration=transient + observed, transient=transient)
    cut = layout.spans(Job(model=Model(units=1), integration=timing, observe=["r_mean"]), most)
    assert [step for span in cut for step in range(span.first, span.stop)] == list(range(transient + observed))
    seen = range(1, observed)
    ends = {transient + step for step in seen if segment_stop(step - 1) == step} | {transient + observed}
    bounds = [bound for span in cut for bound in span.bounds]
    assert set(bounds) == ends | {transient}
    for span in cut:
        assert bool(span.bounds) == (span.first >= transient)
        if span.bounds:
            assert (span.bounds[0], span.bounds[-1]) == (span.first, span.stop)
            assert span.steps < most + LONGEST_SEGMENT
        else:
            assert span.steps <= most


# --------------------------------------------------------------------------------------- no result depends on the cuts


def simulated(of: Job, batch: int | None = None, **attributes: Any) -> dict[str, np.ndarray]:
    """Run all sets of a job on an emulated device with other attributes."""
    device = emulated.Device(free=attributes.pop("free", 1 << 31))
    for name, value in attributes.items():
        setattr(device, name, value)
    return KernelBackend("emulated", device).simulate(prepare(of), of.parameter_sets(of.blocks[0]), batch=batch)


SIZES = {3: THREAD_PER_SET, 18: LANES_PER_SET, 150: PRODUCT}


@lru_cache
def whole(units: int) -> dict[str, np.ndarray]:
    """Run a job with as few launches as there can be."""
    return simulated(job(units), speed=1e15)


@emulates
@pytest.mark.parametrize("units", SIZES)
def test_the_jobs_are_a_fair_trial(units: int) -> None:
    """Each job gets another design, has sets that diverge and sets that do not, and is cut if launches are short."""
    assert choose(Needs.of(job(units), compensated=False)).file == SIZES[units]
    assert 0 < (whole(units)["status"] == 2).sum() < 9
    assert len(layout.spans(job(units), 1)) > len(layout.spans(job(units), 10**9)) == 2


@emulates
@pytest.mark.parametrize("units", SIZES)
@pytest.mark.parametrize(
    "attributes",
    [
        {"speed": 1.0},
        {"speed": 4e6},
        {"speed": 1e15, "cache_bytes": 1},
        {"speed": 1e15, "free": 700 << 20},
        {"batch": 2},
    ],
    ids=lambda attributes: " ".join(f"{name}={value:g}" for name, value in attributes.items()),
)
def test_no_result_depends_on_how_the_steps_were_cut(units: int, attributes: dict[str, Any]) -> None:
    """A slower device, another cache or less memory cut the work differently, but no bit of a result changes."""
    results = simulated(job(units), **({"speed": 1e15} | attributes))
    for name, values in whole(units).items():
        assert results[name].tobytes() == values.tobytes(), name


# --------------------------------------------------------------------------------------------------------- statistics


@emulates
@pytest.mark.parametrize(
    ("start", "tolerance"),
    [({}, 1e-6), ({"r0": 100.0, "tau_r": 0.0}, 1e-6), ({"x0": 1000.0, "tau_s": 3.0}, 2e-6)],
    ids=["at rest", "r0 far", "x0 far"],
)
def test_a_long_job_loses_nothing_of_its_variance(start: dict[str, float], tolerance: float) -> None:
    """Over 100,000 steps around 0.9 with a standard deviation of 0.01, in float32, the moments are those of the trajectory."""
    drive = 0.9 + 0.01 * np.random.default_rng(0).normal(size=100_000)
    rest = {"tau_s": 0.0, "tau_r": 0.0, "r0": 0.9}
    long = Job(
        model=Model(units=1, activation="linear", parameters=rest | start),
        input=samples(drive, interval=1.0),
        integration=Integration(dt=1, duration=100_000),
        observe=["r_mean", "r_var", "x_mean", "x_var", record("r"), record("x")],
    )
    results = simulated(long, speed=1e9)
    for name in "xr":
        kept = results[name][0, :, 0].astype(np.float64)
        assert len(kept) == 100_000
        assert abs(kept[100:].std() - 0.01) < (0.01 if "tau_s" in start else 1e-4)
        np.testing.assert_allclose(results[f"{name}_mean"][0, 0], kept.mean(), rtol=2e-7)
        np.testing.assert_allclose(results[f"{name}_var"][0, 0], kept.var(), rtol=tolerance)


def test_correlations_of_later_passes_are_right() -> None:
    """A large network that is compared in two passes gets the same correlations as in one pass."""
    one = job(
        140,
        target=Target(samples(np.random.default_rng(2).normal(size=160), interval=1.0), lags=list(range(40))),
        design=grid(tau_s=[2.0, 5.0]),
        integration=Integration(dt=1, duration=40, transient=7),
        observe=["r_mean", "target_correlation", "target_mse"],
    )
    kernels = passes(Needs.of(one, compensated=False))
    assert [kernel.file for _, kernel in kernels] == [PRODUCT, PRODUCT]
    (block,) = one.blocks
    results = [
        engine.simulate(prepare(one), one.parameter_sets(block))
        for engine in (emulated.EmulatedBackend(), get_backend("numpy"))
    ]
    for name in one.observed:
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=2e-3, atol=1e-4, err_msg=name)
