"""The journal of a store: it says what became of each block, in a line of JSON.

It is for people; the program never decides anything by it. The line for a block is written just before the block is finished. So
the last line about a finished block is always true, even if a run was killed and another one has continued it.
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
    """Return the path of a store's journal."""
    return store / _NAME


def note(store: Path, event: str, **details: object) -> None:
    """Add a line at the end, in a single write, so that several processes may do this at once."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    with path_of(store).open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({"time": now, "event": event, **details}) + "\n")


def last_of_blocks(store: Path) -> dict[int, dict[str, Any]]:
    """Return the last line about each block, as a dict, by the block's number."""
    path = path_of(store)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {}
    for line in lines:
        # If the disk was full, a line may be cut off, and the next one then follows on the same line.
        start = line.rfind(_START)
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(line[start:]) if start >= 0 else {}
            if "block" in event:
                found[event["block"]] = event
    return found


def ranges(numbers: Iterable[int]) -> str:
    """Return rising numbers as text for people: ``0-3, 7``."""
    runs = [
        [number for _, number in run]
        for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
