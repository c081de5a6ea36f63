"""Processes that use devices see one device each, also after they have died and been replaced."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import dask
import pytest
from distributed import Client
from support import fast
from support.jobs import many, slow

import sweep
from sweep.execution.cluster import start

Pins = dict[int, tuple[int, str | None]]


def pins(client: Client) -> Pins:
    """Return the process and the devices that it sees, by the number of the worker."""

    def look() -> tuple[int, str | None]:
        import os

        return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")

    names = {address: worker["name"] for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()}
    return {names[address]: seen for address, seen in client.run(look).items()}


@pytest.mark.parametrize(("given", "seen"), [(("3", "GPU-5"), ("3", "GPU-5")), ((), ("0,1", "0,1"))])
def test_each_process_sees_its_own_device(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], seen: tuple[str, ...]
) -> None:
    """Worker i sees only the i-th device. Without devices all workers see the same as this process, which is unchanged."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with start(2, 1, given) as client:
        assert {name: pin for name, (_, pin) in pins(client).items()} == dict(enumerate(seen))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_process_in_place_of_a_dead_one_sees_the_same_device() -> None:
    """Kill -9 of a worker: its successor is another process with the same pin, and the others keep theirs."""
    with start(2, 1, ("3", "5")) as client:
        before = pins(client)
        os.kill(before[1][0], signal.SIGKILL)
        end = time.monotonic() + 30
        now: Pins = {}
        while time.monotonic() < end and (len(now) < 2 or now[1][0] == before[1][0]):
            time.sleep(0.1)
            now = pins(client)
        assert now[1][0] != before[1][0]
        assert {name: pin for name, (_, pin) in now.items()} == {0: "3", 1: "5"}


def test_more_processes_than_devices_share_them_and_say_so() -> None:
    """More processes than devices share them, and there is a warning."""
    with pytest.warns(UserWarning, match=r"workers = 3 share 2 GPUs"), start(3, 1, ("3", "5")) as client:
        assert {name: pin for name, (_, pin) in pins(client).items()} == {0: "3", 1: "5", 2: "3"}


def test_a_run_pins_the_devices_of_its_back_end(path: Path, before_numpy: Callable[..., None]) -> None:
    """With two processes and two cards, a module that looks for cards when it is imported finds one, another in each process."""
    before_numpy(fast=(fast.look, fast.load))
    with dask.config.set({"distributed.worker.preload": [fast.__file__]}):
        result = sweep.run(slow(), path, workers=2)
    parts = json.loads(result.attrs["backends"])
    assert {part["device"] for part in parts} == {"made-up card GPU-1a2b", "made-up card 7"}


def test_threads_of_this_process_see_all(path: Path, before_numpy: Callable[..., None]) -> None:
    """Without processes nothing is pinned."""
    before_numpy(fast=(fast.look, fast.load))
    result = sweep.run(many(4), path)
    assert result.attrs["device"] == fast.device()
    assert fast.SEEN == os.environ.get("CUDA_VISIBLE_DEVICES", "any")
