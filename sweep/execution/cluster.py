"""The workers of a run: threads, processes or a cluster, all through Dask."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dask

from sweep.backends.registry import choose
from sweep.errors import BackendError

if TYPE_CHECKING:
    from distributed import Client

#: How often a worker may die with a block before the block fails. After the first time the block is tried again.
_DEATHS = 1
#: After this time it is an error if a scheduler has no workers, or not the resources that it was asked for.
_NO_WORKERS = "60s"
#: After this time it is an error if a scheduler does not answer.
_CONNECT = "10s"
#: Dask's settings during a run.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS,
    "distributed.scheduler.no-workers-timeout": _NO_WORKERS,
    "distributed.worker.daemon": True,
    # Dask's profiler runs a hundred times a second, and takes the interpreter's lock away from the threads that simulate.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    from distributed.utils import silence_logging_cmgr

    # After Ctrl-C Dask would log errors about everything that was interrupted.
    with dask.config.set(_SETTINGS), silence_logging_cmgr(logging.CRITICAL, root="tornado.application"):
        yield


@contextlib.contextmanager
def join(scheduler: str, backend: str) -> Iterator[Client]:
    """Connect to the user's own cluster.

    Parameters
    ----------
    scheduler : str
        Address of its scheduler.
    backend : str
        The back end that every worker must have, or ``"auto"``.

    Yields
    ------
    Client
        The connection. It is closed at the end of the context.

    Raises
    ------
    BackendError
        If the scheduler cannot be reached, or if the back end does not work on a worker.
    """
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    with _quietly(), contextlib.ExitStack() as stack:
        try:
            # Checked first, because a client with an invalid address would hang when it is closed.
            get_address_host_port(scheduler, strict=True)
            client = stack.enter_context(Client(scheduler, timeout=_CONNECT, set_as_default=False))
        except (OSError, ValueError) as error:
            raise BackendError(
                f"scheduler = {scheduler!r} cannot be reached: {error}. Start one with 'dask scheduler', or correct it."
            ) from None
        for worker, told in client.run(choose, backend, on_error="return").items():
            if isinstance(told, Exception):
                raise BackendError(f"worker {worker}: {told}")
        yield client


@contextlib.contextmanager
def start(workers: int | None, threads: int, devices: Sequence[str] = ()) -> Iterator[Client]:
    """Start a cluster on this machine.

    Parameters
    ----------
    workers : int or None
        Number of processes; None for the threads of this process.
    threads : int
        Threads of each process.
    devices : sequence of str
        Devices, by their names in ``CUDA_VISIBLE_DEVICES``. Each process sees only one of them.

    Yields
    ------
    Client
        The connection. The cluster is stopped at the end of the context.
    """
    from distributed import Client, LocalCluster, Nanny

    def pinned(address: str, *, name: int, **options: Any) -> Nanny:
        # A process that replaces a dead one has the same nanny, and so the same device.
        return Nanny(address, name=name, env={"CUDA_VISIBLE_DEVICES": devices[name % len(devices)]}, **options)

    if workers and 0 < len(devices) < workers:
        told = (
            f"workers = {workers} share {len(devices)} GPU{'s' if len(devices) > 1 else ''}: one each is usually best."
        )
        warnings.warn(told, UserWarning, stacklevel=2)
    with _quietly(), contextlib.ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers or 1,
                threads_per_worker=threads,
                processes=workers is not None,
                worker_class=pinned if devices else None,
                # Everything that we open listens only on loopback.
                host="127.0.0.1",
                protocol="tcp://",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                # The size of a block bounds the memory, so Dask must not pause or kill workers because of it.
                memory_limit=0,
                # Dask logs an error if a worker ends during its heartbeat, which is harmless. Real errors we report ourselves.
                silence_logs=logging.CRITICAL,
            )
        )
        yield stack.enter_context(Client(cluster, set_as_default=False))
