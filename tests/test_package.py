"""What is distributed: the wheel, the source distribution, and what the README says about them."""

from __future__ import annotations

import email.message
import email.parser
import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from support import ROOT

import sweep

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: The folders of a clone; those of environments and caches are left out.
FOLDERS = ("sweep", "kernels", "sweeps", "tests", "benchmarks", "docs")


def build(folder: Path, kind: str, out: Path) -> Path:
    """Build the ``wheel`` or ``sdist`` of a source folder in a fresh process; return the file."""
    code = f"import sys, hatchling.build; print(hatchling.build.build_{kind}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, out], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project as a clone has it, and a stray file that must not be given away."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.zarr"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    for name in (".gitignore", ".pre-commit-config.yaml", ".ci/run"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "secret.txt").write_text("not for others")
    return folder


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution."""
    return build(checkout, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def metadata(wheel: Path) -> email.message.Message:
    """Return the metadata of a wheel."""
    (text,) = (data for name, data in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return email.parser.Parser().parsestr(text.decode())


def test_the_wheel_has_the_package_its_types_and_its_kernels(wheel: Path) -> None:
    """The wheel has every module, py.typed and the kernels in the package, and nothing else at the top."""
    files = contents(wheel)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "sweep").rglob("*.py")}
    kernels = {f"sweep/{path.relative_to(ROOT)}" for path in (ROOT / "kernels").rglob("*") if path.is_file()}
    assert {f"sweep/kernels/{name}" for name in ("philox.cuh", "tile_of_sets.cpp", "README.md")} <= kernels
    ours = {name for name in files if not name.startswith(f"tausweep-{PROJECT['version']}.dist-info/")}
    assert ours == modules | kernels | {"sweep/py.typed", "sweep/__init__.pyi"}
    for name in ours:
        assert files[name] == (ROOT / name.replace("sweep/kernels", "kernels")).read_bytes()


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Name, version, licence with its text, Python, dependencies, extras, the command and the README."""
    said, files = metadata(wheel), contents(wheel)
    info = f"tausweep-{PROJECT['version']}.dist-info"
    assert (said["Name"], said["Version"], said["License-Expression"]) == (
        "tausweep",
        PROJECT["version"],
        "BSD-3-Clause",
    )
    assert said["Requires-Python"] == PROJECT["requires-python"]
    assert said["Summary"] == PROJECT["description"]
    required = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(required) == sorted(PROJECT["dependencies"])
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert said.get_payload() == README
    assert files[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert files[f"{info}/entry_points.txt"].decode().split() == ["[console_scripts]", "sweep", "=", "sweep.cli:main"]
    assert wheel.name == f"tausweep-{PROJECT['version']}-py3-none-any.whl"


def test_the_source_distribution_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """A wheel built from the source distribution has exactly the same files, including its record."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    rebuilt = build(source, "wheel", tmp_path)
    assert contents(rebuilt) == contents(wheel)


def test_the_source_distribution_has_what_is_needed_to_work_on_it(sdist: Path) -> None:
    """It has tests, job files and pages, and no stray file."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"sweeps/grasshopper.toml", "tests/test_package.py", "docs/architecture.md", ".ci/run"} <= names
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        ".pre-commit-config.yaml",
    } <= names
    assert "secret.txt" not in names
    assert not [name for name in names if re.search(r"\.zarr|__pycache__|\.pyc|venv", name)]


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked in an empty folder, its package is the one that is imported, and it simulates."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    code = """
import numpy as np, sweep
job = sweep.Job(model=sweep.Model(units=1), design=sweep.grid(tau_s=[1.0, 2.0]), observe=["r_mean"],
                integration=sweep.Integration(dt=1.0, duration=4.0))
assert (sweep.simulate(job).status == 1).all()
print(sweep.__file__)"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(tmp_path / "site" / "sweep" / "__init__.py"), done.stderr


def test_every_public_name_is_documented() -> None:
    """What ``import sweep`` gives has a docstring that names every parameter."""
    for name in set(sweep.__all__) - {"__version__"}:
        public = getattr(sweep, name)
        text = inspect.getdoc(public)
        assert text, name
        assert text.split("\n")[0].endswith("."), name
        # Users catch errors, and name the protocol of a signal; they make neither.
        if isinstance(public, type) and (issubclass(public, Exception) or public is sweep.Signal):
            continue
        for parameter in inspect.signature(public).parameters:
            assert re.search(rf"\b{parameter}\b", text), f"{name}({parameter})"
