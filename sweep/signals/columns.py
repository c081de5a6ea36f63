"""The columns of a table, be it a file or a DataFrame: those that hold numbers and those that hold names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sweep.errors import JobError
from sweep.files import TIME, Column, Table, number_of, unreadable


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns by their numbers, ``(row,)`` each, as they are; and what is wrong with those that are not all numbers."""

    whose: str
    names: tuple[str, ...] | None
    entries: Sequence[Any]
    problems: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of_table(cls, whose: str, table: Table) -> Columns:
        """Return the columns of a file."""
        texts = table.texts
        entries = [texts[k].entries if k in texts else column for k, column in enumerate(table.values.T)]
        return cls(whose, table.names, entries, {k: text.problem for k, text in texts.items()})

    @classmethod
    def of_frame(cls, frame: Any) -> Columns:
        """Return the columns of a DataFrame or a Series of pandas."""
        named = hasattr(frame, "columns")
        names = tuple(map(str, frame.columns)) if named else None
        entries = [frame.iloc[:, k].to_numpy() for k in range(len(frame.columns))] if named else [frame.to_numpy()]
        return cls(f"the {type(frame).__name__}", names, entries)

    def number(self, column: Column, key: str) -> int:
        """Return the number of a column that the argument ``key`` names; raise JobError if there is none."""
        return number_of(self.whose, Table(np.empty((0, len(self.entries))), self.names), column, key)

    def name(self, number: int) -> str | None:
        """Return the name of a column, if it has one."""
        return self.names[number] if self.names else None

    def timed(self) -> list[int]:
        """Return the numbers of the columns that are called time."""
        return [number for number, name in enumerate(self.names or ()) if TIME.fullmatch(name)]

    def numbers(self, number: int) -> Any:
        """Return a column that is to hold numbers; raise JobError if it does not."""
        if number in self.problems:
            raise JobError(unreadable(self.whose, self.problems[number]))
        return self.entries[number]
