"""The command line: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from support import ROOT
from support.jobs import assert_same, finish
from support.stores import tree

import sweep
from sweep import cli
from sweep.results.store import Store

SWEEPS = ROOT / "sweeps"
COMMANDS = ["plan", "run", "status", "plot", "schema", "doctor", "bench"]

JOB = """
title = "A small job"
observe = ["r_mean", "r_std", { record = "x", every = 10 }]
sets_per_block = 4
[model]
units = 2
activation = "tanh"
[model.weights]
kind = "gaussian"
std = 1.5
seed = 1
[model.parameters]
noise = 0.1
[integration]
dt = 1.0
duration = 40.0
[design.grid]
tau_s = [2.0, 4.0, 8.0]
gain = [0.5, 1.0, 1.5, 2.0]
[report]
variable = "r_std"
x = "tau_s"
y = "gain"
"""


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote to both streams."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


pytestmark = pytest.mark.usefixtures("only_numpy")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has only a job file, whose name is job.toml."""
    monkeypatch.chdir(tmp_path)
    Path("job.toml").write_text(JOB, encoding="utf-8")
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs ``sweep`` with arguments in this process."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main replaces
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return Done(code, *capsys.readouterr())

    return call


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the installed command."""
    path = Path(sys.executable).with_name("sweep")
    return subprocess.Popen([path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def slow_job(sets: int) -> None:
    """Change the job to this number of blocks, of about a quarter of a second each."""
    text = JOB.replace("duration = 40.0", "duration = 4_000.0").replace("sets_per_block = 4", "sets_per_block = 1")
    text = re.sub(r"gain = \[.*\]", f"gain = {{ linspace = [0.0, 2.0, {sets}] }}", text)
    Path("job.toml").write_text(text.replace("tau_s = [2.0, 4.0, 8.0]", "tau_s = [2.0]"), encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the job once for all."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "job.toml").write_text(JOB, encoding="utf-8")
    sweep.run(sweep.load(folder / "job.toml"), folder / "job.zarr", backend="numpy")
    return folder / "job.zarr"


@pytest.fixture
def store(finished: Path, folder: Path) -> Path:
    """Return a copy of the finished store, job.zarr."""
    return shutil.copytree(finished, folder / "job.zarr")


# ----------------------------------------------------------------------------------------------------- the real command


def test_the_command_runs_a_job_and_leaves_a_finished_one_alone(folder: Path) -> None:
    """The installed command ends with 0, says what is best, and a second run changes nothing in the store."""
    code, said = finish(start("run", "job.toml"))
    assert code == 0, said
    assert "job.zarr: 12 sets, 12 ok" in said
    assert "Best set: r_std = " in said
    assert "100%" in said
    assert "picture: job.zarr.png" in said
    assert (folder / "job.zarr.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in (folder / "job.zarr").rglob("*")}
    code, again = finish(start("run", "job.toml"))
    assert code == 0
    assert said.startswith(again)
    assert {path: path.stat().st_mtime_ns for path in (folder / "job.zarr").rglob("*")} == before


def test_an_interrupt_ends_with_1_and_can_be_gone_on_with(folder: Path) -> None:
    """Ctrl-C says how to go on, leaves a store that status calls unfinished, and the next run finishes it."""
    slow_job(sets=10)
    process = start("run", "job.toml", "--quiet", "--backend", "numpy")
    store = folder / "job.zarr"
    end = time.monotonic() + 30
    while len(list(store.glob("status/c/*/*"))) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 1, said
    assert said == "interrupted: run again to go on with job.zarr.\n"
    pending = len(Store(store).pending())
    assert 0 < pending < 10
    code, said = finish(start("status", "job.zarr"))
    assert code == 1
    assert f"{pending} not run" in said
    code, said = finish(start("run", "job.toml", "--quiet"))
    assert code == 0, said
    assert "10 sets, 10 ok" in said


def test_a_bad_job_ends_with_2_and_one_message(folder: Path) -> None:
    """The installed command shows no traceback, and writes nothing."""
    Path("job.toml").write_text(JOB.replace("tau_s", "tau_R", 1), encoding="utf-8")
    before = tree(folder)
    code, said = finish(start("run", "job.toml"))
    assert code == 2
    assert said == "error: job.toml: design.grid.tau_R: parameter 'tau_R' does not exist. Did you mean 'tau_r'?\n"
    assert tree(folder) == before


def test_a_warning_is_a_line_said_once() -> None:
    """A job is checked several times, but a warning is shown once, and without source code."""
    Path("job.toml").write_text(JOB.replace("tau_s = [2.0,", "tau_s = [0.8,"), encoding="utf-8")
    code, said = finish(start("plan", "job.toml"))
    assert code == 0
    assert said.count("warning: tau_s = 0.8 ms") == 1
    assert ".py" not in said


# ------------------------------------------------------------------------------------------------------ plan and run


def test_a_plan_says_what_it_takes_and_writes_nothing(folder: Path, command: Command) -> None:
    """Sets and their shape, blocks, disk, memory, back end and time, a line each."""
    before = tree(folder)
    done = command("plan", "job.toml", "--backend", "numpy", "--workers", 2, "--batch", 2)
    assert (done.code, done.err) == (0, "")
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in done.out.splitlines())
    assert list(lines) == ["sets", "blocks", "work", "disk", "memory", "back end", "method", "time"]
    assert lines["sets"] == "12 (3 tau_s x 4 gain)"
    assert lines["blocks"] == "3 of at most 4 sets"
    assert lines["work"] == "960 unit-updates"
    assert lines["back end"].startswith("numpy, ")
    assert lines["method"] == "tiles of at most 64 sets, float32, W r elementwise"
    assert tree(folder) == before


def test_the_options_of_run_change_where_and_how_but_not_what(folder: Path, command: Command, finished: Path) -> None:
    """Store, back end, processes and batch leave every bit of the result as it is."""
    done = command(
        "run", "job.toml", "--store", "deep/er.zarr", "--backend", "numpy", "--workers", 1, "--batch", 2, "--quiet"
    )
    assert (done.code, done.err) == (0, "")
    assert "deep/er.zarr: 12 sets, 12 ok" in done.out
    assert (folder / "deep" / "er.zarr.png").exists()
    assert_same(sweep.open(finished).compute(), sweep.open("deep/er.zarr").compute())


def test_quiet_means_no_bar(command: Command) -> None:
    """The bar goes to the error stream, so that the output can be piped; --quiet leaves it out."""
    loud = command("run", "job.toml")
    assert "100%" in loud.err
    assert "%" not in loud.out
    quiet = command("run", "job.toml", "--store", "other.zarr", "--quiet")
    assert quiet.err == ""


def test_overwrite_starts_again(command: Command, store: Path) -> None:
    """A store of another job is refused with what differs, and replaced only on demand."""
    Path("job.toml").write_text(JOB.replace("noise = 0.1", "noise = 0.2"), encoding="utf-8")
    stored = tree(store)
    done = command("run", "job.toml", "--quiet")
    assert done.code == 2
    assert "model.parameters.noise: 0.1 -> 0.2" in done.err
    assert "--overwrite" in done.err
    assert tree(store) == stored
    assert command("run", "job.toml", "--quiet", "--overwrite").code == 0
    assert float(sweep.open(store).noise) == 0.2


@pytest.mark.parametrize("design", ["[design]", "[design.grid]\ntau_s = [2.0]", "[design]\nreplicates = 1"])
def test_a_job_of_one_set_runs_without_a_picture(folder: Path, command: Command, design: str) -> None:
    """With one set there is nothing to compare, and this is not an error."""
    Path("job.toml").write_text(JOB[: JOB.index("[design")] + design, encoding="utf-8")
    done = command("run", "job.toml", "--quiet")
    assert (done.code, done.out, done.err) == (0, "job.zarr: 1 sets, 1 ok\n", "")


def test_sets_that_diverge_are_no_failure(command: Command) -> None:
    """A set that diverged is a result: it is counted, and the exit code is 0."""
    text = JOB.replace('"tanh"', '"linear"').replace("gain = [0.5,", "gain = [1e30,").replace("= 40.0", "= 400.0")
    Path("job.toml").write_text(text, encoding="utf-8")
    done = command("run", "job.toml", "--quiet")
    assert done.code == 0
    assert re.match(r"job.zarr: 12 sets, \d+ ok, \d+ diverged\n", done.out)


# ------------------------------------------------------------------------------------------------------------- status


def test_status_ends_with_1_until_all_is_there(command: Command, store: Path) -> None:
    """Missing sets are counted, with a hint to run again; for a finished store the exit code is 0."""
    done = command("status", "job.zarr")
    assert (done.code, done.err) == (0, "")
    first, by = done.out.splitlines()
    assert first == "job.zarr: 12 sets, 12 ok"
    assert re.fullmatch(r"  by numpy, NumPy .*; .* cores; tiles of at most 64 sets, .*: blocks 0-2", by)
    next(store.glob("status/c/1/*")).unlink()
    done = command("status", "job.zarr")
    assert done.code == 1
    assert re.match(
        r"job.zarr: 12 sets, \d not run, \d ok\n  by numpy, .*\n.* run the job again to go on.\n$", done.out
    )
    assert command("run", "job.toml", "--quiet").code == 0
    assert command("status", "job.zarr").code == 0


def test_status_sees_a_result_that_was_lost(command: Command, store: Path) -> None:
    """If a chunk of a result is missing the store is not done, although the status says ok."""
    next(store.glob("r_mean/c/1/*/*")).unlink()
    done = command("status", "job.zarr")
    assert done.code == 1
    assert "1 of 3 blocks are missing" in done.out


def test_status_says_what_failed(command: Command, store: Path) -> None:
    """A failed block is named with its error, and ends with 1."""
    opened = Store(store)
    opened.write_failed(opened.job.blocks[2], "MemoryError: [no] room")
    done = command("status", "job.zarr")
    assert done.code == 1
    assert "8 ok, 4 failed" in done.out
    assert "block 2 failed: MemoryError: [no] room" in done.out


# --------------------------------------------------------------------------------------------------------------- plot


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", r"Best set: r_std = \S+ at tau_s = \d ms, gain = "),
        ("--variable r_mean --best min", r"Best set: r_mean = "),
        ("--x gain", r"Best set: r_std"),
        ("--x gain --y tau_s", r"Best set: r_std"),
        ("--panel gain", r"Best set for gain = 0.5: r_std .*\n(?s:.*)Best set for gain = 2:"),
        ("--select gain=1.1", r"Best set: r_std = \S+ at gain = 1, tau_s = .* \(of 3 sets\)"),
        ("--select gain=1 --select unit=1", r"Best set: r_std = \S+ at gain = 1, unit = 1, tau_s"),
        ("--variable x --x time", r"picture"),
        ("--variable x --select time=20", r"Best set: x = \S+ at time = 20 ms"),
    ],
)
def test_plot_draws_what_is_asked_for(folder: Path, command: Command, store: Path, options: str, said: str) -> None:
    """Options take precedence over the job's report; the rest of the report is kept."""
    done = command("plot", store.name, *options.split(), "--output", "drawn/it.svg")
    assert (done.code, done.err) == (0, "")
    assert re.match(said, done.out)
    assert done.out.endswith("picture: drawn/it.svg\n")
    assert b"<svg" in (folder / "drawn" / "it.svg").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--variable r_maen", "'r_maen' is not in the result. Did you mean 'r_mean'?"),
        ("--x tau", "'tau' is not a coordinate of the result. Did you mean 'tau_s'?"),
        ("--y gian", "'gian' is not a coordinate of the result. Did you mean 'gain'?"),
        ("--panel network", "'network' is not a coordinate of the result. Known: "),
        ("--x time", "r_std does not vary along it"),
        ("--x gain --y gain", "lies along the same dimension"),
        ("--best most", "'most' does not exist. Known: max, min"),
        ("--select gain", "NAME=VALUE"),
        ("--select gain=much", "NAME=VALUE"),
        ("--select gian=1", "Did you mean 'gain'?"),
        ("--select gain=7", "beyond the values of the result, 0.5 to 2"),
        ("--output it.gif", "cannot be written as '.gif'. Known: .png, .pdf, .svg."),
        ("--output job.toml/it.png", "cannot be written"),
    ],
)
def test_plot_refuses_what_is_not_there(folder: Path, command: Command, store: Path, options: str, said: str) -> None:
    """A wrong name gets a message with a suggestion, exit code 2, and no picture."""
    before = tree(folder)
    done = command("plot", store.name, *options.split())
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert said in done.err
    assert tree(folder) == before


# ------------------------------------------------------------------------------------- schema, doctor, version, help


def test_the_schema_is_one_that_the_shipped_files_fit(command: Command) -> None:
    """What ``sweep schema`` prints is valid JSON Schema, and of the job files that we ship."""
    made = json.loads(command("schema").out)
    jsonschema.Draft202012Validator.check_schema(made)
    validator = jsonschema.Draft202012Validator(made)
    files = [*SWEEPS.glob("*.toml"), Path("job.toml")]
    assert len(files) >= 3
    for path in files:
        validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_the_doctor_names_versions_back_ends_and_the_machine(command: Command) -> None:
    """For every back end it says whether it works, with the reason."""
    done = command("doctor")
    assert (done.code, done.err) == (0, "")
    for name in ("tausweep", "Python", "numpy", "zarr", "BLAS", "cores", "memory", "GPU"):
        assert re.search(rf"^{name}  +\S", done.out, re.MULTILINE), name
    assert re.search(r"^back end numpy  +works: ", done.out, re.MULTILINE)
    assert re.search(r"^auto  +\w+, ", done.out, re.MULTILINE)


def test_the_version_is_that_of_the_package(command: Command) -> None:
    """The version is one line, for bug reports."""
    assert command("--version") == Done(0, f"tausweep {importlib.metadata.version('tausweep')}\n", "")


def test_help_lists_exactly_the_commands_that_work(command: Command) -> None:
    """Every command has a line that is not cut off, and its own page of help."""
    done = command("--help")
    assert done.code == 0
    listed = re.findall(r"^  (\w+)  +(.*)$", done.out.partition("Commands:")[2], re.MULTILINE)
    assert [name for name, _ in listed] == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for _, line in listed)
    for name in COMMANDS:
        assert command(name, "--help").code == 0


def test_the_readme_shows_the_commands_and_options_that_there_are(command: Command) -> None:
    """The README lists exactly the commands that exist, and only options that exist."""
    readme = (SWEEPS.parent / "README.md").read_text(encoding="utf-8")
    block = readme.partition("## On the command line")[2].partition("```\n")[2].partition("```")[0]
    shown = {line.split()[1]: re.findall(r"--[a-z]+", line) for line in block.splitlines() if line.startswith("sweep ")}
    assert list(shown) == COMMANDS
    for name, options in shown.items():
        page = command(name, "--help").out
        assert all(f"{option} " in page for option in options), name


# ----------------------------------------------------------------------------------------------------------- bad usage


BAD = {
    "no such command": ("rnu job.toml", "No such command"),
    "no such option": ("run job.toml --wrokers 2", "--workers"),
    "no job": ("run", "JOB.toml"),
    "missing file": ("run none.toml", "none.toml: the job file cannot be read: No such file or directory"),
    "a folder as job": ("run folder", "the job file cannot be read"),
    "bad TOML": ("run broken.toml", "broken.toml: this is not TOML"),
    "bad job": ("plan bad.toml", "Did you mean 'observe'?"),
    "unknown back end": ("run job.toml --backend nunpy", "Did you mean 'numpy'?"),
    "unknown back end, planned": ("plan job.toml --backend nunpy", "Did you mean 'numpy'?"),
    "no workers": ("run job.toml --workers 0", "workers = 0"),
    "no workers, planned": ("plan job.toml --workers 0", "workers = 0"),
    "many workers": ("run job.toml --workers many", "--workers"),
    "empty batch": ("run job.toml --batch 0", "batch = 0"),
    "two who work": ("run job.toml --workers 1 --scheduler tcp://127.0.0.1:1", "give one of the two"),
    "scheduler that is not there": ("run job.toml --scheduler tcp://127.0.0.1:1", "cannot be reached"),
    "scheduler that is no address": ("run job.toml --scheduler nonsense", "scheduler = 'nonsense'"),
    "a folder as store": ("run job.toml --store folder", "is not a store of tausweep"),
    "a folder to overwrite": ("run job.toml --store folder --overwrite", "is not a store of tausweep"),
    "a file as store": ("run job.toml --store broken.toml", "is not a store of tausweep"),
    "a store below a file": ("run job.toml --store broken.toml/out.zarr", "cannot be written"),
    "status of nothing": ("status none.zarr", "there is no store at none.zarr"),
    "status of a folder": ("status folder", "is not a store of tausweep"),
    "plot of nothing": ("plot none.zarr", "there is no store at none.zarr"),
    "plot of a folder": ("plot folder", "is not a store of tausweep"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_usage_ends_with_2_and_writes_nothing(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: str, said: str
) -> None:
    """Every error is a message without a traceback, and nothing is left behind except a lock file."""
    monkeypatch.setattr("sweep.execution.cluster._CONNECT", "200ms")
    (folder / "folder").mkdir()
    (folder / "folder" / "precious").write_text("data")
    (folder / "broken.toml").write_text("units = ")
    (folder / "bad.toml").write_text(JOB.replace("observe", "obsrve"))
    before = tree(folder)
    done = command(*arguments.split())
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert {path: data for path, data in tree(folder).items() if path.suffix != ".lock"} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_ends_with_2(folder: Path, command: Command) -> None:
    """The folder is named, and the remedy."""
    (folder / "fixed").mkdir(mode=0o555)
    done = command("run", "job.toml", "--store", "fixed/out.zarr")
    assert done.code == 2
    assert "fixed cannot be written" in done.err


def test_a_run_that_had_to_stop_ends_with_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the machine fails during a run, the exit code is 1, and running again continues."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "discard", full)
    done = command("run", "job.toml", "--quiet")
    assert done.code == 1
    assert re.search(r"error: block \d could not be written to .*No space left on device.* run again", done.err)
