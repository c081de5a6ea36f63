"""Who does the work: threads, processes or a cluster, all through Dask."""

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

#: A worker that died with a block is given it once more; a block that kills every worker fails.
_DEATHS = 1
#: A remote scheduler without workers, or without the resources asked for, is an error after so long.
_NO_WORKERS = "60s"
#: A scheduler that does not answer is an error after so long.
_CONNECT = "10s"
#: Of Dask, while a run goes on.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS,
    "distributed.scheduler.no-workers-timeout": _NO_WORKERS,
    "distributed.worker.daemon": True,
    # Dask looks at itself a hundred times a second, and takes the interpreter's lock from the threads that simulate.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    from distributed.utils import silence_logging_cmgr

    # What Ctrl-C breaks off within Dask would be shown as an error there.
    with dask.config.set(_SETTINGS), silence_logging_cmgr(logging.CRITICAL, root="tornado.application"):
        yield


@contextlib.contextmanager
def join(scheduler: str, backend: str) -> Iterator[Client]:
    """Connect to a cluster of the user's.

    Parameters
    ----------
    scheduler : str
        Its address.
    backend : str
        Which every worker must have, or ``"auto"``.

    Raises
    ------
    BackendError
        If the scheduler cannot be reached, or a worker cannot do the work.
    """
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    with _quietly(), contextlib.ExitStack() as stack:
        try:
            # A client of an address that is none would wait for itself at its end.
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
    """Start our own cluster on this machine.

    Parameters
    ----------
    workers : int or None
        Processes; None is the threads of this one.
    threads : int
        Of each process.
    devices : sequence of str
        What ``CUDA_VISIBLE_DEVICES`` may name: each process sees one of them and no other.
    """
    from distributed import Client, LocalCluster, Nanny

    def pinned(address: str, *, name: int, **options: Any) -> Nanny:
        # A process that is started anew in place of a dead one has the same nanny, and so the same device.
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
                # Everything that we open listens on loopback alone.
                host="127.0.0.1",
                protocol="tcp://",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                # The engine bounds its memory by the block; Dask must not pause or kill for it.
                memory_limit=0,
                # A worker that ends while it says that it lives is no error, and those that are we tell ourselves.
                silence_logs=logging.CRITICAL,
            )
        )
        yield stack.enter_context(Client(cluster, set_as_default=False))
