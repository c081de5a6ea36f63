"""The native back end: its bits do not depend on how a kernel is cut; its compiler and its cache need no care."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT
from support.cut import JOBS, SHORT, Cut, decay, different, simulate
from support.emulated import EmulatedBackend
from support.jobs import TRAPS, finish, network, python
from support.marks import quick

from sweep import Integration, Job, Model, cli, grid, philox, record
from sweep.backends import native
from sweep.backends import registry as backends
from sweep.backends.compiled import cpu
from sweep.backends.compiled.kernel import Needs
from sweep.backends.registry import choose, get_backend
from sweep.errors import BackendError
from sweep.execution.prepare import prepare

pytestmark = [TRAPS, pytest.mark.skipif(bool(native.why_not()), reason=native.why_not())]
Table = Callable[..., None]

# --------------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("name", quick(["noise, records"], JOBS))
def test_bits_do_not_depend_on_the_cut(name: str) -> None:
    """Bits do not depend on the width of vectors, the sets of a tile, the shape of a product, or the steps of a turn."""
    expected = simulate(native.NativeDevice(), JOBS[name])
    assert (set(expected["status"]) == {1, 2}) == (name == "divergence")
    others = [Cut(width) for width in {16, 32} - {native.vector_bytes()}]
    if name in ("noise, records", "shared networks, entries"):
        others += [Cut(rows=1, vectors=1, tile_sets=16, unroll=4), Cut(rows=3, vectors=2, tile_sets=64)]
    for other in others:
        assert different(simulate(other, JOBS[name]), expected) == []


@pytest.mark.skipif(shutil.which("g++") is None or sys.platform != "linux", reason="the emulator needs g++ and Linux")
@pytest.mark.parametrize("name", quick(["noise, records", "divergence"], JOBS))
def test_the_kernels_for_gpus_agree(name: str) -> None:
    """The GPU's kernels give the same bits here, except where lanes share the sum over a row, which has another order."""
    (block,) = JOBS[name].blocks
    expected = EmulatedBackend().simulate(prepare(JOBS[name]), JOBS[name].parameter_sets(block))
    results = simulate(native.NativeDevice(), JOBS[name])
    if name == "shared networks, entries":
        np.testing.assert_allclose(results["x_final"], expected["x_final"], rtol=1e-5, atol=1e-6)
    else:
        assert different(results, expected) == []


@pytest.mark.parametrize("units", [1, 3])
def test_the_noise_is_that_of_philox(units: int) -> None:
    """If x is only the noise of its step, it has the bits of NumPy's normals."""
    noisy = Job(
        model=Model(units=units, parameters={"tau_s": 0.0, "noise": 0.5**0.5}),
        design=grid(replicate=range(5)),
        integration=Integration(dt=1.0, duration=37.0),
        observe=[record("x")],
        seed=2**40 + 3,
    )
    (block,) = noisy.blocks
    normals = philox.normals(noisy.seed, noisy.parameter_sets(block).stream, units, 0, 37)
    x = simulate(native.NativeDevice(), noisy)["x"]
    np.testing.assert_array_equal(x.view(np.uint32), normals.transpose(2, 0, 1).view(np.uint32))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the mode is that of x86")
@pytest.mark.parametrize(("precision", "least", "steps"), [("float32", -126, 200), ("float64", -1074, 1100)])
def test_what_is_too_small_becomes_zero(precision: str, least: int, steps: int) -> None:
    """A float32 state is never subnormal. A float64 state may be, and so may the caller's own numbers, also between launches."""

    def small() -> bool:
        return bool(np.float32(1e-38) * np.float32(0.1) > 0)

    modes = [small()]
    halved = decay(steps, precision, taus=[2.0])
    x = simulate(native.NativeDevice(), halved, progress=lambda _: modes.append(small()))["x"].ravel()
    exponents = -1 - np.arange(steps)
    np.testing.assert_array_equal(x, np.where(exponents >= least, np.ldexp(1.0, exponents), 0.0))
    assert all([*modes, small()])
    assert len(modes) > 1


# ----------------------------------------------------------------------------------------------------------- launches


def test_a_long_job_is_cut_into_launches() -> None:
    """Progress is reported after each launch and adds up to the whole; the length of a launch changes no bit."""
    long, short = native.NativeDevice(), Cut()
    short.launch_seconds = 0.0001
    steps, taus = 200_000, (2.0, 3.0, 1e3)
    ((_, kernel),) = long.passes(Needs.of(decay(steps, taus=taus), compensated=False))
    updates = steps * kernel.tile_sets
    reports: dict[native.NativeDevice, list[int]] = {long: [], short: []}
    results = [simulate(device, decay(steps, taus=taus), report.append) for device, report in reports.items()]
    assert different(*results) == []
    for device, report in reports.items():
        assert sum(report) == steps * len(taus)
        asked = updates * kernel.instructions / device.speed / device.launch_seconds
        # Launches end at the ends of segments of 1024 steps, and have at most 2**17 steps.
        assert asked / 2 < len(report) <= max(asked, steps / 2**17) + 1
    assert len(reports[short]) > 40 > len(reports[long])


def test_ctrl_c_stops_between_launches() -> None:
    """An interrupt ends a call after the current launch, and the next call gives complete results."""
    device, calls = Cut(), []
    device.launch_seconds = 0.0002

    def interrupt(done: int) -> None:
        calls.append(done)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        simulate(device, decay(50_000), interrupt)
    assert len(calls) == 3
    assert different(simulate(device, decay(50_000)), simulate(native.NativeDevice(), decay(50_000))) == []


def test_other_threads_go_on_during_a_launch() -> None:
    """A launch does not hold the interpreter's lock."""
    turns, gained, stop = [0], [], threading.Event()

    class Watched(native.NativeDevice):
        def launch(self, *arguments: Any) -> None:
            before = turns[0]
            super().launch(*arguments)
            gained.append(turns[0] - before)

    def turn() -> None:
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0.001)

    interval = sys.getswitchinterval()
    other = threading.Thread(target=turn)
    # The other thread does not ask for the lock; if it continues, the lock was released.
    sys.setswitchinterval(60)
    try:
        other.start()
        simulate(Watched(), decay(1_000_000))
    finally:
        stop.set()
        other.join()
        sys.setswitchinterval(interval)
    assert sum(gained) > 10


def test_threads_do_not_disturb_each_other() -> None:
    """Simultaneous calls on a device that has compiled nothing yet give the same results as calls one after the other."""
    jobs = [JOBS["noise, records"], *(decay(40_000, taus=(tau, 50.0)) for tau in range(2, 6))]
    expected = [simulate(native.NativeDevice(), one) for one in jobs]
    device = native.NativeDevice()
    with ThreadPoolExecutor(len(jobs)) as pool:
        results = list(pool.map(lambda one: simulate(device, one), jobs))
    for one, other in zip(results, expected, strict=True):
        assert different(one, other) == []


# -------------------------------------------------------------------------------------------------------------- cache

CHILD = """
from concurrent.futures import ThreadPoolExecutor
from sweep.backends import native
from sweep.execution.prepare import prepare
job = sweep.Job(model=sweep.Model(units=1, parameters={"x0": 1.0}), design=sweep.grid(tau_s=[2.0, 3.0]),
                observe=["x_final"], integration=sweep.Integration(dt=1.0, duration=9.0))
def simulate(_):
    return native.NativeBackend().simulate(prepare(job), job.parameter_sets(job.blocks[0]))["x_final"].ravel().tolist()
with ThreadPoolExecutor(2) as pool:
    one, other = pool.map(simulate, range(2))
assert one == other
print(native.why_not() or one, native.folder())"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let this process and its children begin with an empty cache; return a function that lets it look for a compiler again."""
    known = (native.compiler, native.target, native.folder, backends._look, backends._loaded)

    def forget() -> None:
        for function in known:
            function.cache_clear()

    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield forget
    forget()


@pytest.fixture
def counted(fresh: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often the compiler makes a library."""
    command, log, wrapper = native.compiler(), tmp_path / "log", tmp_path / "wrapper"
    assert command is not None
    log.touch()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {" ".join(command)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    fresh()
    return lambda: log.read_text().count("-shared")


def children(count: int = 1) -> set[str]:
    """Run CHILD in some processes at once; return the set of their answers."""
    answers = [finish(process) for process in [python(CHILD) for _ in range(count)]]
    assert [code for code, _ in answers] == [0] * count, answers
    return {text for _, text in answers}


def test_processes_share_what_one_has_compiled(counted: Callable[[], int], tmp_path: Path) -> None:
    """Four at once on an empty cache all succeed and leave only kernels; one that comes later compiles nothing."""
    said = children(4)
    made = counted()
    assert made >= 1
    assert {path.suffix for path in (tmp_path / "cache" / "tausweep").iterdir()} == {".so"}
    assert children() == said
    assert counted() == made


def test_a_kernel_that_is_not_whole_is_compiled_again(counted: Callable[[], int], tmp_path: Path) -> None:
    """A kernel that a full disk has cut off is replaced and never loaded, because loading it would kill the process."""
    said = children()
    made = counted()
    for turn, size in enumerate((0, 0.5)):
        for path in (tmp_path / "cache" / "tausweep").iterdir():
            data = path.read_bytes()
            path.write_bytes(data[: int(size * len(data))])
        assert children() == said
        assert counted() == (turn + 2) * made
    assert children() == said
    assert counted() == 3 * made


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep caches elsewhere")
def test_kernels_are_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that XDG_CACHE_HOME names, or without it in ~/.cache; made when it is first needed."""
    find = native.folder.__wrapped__
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find() == tmp_path / "cache" / "tausweep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert find() == tmp_path / "home" / ".cache" / "tausweep"
    assert (tmp_path / "home" / ".cache" / "tausweep").is_dir()


@pytest.mark.parametrize("cache", ["/dev/null/cache", "relative"])
def test_a_cache_that_cannot_be_written_is_done_without(
    cache: str, fresh: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder is made in the current folder. Kernels go to a temporary folder, which is removed with the process."""
    said = children()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    # A relative XDG_CACHE_HOME does not count by its rules, and this home folder cannot be written either.
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("TMPDIR", str(temporary))
    ((expected, *_), (result, folder)) = (text.rsplit(maxsplit=1) for (text,) in (said, children()))
    assert result == expected
    assert Path(folder).parent == temporary
    assert not list(temporary.iterdir())
    assert not (ROOT / "tests" / "relative").exists()


def test_a_kernel_is_of_its_source_compiler_options_and_cpu(
    counted: Callable[[], int], fresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If any of them changes there is another file; if none changes there is none."""
    source = 'extern "C" int ask() { return 1; }'

    def made(text: str = source) -> int:
        native._library(text)
        return len(list(native.folder().glob("*.so")))

    assert (made(), made(), made(f"{source} ")) == (1, 1, 2)
    monkeypatch.setattr(native, "_OPTIONS", (*native._OPTIONS, "-DSPARE"))
    assert (made(), made()) == (3, 3)
    monkeypatch.setenv("CXX", f"{os.environ['CXX']} -DANOTHER")
    fresh()
    assert (made(), made()) == (4, 4)
    macros = native.target()
    monkeypatch.setattr(native, "target", lambda: f"{macros}\n#define __AVX9__ 1")
    assert (made(), made()) == (5, 5)
    assert counted() == 5


# ----------------------------------------------------------------------------------------------------------- compilers


@pytest.fixture
def without_compiler(fresh: Callable[[], None], before_numpy: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every compiler, and every back end except these two."""
    monkeypatch.setenv("CXX", " ")  # the same as not set
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "ziglang", None)
    before_numpy(native=(native.ENTRY.probe, native.ENTRY.load))
    fresh()


def command_line(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run the command ``sweep``, which ends well."""
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
    with pytest.raises(SystemExit, match="0"):
        cli.main()


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Auto takes NumPy's back end without a message. The doctor says what to install, and so does the error."""
    advice = "there is no C++ compiler; install g++ or clang++, "
    advice += "or pip install '.[native]' in a clone of tausweep, or name one in CXX"
    assert (choose().name, choose().note) == ("numpy", "")
    with pytest.raises(BackendError, match=re.escape(f"'native' cannot work here: {advice}. Use backend = 'auto'.")):
        get_backend("native")
    command_line(monkeypatch, "doctor")
    assert f"back end native  does not work: {advice}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("without_compiler")
@pytest.mark.parametrize("named", ["nonsense", "nonsense -v", 'g++ "'])
def test_a_compiler_that_is_not_there(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the value of CXX, and no other compiler is used instead."""
    monkeypatch.setenv("CXX", named)
    said = re.escape(f"'native' cannot work here: CXX = {named!r} is not there; unset it or correct it.")
    with pytest.raises(BackendError, match=said):
        get_backend("native")
    assert choose().name == "numpy"
    assert choose().note.startswith(f"native does not work here: CXX = {named!r} is not there")


@pytest.mark.usefixtures("without_compiler")
def test_a_compiler_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The compiler's message is in the error, and with auto in a single line."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no licence' >&2\necho 'call the office' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    why = f"the compiler {broken} -march=native -dM ... fails: no licence call the office Name another one in CXX"
    with pytest.raises(BackendError, match=re.escape(f"backend = 'native' cannot work here: {why}")):
        get_backend("native")
    described = tmp_path / "job.toml"
    described.write_text('observe = ["r_mean"]\n[model]\nunits = 1\n[integration]\ndt = 1.0\nduration = 9.0\n')
    command_line(monkeypatch, "plan", str(described))
    said = capsys.readouterr().err
    assert said.startswith(f"note: native does not work here: {why}")
    assert said.endswith("; using numpy\n")
    assert said.count("\n") == 1


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("g++"), reason="it is about g++ for x86")
@pytest.mark.parametrize("units", [1, 2, 32])
@pytest.mark.parametrize(("processor", "width", "register"), [("haswell", 32, "ymm"), ("skylake-avx512", 64, "zmm")])
def test_a_time_loop_is_made_of_whole_vectors(processor: str, width: int, register: str, units: int) -> None:
    """For other processors too, no multiply-add is split, and the product has all of them."""
    job = Job(
        model=network(units, activation="tanh"),
        design=grid(tau_s=[1.0, 2.0], tau_r=[1.0], gain=[1.0]),
        integration=SHORT,
        observe=["r_mean", "r_var"],
    )
    kernel = cpu.choose(Needs.of(job, compensated=False), width)
    options = [f"-march={processor}" if option == "-march=native" else option for option in native._OPTIONS]
    done = subprocess.run(
        ["g++", *options, "-S", "-o", "-", "-"],
        input=kernel.specialisation.source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"vfm\w+s[sd]\s.*", done.stdout) == []
    assert len(re.findall(rf"vfmadd\w+ps\s.*%{register}", done.stdout)) > kernel.rows * kernel.vectors


@pytest.mark.parametrize("name", ["clang++", "ziglang"])
def test_every_compiler_makes_the_same_bits(
    name: str, fresh: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other compiler on this machine gives the same results as the first one."""
    if not (importlib.util.find_spec(name) if name == "ziglang" else shutil.which(name)):
        pytest.skip(f"there is no {name}")
    expected = {
        name: simulate(native.NativeDevice(), JOBS[name]) for name in ("noise, records", "own weights, stimuli")
    }
    if name == "ziglang":
        monkeypatch.setenv("PATH", "")  # it is used if there is no other compiler
    else:
        monkeypatch.setenv("CXX", name)
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    fresh()
    command = native.compiler()
    assert command is not None
    assert name in (*command, Path(command[0]).name)
    for which, results in expected.items():
        assert different(simulate(native.NativeDevice(), JOBS[which]), results) == []
