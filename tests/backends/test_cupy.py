"""The CuPy back end without a GPU: all its own code, on a CuPy that is made of the emulated device (support/fakes)."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import FAKES

import sweep
from sweep import Integration, Job, Model, Target, gaussian, grid, record, samples, sine
from sweep.backends import cupy as subject
from sweep.backends import registry as backends
from sweep.backends.compiled import source
from sweep.backends.compiled.gpu import choose
from sweep.backends.numpy import NumpyBackend
from sweep.errors import BackendError, RunError
from sweep.execution.prepare import prepare, simulate_block
from sweep.results.journal import ranges

CUPY = importlib.util.find_spec("cupy")

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not sys.platform.startswith("linux"), reason="needs g++ and Linux"
)


def of_cupy(name: str) -> bool:
    """Say whether a module belongs to CuPy."""
    return name.split(".")[0] in {"cupy", "cupyx", "cupy_backends"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Put the fake in CuPy's place, and return the machine that it pretends to be on."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if of_cupy(name)}
    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    backends._look.cache_clear()
    backends._loaded.cache_clear()
    import cupy

    yield cupy._machine.machine
    backends._look.cache_clear()
    backends._loaded.cache_clear()
    for name in list(sys.modules):
        if of_cupy(name):
            del sys.modules[name]
    sys.modules.update(hidden)


def job(units: int = 3, **changes: Any) -> Job:
    """Return a noisy driven job with moments, comparisons and a record."""
    rng = np.random.default_rng(units)
    parts = {
        "model": Model(
            units=units,
            weights=gaussian(units=units, seed=1),
            activation="tanh",
            parameters={"noise": 0.1, "threshold": rng.normal(0, 0.2, units)},
        ),
        "input": sine(amplitude=1.0, frequency=40.0),
        "target": Target(samples(rng.normal(size=60), interval=1.0), lags=[-1, 0, 2]),
        "design": grid(tau_s=[2.0, 5.0, 20.0], gain=[0.5, 1.0]),
        "integration": Integration(dt=1, duration=45, transient=5),
        "observe": ["r_mean", "x_std", "r_min", "x_final", "target_correlation", "target_mse", record("r", every=3)],
    }
    return Job(**(parts | changes))


def simulate(of: Job, **options: Any) -> dict[str, np.ndarray]:
    """Run all sets of a job on a new CuPy back end."""
    return subject.CupyBackend().simulate(prepare(of), of.parameter_sets(of.blocks[0]), **options)


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Say whether two results are the same."""
    return {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in other.items()}


# ------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("units", [3, 18, 150])
def test_the_back_end_agrees_with_numpy(machine: Any, units: int) -> None:
    """With each of the three designs the results are those of NumPy, and all memory is freed."""
    this = job(units)
    expected = NumpyBackend().simulate(prepare(this), this.parameter_sets(this.blocks[0]))
    results = simulate(this)
    assert set(results) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(results[name], values, rtol=2e-5, atol=1e-5, err_msg=name)
    assert machine.launches > 2
    assert machine.used == 0


def test_two_threads_at_once(machine: Any) -> None:
    """Calls in two threads have their own streams, and give the same results as each call alone."""
    this, back_end = job(), subject.CupyBackend()
    parts = [this.parameter_sets(this.blocks[0]).take(np.arange(first, 6, 2)) for first in (0, 1)]
    expected = [back_end.simulate(prepare(this), part) for part in parts]
    found: dict[int, dict[str, np.ndarray]] = {}

    def run(which: int) -> None:
        found[which] = back_end.simulate(prepare(this), parts[which])

    threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_bits(found[which], expected[which]) for which in (0, 1))


def test_progress_adds_up_over_several_passes(machine: Any) -> None:
    """For any division of the comparisons, the steps of each set are reported once."""
    many = job(target=Target(samples(np.random.default_rng(0).normal(size=90), interval=1.0), lags=np.arange(40)))
    assert "passes" in subject.CupyBackend().describe(many)
    seen: list[int] = []
    simulate(many, progress=seen.append)
    assert sum(seen) == many.design.size * many.integration.steps
    assert min(seen) >= 0


def test_progress_may_cancel(machine: Any) -> None:
    """An exception in progress comes out unchanged between launches, and the back end works afterwards."""
    back_end, this = subject.CupyBackend(), job()
    parameters = this.parameter_sets(this.blocks[0])
    expected = back_end.simulate(prepare(this), parameters)
    before = machine.launches

    def cancel(steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_end.simulate(prepare(this), parameters, progress=cancel)
    assert machine.launches == before + 1
    assert same_bits(back_end.simulate(prepare(this), parameters), expected)


# -------------------------------------------------------------------------------------------------------------- memory


def many_sets() -> Job:
    """Return a job whose sets fill several thread blocks."""
    return job(design=grid(gain=np.linspace(0, 1, 300)), observe=["r_mean", "x_final"])


def test_what_is_broadcast_crosses_the_bus_once(machine: Any) -> None:
    """Of a broadcast array only the distinct part is sent, and the device has the whole array."""
    device = subject.CupyDevice()
    cases = [
        (np.broadcast_to(np.int64(-1), 7), (1,)),
        (np.broadcast_to(np.array([np.inf, -np.inf])[:, None, None], (2, 3, 5)), (2, 1, 1)),
        (np.arange(6.0).reshape(2, 3), (2, 3)),
        (np.arange(6.0).reshape(2, 3).T, (3, 2)),
        (np.zeros((0, 3)), (0, 1)),
    ]
    with device.session():
        for array, sent in cases:
            machine.uploads.clear()
            held = device.download(device.upload(array))
            assert machine.uploads == [sent]
            np.testing.assert_array_equal(held, array)
            assert (held.shape, held.dtype) == (array.shape, array.dtype)


def test_out_of_memory_halves_the_batch_and_keeps_the_bits(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a batch does not fit, half of it is tried, and the results are the same."""
    this = many_sets()
    machine.clock = 10**6
    expected = simulate_block(backends.get_backend("cupy"), this, this.blocks[0])
    needed, machine.peak = machine.peak, 0
    # The driver reports memory that others then take.
    monkeypatch.setattr(subject.CupyDevice, "free_bytes", lambda self: 1 << 33)
    machine.memory = needed - 1
    uploads = len(machine.uploads)
    results = simulate_block(backends.get_backend("cupy"), this, this.blocks[0])
    assert same_bits(results, expected)
    assert machine.peak < needed
    assert len(machine.uploads) > uploads
    assert machine.used == 0


def test_no_pinned_memory_is_out_of_memory_too(machine: Any) -> None:
    """If there is no pinned memory the error is a MemoryError, which the caller handles."""
    machine.pinned = 16
    with pytest.raises(MemoryError, match="cudaErrorMemoryAllocation: out of memory"):
        simulate(job())


def test_a_network_too_large_for_the_device_is_refused_in_words(machine: Any) -> None:
    """If not even a tile of sets fits, the message says how much memory there is, how much is needed, and what to do."""
    machine.memory = 1 << 27
    with pytest.raises(
        BackendError,
        match=r"has 128 MiB of free memory, but the smallest batch, 128 sets of 3 units, needs .* backend = 'numpy'",
    ):
        simulate(job())


@pytest.mark.parametrize("batch", [1, 2, 10**9])
def test_any_batch_gives_the_same_bits(machine: Any, batch: int) -> None:
    """A batch that is smaller than a tile, or too large for the device, changes no result."""
    this = job(observe=["r_mean", "x_final"])
    assert same_bits(simulate(this, batch=batch), simulate(this))


# -------------------------------------------------------------------------------------------------------------- errors

_FAULTS = [
    ("cudaErrorIllegalAddress", "a kernel touched memory that is not its own: please report it"),
    ("cudaErrorLaunchTimeout", "ran too long, as it does on a GPU that drives a screen"),
    ("cudaErrorECCUncorrectable", "the GPU's memory is faulty"),
]


@pytest.mark.parametrize(("error", "words"), _FAULTS)
def test_a_fault_in_a_run_says_what_to_do(machine: Any, error: str, words: str) -> None:
    """If a kernel fails, the BackendError has an explanation, CUDA's own message, and the way to go on."""
    machine.launch_fails = (1, error)
    with pytest.raises(BackendError) as caught:
        simulate(job())
    for part in (words, error, "Finished blocks are kept; run again to resume", "backend = 'numpy'"):
        assert part in str(caught.value)


def test_a_run_that_fails_midway_goes_on_with_numpy(machine: Any, tmp_path: Path) -> None:
    """Blocks finished before a fault are kept. Another back end computes the rest, and the result says which computed which."""
    this = job(sets_per_block=1, observe=["r_mean", "x_final"])
    store = tmp_path / "out.zarr"
    simulate(this)
    machine.launch_fails = (5 * machine.launches, "cudaErrorIllegalAddress")
    with pytest.raises(RunError, match="Finished blocks are kept; run again to resume, with backend = 'numpy'"):
        sweep.run(this, store=store, backend="cupy")
    partly = sweep.open(store)
    finished, kept = (partly[name].to_numpy() for name in ("status", "r_mean"))
    finished = finished == 1
    assert 0 < finished.sum() < 6
    whole = sweep.run(this, store=store, backend="numpy")
    assert (whole["status"] == 1).all()
    assert whole["r_mean"].to_numpy()[finished].tobytes() == kept[finished].tobytes()
    assert whole.attrs["backend"] == "cupy; numpy"
    by = {each["backend"]: each["blocks"] for each in json.loads(whole.attrs["backends"])}
    assert by == {"cupy": ranges(np.flatnonzero(finished.ravel())), "numpy": ranges(np.flatnonzero(~finished.ravel()))}


@pytest.fixture
def other_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Replace the kernels by a copy, and return its folder. Kernels that were chosen before remember their text."""
    folder = tmp_path / "kernels"
    shutil.copytree(source.folder(), folder)
    monkeypatch.setattr(source, "folder", lambda: folder)
    choose.cache_clear()
    yield folder
    choose.cache_clear()


def test_a_kernel_that_does_not_compile_names_file_and_line(machine: Any, other_kernels: Path) -> None:
    """The compiler's message comes through, with the name and the line of the header."""
    header = other_kernels / "rate_model.cuh"
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("struct Unit {", "int planted = mistake;\nstruct Unit {"), encoding="utf-8")
    line = text[: text.index("struct Unit {")].count("\n") + 1
    with pytest.raises(BackendError) as caught:
        subject.CupyBackend().compile(job())
    assert "does not compile on this machine" in str(caught.value)
    assert f"rate_model.cuh({line}): error" in str(caught.value)


def test_a_kernel_that_cannot_be_kept_says_where_to(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If CuPy can compile but not write the compiled kernel, the message names the folders to set."""
    import cupy

    def get_function(self: object, name: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cupy.RawModule, "get_function", get_function)
    with pytest.raises(
        BackendError, match=r"cannot keep a compiled kernel \(.*denied\): set CUPY_CACHE_DIR, and TMPDIR"
    ):
        subject.CupyBackend().compile(job())


# ------------------------------------------------------------------------------------------------- whether it works


def test_it_works_where_all_is_well(machine: Any) -> None:
    """With a driver and a device the back end works, and the device and the versions have names."""
    assert subject.why_not() == ""
    assert subject.device_name() == "Emulated GPU, 8 GiB, driver for CUDA 13.0"
    assert subject.version() == "CuPy 14.2.0, NVRTC 13.0"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"error": "cudaErrorInsufficientDriver"}, "the NVIDIA driver is missing or too old for this CuPy: update it"),
        ({"error": "cudaErrorNoDevice"}, "the driver shows no GPU (CUDA_VISIBLE_DEVICES = not set)"),
        ({"devices": 0}, "there is no CUDA device"),
        ({"capability": "61"}, "the GPU has compute capability 6.1, and the kernels need at least 7.5"),
        ({"fails": "cudaErrorDevicesUnavailable"}, "fails at 1 + 1: the GPU is busy or in exclusive use"),
        ({"fails": "cudaErrorECCUncorrectable"}, "fails at 1 + 1: the GPU's memory is faulty"),
        ({"memory": 4}, "fails at 1 + 1: Out of memory allocating 12 bytes"),
    ],
    ids=lambda state: str(state)[:40],
)
def test_it_says_why_it_does_not_work(machine: Any, state: dict[str, Any], words: str) -> None:
    """The reason says in words what is missing, and choosing the back end by name is refused with the same words."""
    for name, value in state.items():
        setattr(machine, name, value)
    assert words in subject.why_not()
    with pytest.raises(BackendError) as caught:
        backends.choose("cupy")
    assert words in str(caught.value)


def test_no_device_is_visible(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If CUDA_VISIBLE_DEVICES hides all devices, the reason quotes it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine.error = "cudaErrorNoDevice"
    assert "(CUDA_VISIBLE_DEVICES = )" in subject.why_not()


def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CuPy the reason says how to install it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert subject.why_not().startswith(
        "CuPy is not installed; install it from a clone of tausweep with pip install '.[cuda13]'"
    )


@pytest.mark.parametrize("error", [ImportError("libcudart.so.13 is missing"), OSError("[Errno 30] /nowhere")], ids=repr)
def test_it_is_installed_and_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    """A broken installation is reported differently from a missing one, with the message of the import."""
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(f"raise {error!r}\n", encoding="utf-8")
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if of_cupy(name)}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    reason = subject.why_not()
    sys.modules.update(hidden)
    assert f"CuPy is installed but cannot be imported ({type(error).__name__}: {error})" in reason


def test_a_cache_that_cannot_be_written_is_the_users(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the user has chosen is not silently replaced."""
    monkeypatch.setenv("CUPY_CACHE_DIR", "/proc/nowhere")
    assert "CUPY_CACHE_DIR = '/proc/nowhere' cannot be written" in subject.why_not()
    assert os.environ["CUPY_CACHE_DIR"] == "/proc/nowhere"


def test_a_home_that_cannot_be_written_is_no_reason(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If compiled kernels cannot be kept in the home folder, they go to a temporary folder."""
    monkeypatch.delenv("CUPY_CACHE_DIR")
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert subject.why_not() == ""
    assert os.environ["CUPY_CACHE_DIR"].startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("visible", "names"), [(None, ("0", "1")), ("GPU-1a2b, 7", ("GPU-1a2b", "7")), ("3,1,2", ("3", "1"))]
)
def test_devices_have_the_names_that_workers_are_given(
    machine: Any, monkeypatch: pytest.MonkeyPatch, visible: str | None, names: tuple[str, ...]
) -> None:
    """Two devices have their names from CUDA_VISIBLE_DEVICES, or numbers."""
    machine.devices = 2
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert subject.CupyBackend().devices() == names


@pytest.mark.skipif(CUPY is None, reason="needs CuPy")
def test_the_real_one_without_a_driver_says_so(tmp_path: Path) -> None:
    """Without a driver nothing is raised and there is no warning; the reason says what to update."""
    code = "from sweep.backends.cupy import why_not; print(why_not())"
    env = {**os.environ, "CUPY_CACHE_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "driver" in done.stdout
