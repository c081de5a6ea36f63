"""A way to load a text as a job file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.job import Job
from sweep.jobfile import load


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Job]:
    """Write a text to job.toml in a new folder, and load it."""

    def load_text(text: str) -> Job:
        path = tmp_path / "job.toml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return load_text
