"""Who does the work: threads, processes or a cluster, all through Dask."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dask

from sweep.errors import BackendError

if TYPE_CHECKING:
    from distributed import Client

#: A worker that died with a block is given it once more; a block that kills every worker fails.
_DEATHS = 1
#: A remote scheduler without workers, or without the resources asked for, is an error after so long.
_NO_WORKERS = "60s"
#: A scheduler that does not answer is an error after so long.
_CONNECT = "10s"


@contextlib.contextmanager
def connect(workers: int | None, scheduler: str | None, threads: int) -> Iterator[Client]:
    """Connect to who does the work: processes here, a cluster that is there, or so many threads of this process.

    Raises
    ------
    BackendError
        If the cluster cannot be reached.
    """
    from distributed import Client, LocalCluster
    from distributed.comm.addressing import get_address_host_port
    from distributed.utils import silence_logging_cmgr

    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.scheduler.no-workers-timeout": _NO_WORKERS,
        "distributed.worker.daemon": True,
        # Dask looks at itself a hundred times a second, and takes the interpreter's lock from the threads that simulate.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        # What Ctrl-C breaks off within Dask would be shown as an error there.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL, root="tornado.application"))
        if scheduler is not None:
            try:
                # A client of an address that is none would wait for itself at its end.
                get_address_host_port(scheduler, strict=True)
                client = stack.enter_context(Client(scheduler, timeout=_CONNECT, set_as_default=False))
            except (OSError, ValueError) as error:
                raise BackendError(
                    f"scheduler = {scheduler!r} cannot be reached: {error}. Start one with 'dask scheduler', or correct it."
                ) from None
            yield client
            return
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers or 1,
                threads_per_worker=1 if workers else threads,
                processes=workers is not None,
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
