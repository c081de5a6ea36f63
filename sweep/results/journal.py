"""The journal of a store: what became of its blocks, a line of JSON each.

It is for people, and nothing is ever decided by it. Whoever computes a block says so just before the block is finished:
so whatever is killed, and whoever goes on, the last that is said of a finished block is true of it.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NAME = "journal.jsonl"
_START = '{"time"'


def path_of(store: Path) -> Path:
    """Return where the journal of a store lies."""
    return store / _NAME


def note(store: Path, event: str, **details: object) -> None:
    """Add a line, in one write to the end: several processes may do so at once."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    with path_of(store).open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({"time": now, "event": event, **details}) + "\n")


def last_of_blocks(store: Path) -> dict[int, dict[str, Any]]:
    """Return what was noted last of each block, by number."""
    path = path_of(store)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {}
    for line in lines:
        # A full disk may have torn a line, which the next one then follows at once.
        start = line.rfind(_START)
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(line[start:]) if start >= 0 else {}
            if "block" in event:
                found[event["block"]] = event
    return found


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers in rising order for people: ``0-3, 7``."""
    runs = [
        [number for _, number in run]
        for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
