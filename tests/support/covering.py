"""Few answers to many questions, so that every two answers meet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def covering(questions: Mapping[str, Sequence[Any]], seed: int = 0, tries: int = 10) -> list[dict[str, Any]]:
    """Return answers to all questions, some times, among which every two answers to two questions meet.

    One row follows another. In each, the questions are answered one by one in random order, each with the answer that
    meets the most of those given in this row for the first time; of several tries the best is kept. An answer that meets
    nothing new is the first to its question.
    """
    rng = np.random.default_rng(seed)
    sizes = [len(answers) for answers in questions.values()]
    starts = np.cumsum([0, *sizes[:-1]])
    question = np.repeat(np.arange(len(sizes)), sizes)
    #: Pairs that have not met yet: two answers to one question never do.
    left = question[:, None] != question[None, :]
    rows = []
    while left.any():
        best, most = np.zeros(len(sizes), dtype=int), -1
        for _ in range(tries):
            row = _row(left, starts, sizes, rng)
            if (new := int(left[np.ix_(row, row)].sum())) > most:
                best, most = row, new
        left[np.ix_(best, best)] = False
        rows.append(best - starts)
    return [
        {name: answers[which] for (name, answers), which in zip(questions.items(), row, strict=True)} for row in rows
    ]


def _row(left: np.ndarray, starts: np.ndarray, sizes: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Answer all questions once."""
    row = starts.copy()
    # A pair that has not met is where a row begins, or rows at the end would have nothing new.
    first = int(rng.choice(np.flatnonzero(left.any(axis=1))))
    begin = int(np.searchsorted(starts, first, side="right")) - 1
    order = [begin, *(one for one in rng.permutation(len(sizes)) if one != begin)]
    gain = np.zeros(len(left), dtype=int)
    for place, number in enumerate(order):
        part = slice(starts[number], starts[number] + sizes[number])
        chosen = first
        if place:
            best = np.flatnonzero(gain[part] == gain[part].max())
            chosen = int(starts[number] + (rng.choice(best) if gain[part].max() else 0))
        row[number] = chosen
        gain += left[chosen]
    return row


def pairs(rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Return which answers to which two questions meet in some rows."""
    return {
        (one, repr(row[one]), other, repr(row[other])) for row in rows for one, other in itertools.combinations(row, 2)
    }
