"""Create a store, under a lock, completely or not at all."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from filelock import FileLock, Timeout
from zarr.codecs import ZstdCodec
from zarr.errors import ZarrUserWarning

from sweep.errors import StoreError
from sweep.job import Job
from sweep.results import dataset
from sweep.results.store import FORMAT, JOB_ARRAYS, TAG, Store, check_ours


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of a store, without which nobody may write to it.

    The lock is on a file next to the store. Network file systems are not supported.

    Raises
    ------
    StoreError
        If another run holds the lock (this does not wait for it), or if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        held.acquire()
    except Timeout:
        raise StoreError(f"{path} is being written by another run: wait for it, or stop it first.") from None
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written: {error.strerror}. Choose another folder.") from None
    try:
        yield
    finally:
        held.release()


def open_or_create(path: Path, job: Job, *, overwrite: bool) -> Store:
    """Create a store for a job, or open an existing one to continue it. Call this under the lock.

    Raises
    ------
    StoreError
        If there is something else at the path, or a store with another job. It is left untouched.
    """
    if _building(path).exists():  # left by a run that was killed
        shutil.rmtree(_building(path))
    if path.exists() or path.is_symlink():
        attrs = check_ours(path)
        if not overwrite:
            store = Store(path)
            # A store of earlier has values such as 0.1 * 3, which are 0.3 today. It goes on with its own.
            stored = store.job if store.job.hash == job.hash else store.job.changed(design=store.job.design.meant())
            changed = stored.changes(job) and store.job.changes(job)
            if changed:
                listed = "\n  ".join(changed)
                raise StoreError(
                    f"{path} holds another job, and was left untouched. It differs in\n  {listed}\n"
                    "Choose another path, or overwrite (--overwrite)."
                )
            if attrs.get("job_hash") != store.job.hash:
                raise StoreError(
                    f"{path} holds this job, and was left untouched: {attrs.get('source', 'another version')} computed other "
                    "results for it than this version does. Choose another path, or overwrite (--overwrite)."
                )
            store.sweep_up()
            return store
        # Moved away in one step, so that there is never half a store at the path.
        path.rename(_building(path))
        shutil.rmtree(_building(path))
    create(path, job)
    return Store(path)


def create(path: Path, job: Job) -> None:
    """Create a store with everything except the results. It is built under another name and then renamed."""
    job = job.changed(sets_per_block=job.most_sets_per_block)
    building = _building(path)
    try:
        root = zarr.create_group(store=building, attributes=_plain(dataset.attributes(job) | {TAG: FORMAT}))
        for digest, array in job.spec()[1].items():
            root.create_array(f"{JOB_ARRAYS}/{digest}", data=array, compressors=_codec())
        coordinates = dataset.coordinates(job)
        for name, coordinate in coordinates.items():
            root.create_array(
                name,
                data=coordinate.to_numpy(),
                compressors=_codec(),
                dimension_names=[str(dim) for dim in coordinate.dims],
                attributes=_plain(coordinate.attrs),
            )
        for variable in job.variables:
            shape = (*job.design.shape, *variable.shape)
            root.create_array(
                variable.name,
                shape=shape,
                chunks=tuple(max(1, size) for size in (*job.blocks.shape, *variable.shape)),
                dtype=variable.dtype,
                fill_value=np.nan if variable.dtype.kind == "f" else 0,
                compressors=_codec(),
                dimension_names=list(dataset.dims(job, variable)),
                attributes=_plain(variable.attrs),
            )
        root.attrs["coordinates"] = " ".join(name for name in coordinates if (name,) != coordinates[name].dims)
        with warnings.catch_warnings():
            # Zarr warns that other programs may not read consolidated metadata. xarray does, and the others read the metadata of
            # the arrays.
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(building)
        building.rename(path)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise StoreError(f"{path} cannot be created: {error.strerror or error}. Choose another path.") from error


def _building(path: Path) -> Path:
    """Return the path under which a store is built and deleted. The lock of the store protects it too."""
    return path.with_name(f".{path.name}.creating")


def _codec() -> ZstdCodec:
    return ZstdCodec(level=1, checksum=True)


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes in types that JSON knows."""
    return {str(k): v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in attrs.items()}
