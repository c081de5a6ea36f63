"""Stores without results, and what lies in one on the disk."""

from __future__ import annotations

from pathlib import Path

from sweep import Job
from sweep.results.creation import lock, open_or_create
from sweep.results.store import Store


def create(path: Path, job: Job) -> Store:
    """Return a new store without any results."""
    with lock(path):
        return open_or_create(path, job, overwrite=False)


def chunk(path: Path, name: str, *index: int) -> Path:
    """Return the file of a chunk."""
    return path.joinpath(name, "c", *map(str, index))


def lose(path: Path, *numbers: int) -> None:
    """Delete the status of some blocks, as if the run had been killed before they were finished."""
    store = Store(path)
    for number in numbers:
        store._chunk("status", store.job.blocks[number]).unlink()


def tree(folder: Path) -> dict[Path, bytes | None]:
    """Return the contents of all files in a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
