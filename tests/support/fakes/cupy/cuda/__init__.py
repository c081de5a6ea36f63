"""Devices and streams. What is given to a stream happens when somebody waits for it, and no sooner."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from support.emulator import EmulationError

from cupy._machine import machine
from cupy.cuda import compiler as compiler
from cupy.cuda import driver as driver
from cupy.cuda import memory as memory
from cupy.cuda import nvrtc as nvrtc
from cupy.cuda import runtime as runtime

_current = threading.local()


class Device:
    """The current device."""

    def __init__(self, device: int | None = None) -> None:
        runtime.getDeviceCount()
        self.id = device or 0

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is but one."""

    @property
    def compute_capability(self) -> str:
        """Without a dot."""
        return machine.capability

    @property
    def attributes(self) -> dict[str, int]:
        """Those that are asked for."""
        return {"MultiProcessorCount": 1, "ClockRate": machine.clock, "L2CacheSize": 1 << 20, "WarpSize": 32}


class Stream:
    """An order of work."""

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        if not null:
            runtime.use()
        self.null, self.non_blocking = null, non_blocking
        self._waiting: deque[Callable[[], object]] = deque()

    def __enter__(self) -> Stream:
        _stack().append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert _stack().pop() is self

    def add(self, work: Callable[[], object]) -> None:
        """Take on some work."""
        self._waiting.append(work)

    def synchronize(self) -> None:
        """Do what was taken on, in order; raise what went wrong."""
        with machine.lock:
            while self._waiting and not machine.lost:
                try:
                    self._waiting.popleft()()
                except EmulationError:
                    machine.lost = "cudaErrorIllegalAddress"
                    raise
        runtime.use()


_null = Stream(null=True)


def _stack() -> list[Stream]:
    if not hasattr(_current, "streams"):
        _current.streams = [_null]
    streams: list[Stream] = _current.streams
    return streams


def get_current_stream() -> Stream:
    """Return the innermost stream that the calling thread is in."""
    return _stack()[-1]
