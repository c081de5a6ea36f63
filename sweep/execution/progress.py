"""The progress bar."""

from __future__ import annotations

import sys
import threading
import time

from tqdm.auto import tqdm

from sweep.job import Job


class Cancelled(BaseException):
    """Raised in a thread whose run is over. It is not an Exception, so that no handler takes it for a failure."""


class Bar:
    """A progress bar in sets. It also moves within a block: a set that is half simulated counts as half a set."""

    def __init__(self, job: Job, done: int, show: bool) -> None:
        self._steps_per_set = job.integration.steps
        self._mutex = threading.Lock()
        self._set_steps = 0
        self._next = 0.0
        self._bar = tqdm(
            # Set-steps are counted, and sets shown: sums of fractions of sets could exceed the total.
            total=job.design.size * self._steps_per_set,
            initial=done * self._steps_per_set,
            unit=" sets",
            unit_scale=1 / self._steps_per_set,
            bar_format="{percentage:3.0f}%|{bar}| {n:,.0f}/{total:,.0f} sets [{elapsed}<{remaining}, {rate_fmt}]",
            disable=not show,
            smoothing=0.1,
            # On a terminal the bar moves; in a log file there is a line every few seconds.
            mininterval=0.1 if sys.stderr.isatty() else 5.0,
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._bar.close()

    def steps(self, set_steps: int) -> None:
        """Count set-steps (sets times steps). The threads that simulate call this."""
        with self._mutex:
            self._set_steps += set_steps
            # So rarely that it takes no time.
            if time.monotonic() >= self._next:
                self._flush()

    def block(self, sets: int, reported: int) -> None:
        """Count a finished block, of which ``reported`` set-steps have been counted already."""
        self.steps(sets * self._steps_per_set - reported)

    def _flush(self) -> None:
        self._bar.update(self._set_steps)
        self._set_steps, self._next = 0, time.monotonic() + 0.1
