"""Pages and settings for people are true of the code, and agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep

ROOT = Path(__file__).parent.parent
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
(CONTRACT,) = (c for c in TOML["tool"]["importlinter"]["contracts"] if c.get("containers") == ["sweep"])
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), Path("docs/architecture.md")]


def test_the_two_commands_of_the_readme_can_be_run() -> None:
    """One runs the main job, one the tests: both install extras that exist, and name files that exist."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        (extra,) = re.findall(r'"\.\[(\w+)\]"', command)
        assert extra in PROJECT["optional-dependencies"]
    assert ".venv/bin/sweep run sweeps/grasshopper.toml" in commands[0]
    assert ".venv/bin/pytest" in commands[1]
    assert (ROOT / "sweeps" / "grasshopper.toml").is_file()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_paths_lead_to_what_is_there(page: Path) -> None:
    """Pictures, pages, folders and modules that a page names are in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / page.parent / link).is_file()]
    paths = re.findall(r"`((?:sweep|kernels|sweeps|docs|tests|benchmarks)/[\w/.]+)`", text)
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_readme_shows_every_room() -> None:
    """Its table has every package and module of the top floor except the thin ones, and the files to start with exist."""
    rows = re.findall(r"^\| `([\w/.]+)` \| .* \|(?: `([\w/.]+)`)? \|$", README.partition("## Read it")[2], re.MULTILINE)
    rooms = {room for room, _ in rows}
    assert {f"{path.name}/" for path in (ROOT / "sweep").iterdir() if (path / "__init__.py").is_file()} == {
        room.removeprefix("sweep/") for room in rooms if room.endswith("/") and room != "kernels/"
    }
    floors = [floor.split(" | ") for floor in reversed(CONTRACT["layers"])]
    order = [
        room.removeprefix("sweep/").removesuffix(".py").strip("/") for room, _ in rows if room.startswith("sweep/")
    ]
    heights = [next(i for i, floor in enumerate(floors) if name in floor) for name in order]
    assert heights == sorted(heights)
    for room, first in rows:
        assert (ROOT / room / first).exists(), room
        assert bool(first) == room.endswith("/"), room


@pytest.mark.usefixtures("only_numpy")
def test_the_readme_shows_one_job_in_both_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job file and the Python code are the same job, and every line of the code runs."""
    monkeypatch.chdir(tmp_path)
    (toml,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "sweep.Job(" in block)
    for long, short in (("duration = 2000.0", "duration = 10.0"), ("transient = 500.0", "transient = 5.0")):
        assert long in toml
        toml = toml.replace(long, short)
        code = code.replace(long.replace(" ", ""), short.replace(" ", ""))
    (tmp_path / "job.toml").write_text(toml, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["job"].hash == sweep.load("job.toml").hash
    assert names["job"].integration.duration == 10.0
    assert names["figure"].axes


@pytest.mark.usefixtures("only_numpy")
def test_the_readme_finds_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """The example with a recording prints what its last line says."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "sweep.Target(" in block)
    (promised,) = re.findall(r"print\(best\.words\(\)\)  # (.*)", code)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == promised


def test_the_changelog_has_the_version() -> None:
    """The first entry is of the version that is built."""
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_the_floors_drawn_are_the_floors_held() -> None:
    """The drawing has the floors of the contract, in its order."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("```mermaid")[2].partition("```")[0]
    names = dict(re.findall(r'^ +(\w+)\["<b>(.*?)</b>', drawing, re.MULTILINE))
    chain = re.findall(r"^ +(\w+(?: --> \w+)+)$", drawing, re.MULTILINE)
    assert [names[node] for node in chain[0].split(" --> ")] == CONTRACT["layers"]


def test_the_way_of_a_job_names_modules_that_are_there() -> None:
    """The page names them from the package on."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    way = page.partition("## The way of a job")[2].partition("## The way of a reader")[0]
    named = re.findall(r"`(\w+/[\w/.]*)`", way)
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / "sweep" / name).exists()]


def test_who_commits_runs_what_ci_runs() -> None:
    """The hooks are the lint of CI, command for command."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lint = re.findall(r"^\.ci/venv/bin/((?:ruff|mypy|lint-imports).*)$", ci, re.MULTILINE)
    assert len(lint) == 4
    assert [hook["entry"] for hook in hooks] == lint


def test_a_citation_is_of_this_version() -> None:
    """Name, version, licence and keywords are those of the distribution, and the paper has its DOI."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {key: said[key] for key in ("title", "version", "license", "keywords")} == {
        "title": PROJECT["name"],
        "version": PROJECT["version"],
        "license": PROJECT["license"],
        "keywords": PROJECT["keywords"],
    }
    assert f"https://doi.org/{said['references'][0]['doi']}" in README
