"""Which back end is used, the messages about it, and what a result says about what computed which of its blocks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
from support import fast
from support.jobs import small

import sweep
from sweep import Model, cli, gaussian, grid
from sweep.backends.protocol import Probe
from sweep.backends.registry import choose, get_backend, provenance
from sweep.errors import BackendError

Table = Callable[..., None]


def blocks(result: xr.Dataset) -> dict[str, str]:
    """Return which blocks were computed by which back end."""
    return {part["backend"]: part["blocks"] for part in json.loads(result.attrs["backends"])}


# ------------------------------------------------------------------------------------------------------------- choice


@pytest.mark.usefixtures("two")
def test_auto_takes_the_first_that_works() -> None:
    """The fastest comes first, and is used without a message."""
    assert choose() == Probe(
        name="fast", works=True, reason="the fastest that works here: made up", device=fast.device(), note=""
    )
    assert get_backend().name == "fast"


@pytest.mark.usefixtures("two")
def test_a_faster_one_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a back end should work here and does not, auto says so, why, and what it uses instead."""
    monkeypatch.setenv(fast.BROKEN, "the driver is too old")
    chosen = choose()
    assert (chosen.name, chosen.works) == ("numpy", True)
    assert chosen.note == "fast does not work here: the driver is too old; using numpy"
    assert chosen.reason.startswith(f"{chosen.note}: NumPy ")


def test_one_that_nobody_expects_is_not_named(before_numpy: Table) -> None:
    """With auto there is no message about a back end that is not installed."""
    absent = Probe(name="fast", works=False, reason="not installed", expected=False)
    before_numpy(fast=(lambda: absent, fast.load))
    assert choose().note == ""
    assert choose().reason.startswith("the fastest that works here: NumPy ")


@pytest.mark.usefixtures("two")
def test_an_explicit_choice_never_falls_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a named back end does not work, the error has the reason, and nothing is written."""
    monkeypatch.setenv(fast.BROKEN, "the driver is too old")
    calls: list[Callable[[], object]] = [
        lambda: choose("fast"),
        lambda: sweep.plan(small(), "fast"),
        lambda: sweep.simulate(small(), "fast"),
        lambda: sweep.lazy(small(), "fast"),
        lambda: sweep.run(small(), path, backend="fast"),
        lambda: sweep.run(small(), path, backend="fast", workers=1),
    ]
    for call in calls:
        with pytest.raises(BackendError, match="backend = 'fast' cannot work here: the driver is too old"):
            call()
    assert not path.exists()


def test_a_back_end_that_works_is_asked_once(before_numpy: Table) -> None:
    """A back end is probed once, because every block asks for it and a driver may be slow to answer."""
    asked = []

    def look() -> Probe:
        asked.append(1)
        return fast.look()

    before_numpy(fast=(look, fast.load))
    sweep.simulate(small())
    assert len(asked) == 1


@pytest.mark.parametrize("arguments", [("plan", "job.toml"), ("run", "job.toml", "--quiet")], ids=["plan", "run"])
def test_the_command_line_tells_of_a_broken_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before_numpy: Table,
    arguments: tuple[str, ...],
) -> None:
    """There is one line on the error stream, only with auto, and only if something does not work."""
    monkeypatch.chdir(tmp_path)
    Path("job.toml").write_text(
        'observe = ["r_mean"]\n[model]\nunits = 1\n[integration]\ndt = 1.0\nduration = 9.0\n', encoding="utf-8"
    )
    note = "note: fast does not work here: the driver is too old; using numpy\n"
    for why, options, said in [
        ("the driver is too old", (), note),
        ("the driver is too old", ("--backend", "numpy"), ""),
        (None, (), ""),
    ]:
        before_numpy(fast=(fast.look, fast.load))
        with monkeypatch.context() as patch:
            if why:
                patch.setenv(fast.BROKEN, why)
            patch.setattr(sys, "argv", ["sweep", *arguments, *options])
            with pytest.raises(SystemExit, match="0"):
                cli.main()
        assert capsys.readouterr().err == said


# --------------------------------------------------------------------------------------------------------- provenance


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "tiles of at most 64 sets, float32, W r elementwise"),
        ({"model": Model(units=2)}, "tiles of at most 64 sets, float32, no W"),
        ({"model": Model(units=2), "design": grid(**{"W[0,1]": [1.0]})}, "W r elementwise"),
        ({"model": Model(units=40, weights=gaussian(units=40, seed=1))}, r"W r in products of \d+ columns"),
    ],
    ids=["few units", "uncoupled", "a weight", "many units"],
)
def test_numpy_says_how_it_goes_about_a_job(changes: dict[str, object], method: str) -> None:
    """Its description has the width of its tiles and the way it computes W r."""
    assert re.search(method, get_backend("numpy").describe(small(**changes)))


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", ["auto", "numpy"])
def test_every_way_to_run_says_who_did_it(path: Path, name: str) -> None:
    """In memory, lazily, in a store: back end, reason, device and method are attributes; a plan has them as rows."""
    expected = provenance(name, small())
    assert expected["backend"] == ("fast" if name == "auto" else "numpy")
    for result in (sweep.simulate(small(), name), sweep.lazy(small(), name), sweep.run(small(), path, backend=name)):
        assert {key: result.attrs[key] for key in expected} == expected
        assert json.loads(result.attrs["backends"]) == [{**expected, "blocks": "0-5"}]
    rows = dict(sweep.plan(small(), name).rows())
    assert rows["back end"] == f"{expected['backend']}, {expected['backend_reason']}"
    assert rows["method"] == expected["method"]
