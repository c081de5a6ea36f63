"""What the doctor says of others who own the name of our package."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import doctor


def install(folder: Path, name: str, package: str) -> None:
    """Put a distribution that has one package into a folder, as pip does."""
    info = folder / f"{name}-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n")
    (info / "RECORD").write_text(f"{package}/core.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    (folder / package).mkdir(exist_ok=True)
    (folder / package / "core.py").touch()


def warnings_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the doctor warns of when the folder is on the path."""
    monkeypatch.syspath_prepend(str(folder))
    return [words for name, words in doctor.rows() if name == "warning"]


@pytest.mark.usefixtures("only_numpy")
def test_another_distribution_with_our_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another distribution owns the package too, the doctor names it and says what to do."""
    install(tmp_path, "sweep", "sweep")
    install(tmp_path, "Clean_Up", "sweep")
    install(tmp_path, "brooms", "broom")
    first, second = warnings_of(tmp_path, monkeypatch)
    assert "'clean-up' 2.1" in first
    assert "'sweep' 2.1" in second
    assert "both own the package 'sweep'" in second
    assert "pip uninstall sweep tausweep, then pip install . in your clone" in second


@pytest.mark.usefixtures("only_numpy")
def test_alone_there_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own distribution is no other one, however it is installed and however its name is written."""
    install(tmp_path, "TauSweep", "sweep")
    assert warnings_of(tmp_path, monkeypatch) == []
