"""The command ``sweep``. Exit codes: 0 done, 1 some sets failed or are missing, 2 bad usage or bad job.

A command imports what it needs when it runs, so that help appears at once.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sweep.errors import JobError, RunError, SweepError

if TYPE_CHECKING:
    from sweep.job import Report
    from sweep.results.store import Store

app = typer.Typer(
    name="sweep",
    help="Sweep the parameters of firing-rate recurrent networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_out, _err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)

JobFile = Annotated[Path, typer.Argument(metavar="JOB.toml", help="Job file.")]
StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="Store written by 'sweep run'.")]
BackendName = Annotated[str, typer.Option("--backend", help="Back end: auto, or one that 'sweep doctor' names.")]
Batch = Annotated[int | None, typer.Option("--batch", help="Largest number of sets that the back end takes at once.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Number of processes to use on this machine, instead of threads.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from sweep.version import __version__

        _out.print(f"tausweep {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Sweep the parameters of firing-rate recurrent networks."""


@app.command("plan")
def plan_command(job: JobFile, backend: BackendName = "auto", workers: Workers = None, batch: Batch = None) -> None:
    """Show how much work, memory and time a job needs. Runs nothing."""
    from sweep.execution.plan import plan
    from sweep.jobfile import load

    _note(backend)
    _table(plan(load(job), backend, batch=batch, workers=workers).rows())


@app.command()
def run(
    job: JobFile,
    store: Annotated[
        Path | None, typer.Option("--store", help="Store to write; by default JOB.zarr in the current folder.")
    ] = None,
    backend: BackendName = "auto",
    workers: Workers = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, tcp://host:port.")
    ] = None,
    batch: Batch = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an existing store first.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Run a job into a store, and show its best set. Running again resumes."""
    from sweep.execution import runner
    from sweep.jobfile import load
    from sweep.results.store import Store

    loaded = load(job)
    if scheduler is None:
        _note(backend)
    path = store or Path(f"{job.stem}.zarr")
    try:
        runner.run(
            loaded,
            path,
            backend=backend,
            batch=batch,
            workers=workers,
            scheduler=scheduler,
            overwrite=overwrite,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        _err.print(f"interrupted: run again to go on with {path}.", markup=False)
        raise typer.Exit(1) from None
    opened = Store(path)
    # Which back end the workers of a scheduler used is known only now.
    _summary(path, opened, backends=scheduler is not None)
    if opened.job.design.size > 1:
        _show(path, _picture(path), loaded.report)
    raise typer.Exit(_exit_code(opened))


@app.command()
def status(store: StorePath) -> None:
    """Show how much of a store is done, and what failed."""
    from sweep.results.store import Store

    opened = Store(store)
    _summary(store, opened, backends=True)
    raise typer.Exit(_exit_code(opened))


@app.command("plot")
def plot_command(
    store: StorePath,
    variable: Annotated[str | None, typer.Option("--variable", help="Observable or record.")] = None,
    x: Annotated[str | None, typer.Option("--x", help="Coordinate of the horizontal axis.")] = None,
    y: Annotated[str | None, typer.Option("--y", help="Coordinate of the vertical axis.")] = None,
    panel: Annotated[str | None, typer.Option("--panel", help="Coordinate with a panel for each value.")] = None,
    which: Annotated[str | None, typer.Option("--best", help="Which value is best: max or min.")] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", help="Label of the part to show, NAME=VALUE; may be repeated.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="PNG, PDF or SVG; STORE.png by default.")] = None,
) -> None:
    """Draw a result.

    As a map, lines, points or trajectories. Options take precedence over the job's report.
    """
    from sweep.report.choice import requested
    from sweep.results.store import open_dataset

    chosen = dict(map(_label, select or ()))
    report = requested(open_dataset(store), variable, best=which, x=x, y=y, panel=panel, select=chosen)
    _show(store, output or _picture(store), report)


@app.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors."""
    from sweep import jobfile

    print(json.dumps(jobfile.schema(), indent=2))


@app.command("doctor")
def doctor_command() -> None:
    """Show what works here, what does not, and why."""
    from sweep import doctor

    _table(doctor.rows())


@app.command("bench")
def bench_command(
    backend: BackendName = "auto",
    seconds: Annotated[float, typer.Option("--seconds", help="About how long each measurement takes.")] = 1.0,
) -> None:
    """Measure how fast this machine is, and how close to its limit."""
    from sweep import bench
    from sweep.backends.registry import choose, get_backend

    bench.check_seconds(seconds)
    _table(bench.header(choose(backend)))
    engine = get_backend(backend)
    _out.print(bench.TITLE, style="bold", markup=False)
    try:
        for measure in bench.measures(engine, bench.CASES, seconds):
            _out.print(measure.line(), markup=False)
    except KeyboardInterrupt:
        _err.print("interrupted: the cases above are complete.", markup=False)
        raise typer.Exit(1) from None
    _out.print(bench.explained(engine), markup=False)


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        _out.print(f"[bold]{name:<{width}}[/bold]  {escape(value)}")


def _note(backend: str) -> None:
    """Print a note if a back end that should work here does not."""
    from sweep.backends.registry import choose

    if note := choose(backend).note:
        _err.print(f"note: {note}", markup=False)


def _summary(path: Path, store: Store, backends: bool) -> None:
    from sweep.results.store import computed_by

    counts = {name: number for name, number in store.counts().items() if number}
    told = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items())
    _out.print(f"{path}: {store.job.design.size:,} sets, {told}", markup=False)
    for failure in store.failures():
        _out.print(f"  block {failure['block']} failed: {failure['error']}", markup=False)
    for part in computed_by(path) if backends else ():
        who = f"{part['backend']}, {part['backend_reason']}; {part['device']}; {part['method']}"
        _out.print(f"  by {who}: blocks {part['blocks']}", markup=False)
    if pending := store.pending():
        blocks = f"{len(pending):,} of {len(store.job.blocks):,} blocks"
        _out.print(f"  {blocks} are missing or incomplete: run the job again to go on.")


def _exit_code(store: Store) -> int:
    # The status alone is not enough: a chunk of another variable may have been lost.
    return 1 if store.pending() else 0


def _picture(store: Path) -> Path:
    # The name contains the whole name of the store, so that it does not replace another file.
    return store.with_name(f"{store.name}.png")


def _show(store: Path, picture: Path, report: Report | None) -> None:
    """Print the best set, and draw the picture."""
    from sweep.report.best import best
    from sweep.report.choice import default_report, is_trajectory
    from sweep.report.figures import save
    from sweep.results.reporting import check
    from sweep.results.store import Store, open_dataset

    dataset = open_dataset(store)
    report = report or default_report(dataset)
    check(dataset, report)
    try:
        if not is_trajectory(dataset, report):
            _out.print(best(dataset, report).words(), markup=False)
        _out.print(f"picture: {save(dataset, picture, report)}", markup=False)
    except (RuntimeError, ValueError) as error:
        # If a chunk was damaged on disk, the error of the codec does not say which, so we look for it.
        chunks = [] if isinstance(error, SweepError) else Store(store).damaged()
        if not chunks:
            raise
        listed = ", ".join(map(str, chunks))
        raise RunError(
            f"these chunks are damaged: {listed}. Delete them and run the job again to repair them."
        ) from None


def _label(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise JobError(
            f"--select {text!r}: it must be NAME=VALUE with a number. Write for example --select network=0."
        ) from None


def main() -> None:
    """Run the command line. Our own errors become a message and an exit code."""
    said: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        # A job is rebuilt and checked several times, but each warning is shown only once.
        if str(message) not in said:
            said.add(str(message))
            _err.print(f"warning: {message}", markup=False)

    warnings.showwarning = show
    try:
        app()
    except SweepError as error:
        _err.print(f"error: {error}", markup=False)
        sys.exit(1 if isinstance(error, RunError) else 2)
