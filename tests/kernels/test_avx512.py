"""The native back end's code for AVX-512, on an emulated processor: its results have the same bits as other vectors."""

from __future__ import annotations

import ctypes
import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import lanes, processor
from support.cut import JOBS, OBSERVED, SHORT, Cut, decay, different, simulate
from support.jobs import network
from support.marks import quick

from sweep import Integration, Job, Model, Target, gaussian, grid, record, samples, sine, zipped
from sweep.backends import native
from sweep.backends.compiled.backend import KernelBackend
from sweep.signals.waveforms import white_noise

pytestmark = pytest.mark.skipif(bool(processor.why_not()), reason=processor.why_not())

DOUBLE = dataclasses.replace(SHORT, precision="float64")
WAVE = sine(amplitude=1.0, frequency=40.0)


def several(units: int, networks: int, **changes: Any) -> Model:
    """Return the model of test_conformance with this number of networks."""
    return network(units, weights=gaussian(units=units, seed=3, networks=networks, std=0.6), **changes)


#: Each activation in both precisions, all that kernels can do, networks of one unit to more than may have weights of their
#: own, and numbers of sets that fill no tile, no product and no vector.
CHOSEN: dict[str, Job] = {
    **{
        name: JOBS[name]
        for name in (
            "a last segment of three steps",
            "many comparisons",
            "own weights, stimuli",
            "shared networks, entries",
            "divergence",
        )
    },
    "1 linear": decay(160, taus=np.linspace(2, 9, 530)),
    "1 sigmoid": Job(
        model=network(1, activation="sigmoid"),
        design=grid(noise=np.linspace(0, 1, 77)),
        integration=SHORT,
        observe=[*OBSERVED, record("x", every=2)],
    ),
    "2 relu float64": Job(
        model=network(2, activation="relu"),
        design=grid(tau_s=np.linspace(1, 9, 35), noise=[0.0, 0.3]),
        integration=DOUBLE,
        observe=[*OBSERVED, record("x", every=4, units=[1]), record("r", every=4, units=[1])],
    ),
    "3 tanh": Job(
        model=network(3, activation="tanh"),
        design=grid(bias=np.linspace(-200, 200, 21), **{"W[0,2]": np.linspace(-1, 1, 7)}),
        input=WAVE,
        integration=SHORT,
        observe=OBSERVED,
    ),
    "8 linear float64": Job(
        model=network(8, activation="linear"),
        design=grid(gain=[0.5, 0.0, -0.5], noise=np.linspace(0, 1, 15)),
        integration=DOUBLE,
        observe=["x_mean", "r_var", record("r", every=7)],
    ),
    "8 softplus float64": Job(
        model=network(8, activation="softplus", input_weights=np.random.default_rng(0).normal(size=(8, 2))),
        input=[
            sine(amplitude=[1.0, 0.5], frequency=[20.0, 50.0]),
            white_noise(std=0.8, seed=4, channels=2, interval=0.5),
        ],
        target=Target(samples(np.random.default_rng(7).normal(size=(8, 80)), interval=0.5), lags=[-1.5, 0, 0.5]),
        design=grid(bias=np.linspace(-900, 900, 23), stimulus=[1, 0]),
        integration=DOUBLE,
        observe=["target_correlation", "target_mse", "r_max"],
    ),
    "17 relu": Job(
        model=several(17, 40, activation="relu"),
        design=zipped("set", network=np.arange(40) * 7 % 40, tau_s=np.geomspace(800, 30_000, 40)),
        integration=dataclasses.replace(SHORT, scheme="simultaneous"),
        observe=[*OBSERVED, record("r", every=5)],
    ),
    "32 sigmoid float64": Job(
        model=network(32, activation="sigmoid"),
        design=grid(tau_s=np.linspace(1, 9, 41)),
        integration=DOUBLE,
        observe=["x_mean", "r_std", "x_min", "r_max"],
    ),
    "70 tanh float64": Job(
        model=several(70, 3, activation="tanh", parameters={"noise": 0.1}),
        design=grid(network=[2, 0, 1], bias=np.linspace(-30, 30, 7), **{"W[66,2]": [0.3, -0.3]}),
        integration=dataclasses.replace(DOUBLE, duration=10.0),
        observe=["x_final", "r_mean"],
    ),
    "70 softplus": Job(
        model=network(70, activation="softplus", weights=gaussian(units=70, seed=1, std=0.1)),
        design=grid(bias=np.linspace(-100, 100, 83)),
        input=WAVE,
        integration=dataclasses.replace(SHORT, duration=10.0),
        observe=["r_std", "r_final"],
    ),
}


@pytest.mark.parametrize("name", quick(["a last segment of three steps"], CHOSEN))
def test_vectors_of_64_bytes_make_the_same_bits(name: str) -> None:
    """For every kind of job, every variable is the same as with vectors of half the width."""
    job = CHOSEN[name]
    here, emulated = Cut(min(native.vector_bytes(), 32)), processor.EmulatedDevice()
    with ThreadPoolExecutor(1) as pool:  # the code for both is compiled at the same time
        compiled = pool.submit(KernelBackend("native", emulated).compile, job)
        expected = simulate(here, job)
        compiled.result()
    assert different(simulate(emulated, job), expected) == []


def is_multiply_add(code: bytes) -> bool:
    """Recognise an operation by its map and its number, in VEX and in EVEX."""
    encodings = {0xC4: (code[1] & 31, code[3]), 0x62: (code[1] & 7, code[4])}
    which, number = encodings.get(code[0], (0, 0))
    return which == 2 and number >> 4 in (9, 10, 11) and number & 15 >= 6


@pytest.mark.slow
def test_multiply_adds_are_of_whole_registers() -> None:
    """All its multiply-adds have 64 bytes, and there are as many as the product has. Without AVX-512 the code cannot run."""
    job = Job(
        model=network(3, activation="relu"),
        design=grid(gain=np.linspace(0, 1, 64)),
        integration=Integration(dt=1.0, duration=8.0),
        observe=["x_final"],
    )
    executed: Counter[int] = Counter()

    def see(address: int) -> None:
        code = ctypes.string_at(address, 5)
        if is_multiply_add(code):
            executed[16 << (code[3] >> 5 & 3) if code[0] == 0x62 else 32] += 1

    simulate(processor.EmulatedDevice(watch=see), job)
    assert set(executed) == {64}
    assert executed[64] >= 8 * 3 * 3 * (64 // 16)
    with pytest.raises(processor.Fault) as fault:
        simulate(processor.EmulatedDevice(registers=processor.AVX), job)
    assert fault.value.args[0] == processor.Fault.UNDEFINED


@pytest.mark.slow
def test_a_scratch_that_does_not_fit_is_an_error() -> None:
    """A kernel that gets no memory reports this, and writes nothing."""
    emulated = processor.EmulatedDevice()
    emulated._room = emulated._room[:0]
    with pytest.raises(MemoryError, match="the scratch of a tile does not fit in memory"):
        simulate(emulated, CHOSEN["1 linear"])
    emulated._room = processor.EmulatedDevice()._room
    assert different(simulate(emulated, CHOSEN["1 linear"]), simulate(Cut(16), CHOSEN["1 linear"])) == []


@pytest.mark.slow
@pytest.mark.parametrize(("scalar", "width"), [("float", 16), ("double", 8)])
def test_a_function_of_a_lane_makes_the_same_bits(scalar: str, width: int, tmp_path: Path) -> None:
    """For numbers of every binade, subnormals, infinities and NaN: the results are those of vectors of half the width."""
    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    wide.mkdir()
    narrow.mkdir()
    emulated = lanes.Library(wide, lanes.HEADER, {scalar: (width,)}, ["-O3", processor.MARCH])._library
    here = lanes.Library(narrow, lanes.HEADER, {scalar: (width // 2,)}, ["-O3", "-march=native"])
    rng, numbers = np.random.default_rng(1), lanes.sample(scalar)
    a, b, c = (rng.permutation(np.concatenate([numbers[: 2**15], numbers[-(2**15) :]])) for _ in range(3))
    got = np.empty_like(a)
    for name in lanes.CALLS:
        function = getattr(emulated, f"{name}_{scalar}_{width}")
        places = [array.ctypes.data for array in (a, b, c, got)]
        processor.processor().call(function, *places, a.size)
        lanes.assert_same_bits(got, here(name, a, b, c, width=width // 2))
