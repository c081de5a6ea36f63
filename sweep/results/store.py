"""The Zarr store. It is created as a whole, written block by block, and a run can go on after ``kill -9``.

One block is one chunk of every variable. ``status`` is written last, and in a finished block it is never 0. So it tells the
program which blocks are finished, and the user which sets to use. A chunk has a checksum. Zarr writes a chunk into a temporary
file and renames it, so no chunk is ever half written. Nothing is synced to disk, so a run survives ``kill -9``, but not a
power failure.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from zarr.core.array_spec import ArrayConfigParams

from sweep.backends.registry import PROVENANCE
from sweep.checks import checked
from sweep.checks.paths import local
from sweep.design.design import Block
from sweep.errors import RunError, StoreError
from sweep.job import Job
from sweep.observables import STATUS
from sweep.results import dataset, journal

FORMAT = 1
TAG = "tausweep_format"
#: This is not an identifier, so no dimension of a design can have the same name.
JOB_ARRAYS = "job-arrays"
#: Coordinates with at most this many values are loaded when a store is opened.
_SMALL = 2**20
#: How many statuses are read at a time.
_STATUSES = 2**22
#: A chunk of zeros must be written too. Otherwise its block would look as if it had never been computed.
_CONFIG: ArrayConfigParams = {"write_empty_chunks": True}


class Store:
    """One store on disk, open for writing blocks.

    Parameters
    ----------
    path : Path
        Path of a store that :func:`sweep.results.creation.create` has made.

    Attributes
    ----------
    path : Path
        Path of the store.
    job : Job
        The job, as it was when the store was created. Its blocks are the chunks.

    Raises
    ------
    StoreError
        If there is no tausweep store at the path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local("store", path, StoreError)
        attrs = check_ours(self.path)
        group = zarr.open_group(self.path, mode="r+")
        nested = group.get(JOB_ARRAYS)
        names = nested.array_keys() if isinstance(nested, zarr.Group) else ()
        arrays = {name: np.asarray(cast(zarr.Array[Any], group[f"{JOB_ARRAYS}/{name}"])[...]) for name in names}
        self.job = Job.from_spec(json.loads(attrs["job"]), arrays)
        self._arrays = {
            variable.name: cast(zarr.Array[Any], group[variable.name]).with_config(_CONFIG)
            for variable in self.job.variables
        }

    def _chunk(self, name: str, block: Block) -> Path:
        """Return the path of a block's chunk of a variable."""
        sets = self.job.blocks.shape
        index = [str(start // size) for start, size in zip(block.start, sets, strict=True)]
        others = ["0"] * (self._arrays[name].ndim - len(sets))
        return self.path.joinpath(name, "c", *index, *others)

    def write(self, block: Block, results: Mapping[str, np.ndarray], provenance: Mapping[str, str]) -> None:
        """Write the results of a block, ``(set, ...)`` by variable, ``status`` last.

        Parameters
        ----------
        block : Block
            The block.
        results : mapping of str to ndarray
            Every variable.
        provenance : mapping of str to str
            What has computed them, from :func:`sweep.backends.registry.provenance`.

        Raises
        ------
        RunError
            If the disk is full, or the store cannot be written.
        """
        self._put(block, results, "computed", **provenance)

    def write_failed(self, block: Block, error: str) -> None:
        """Mark a block as failed, so that the next run tries it again. Raises the same errors as :meth:`write`."""
        results = {
            v.name: np.full((block.size, *v.shape), np.nan if v.dtype.kind == "f" else STATUS["failed"], dtype=v.dtype)
            for v in self.job.variables
        }
        self._put(block, results, "failed", first_set=list(block.start), error=error)

    def _put(self, block: Block, results: Mapping[str, np.ndarray], event: str, **details: object) -> None:
        try:
            self.discard(block)
            # Noted before the block is finished, so that the last line about a finished block is always true.
            self.note(event, block=block.number, **details)
            for variable in self.job.variables:
                values = results[variable.name].reshape((*block.shape, *variable.shape))
                self._arrays[variable.name][block.slices or ...] = values
        except OSError as error:
            raise RunError(
                f"block {block.number} could not be written to {self.path}: {error}. Make room or make it writable, and "
                "run again to go on."
            ) from error

    def discard(self, block: Block) -> None:
        """Remove a block's chunks. The status is removed first, so that a half-written block never looks finished."""
        for variable in reversed(self.job.variables):
            self._chunk(variable.name, block).unlink(missing_ok=True)

    def pending(self) -> list[int]:
        """Return the numbers of the blocks that still have to be computed, in order.

        A block is pending if one of its chunks is missing or empty, or if its status is missing, cannot be read, or is
        ``not_run`` or ``failed``.
        """
        complete = set.intersection(*(self._present(variable.name) for variable in self.job.variables))
        done = (STATUS["ok"], STATUS["diverged"])
        finished = {
            number for number, status in self._statuses(complete) if status is not None and np.isin(status, done).all()
        }
        return [number for number in range(len(self.job.blocks)) if number not in finished]

    def damaged(self) -> list[Path]:
        """Return the paths of chunks that exist but cannot be read. This reads every chunk."""
        found = []
        for name, array in self._arrays.items():
            for number in sorted(self._present(name)):
                block = self.job.blocks[number]
                try:
                    array[block.slices or ...]
                except Exception:  # a damaged chunk may raise any exception in a codec
                    found.append(self._chunk(name, block))
        return found

    def _statuses(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yield the numbers of some blocks, in order, with the status of their sets; None if it cannot be read."""
        blocks = self.job.blocks
        # Many blocks are read together, because reading single ones is slow. But never all: there may be any number of them.
        for slab in blocks.slabs(_STATUSES):
            numbers = [number for number in slab if number in wanted]
            corner = blocks[slab[0]].start
            region = self._status(corner, blocks[slab[-1]].stop) if numbers else None
            for number in numbers:
                start, stop = blocks[number].start, blocks[number].stop
                if region is None:  # a chunk is damaged, so read them one by one
                    yield number, self._status(start, stop)
                else:
                    within = zip(corner, start, stop, strict=True)
                    yield number, region[tuple(slice(a - first, b - first) for first, a, b in within)]

    def _status(self, start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray | None:
        """Return the status of a region; None if it cannot be read."""
        try:
            return np.asarray(self._arrays["status"][tuple(map(slice, start, stop)) or ...])
        except Exception:  # a damaged chunk may raise any exception in a codec; it is computed again
            return None

    def _present(self, name: str) -> set[int]:
        """Return the numbers of the blocks whose chunk of a variable exists and is not empty."""
        # One walk over the folders is faster than a system call for each chunk.
        sizes: dict[Path, int] = {}
        root = self.path / name / "c"
        if root.is_file():
            sizes[root] = root.stat().st_size
        stack = [root] if root.is_dir() else []
        while stack:
            for entry in os.scandir(stack.pop()):
                if entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
                else:
                    sizes[Path(entry.path)] = entry.stat().st_size
        return {block.number for block in self.job.blocks if sizes.get(self._chunk(name, block), 0) > 0}

    def counts(self) -> dict[str, int]:
        """Return the number of sets with each status. A set whose status cannot be read counts as ``not_run``."""
        found = dict.fromkeys(STATUS, 0)
        for number, status in self._statuses(range(len(self.job.blocks))):
            if status is None:
                found["not_run"] += self.job.blocks[number].size
                continue
            for name, value in STATUS.items():
                found[name] += int((status == value).sum())
        return found

    def failures(self) -> list[dict[str, Any]]:
        """Return the journal's lines about blocks that have failed and have not been computed since then."""
        said = {n: event for n, event in journal.last_of_blocks(self.path).items() if event.get("event") == "failed"}
        statuses = self._statuses(said)
        return [said[n] for n, status in statuses if status is not None and (status == STATUS["failed"]).all()]

    def sweep_up(self) -> None:
        """Remove the temporary files of writers that were killed. Call this under the lock, when no one else writes."""
        for leftover in self.path.rglob("*.partial"):
            leftover.unlink(missing_ok=True)

    def note(self, event: str, **details: object) -> None:
        """Add a line to the journal."""
        journal.note(self.path, event, **details)

    def sign(self) -> None:
        """Write into the attributes what has computed which blocks, for readers that do not use tausweep."""
        zarr.open_group(self.path, mode="r+").update_attributes(dataset.provenance(computed_by(self.path)))


def computed_by(path: Path) -> list[dict[str, str]]:
    """Return what has computed the finished blocks of a store, from its journal.

    Returns
    -------
    list of dict
        The provenance (:func:`sweep.backends.registry.provenance`) of some blocks, and ``blocks``, their numbers: ``0-3, 7``.
    """
    last = journal.last_of_blocks(path)
    corners = itertools.product(*map(range, zarr.open_array(path / "status", mode="r").cdata_shape))
    chunks, blocks = path / "status" / "c", dict[tuple[str, ...], list[int]]()
    for number, corner in enumerate(corners):
        event = last.get(number, {})
        if event.get("event") == "computed" and os.path.exists(os.path.join(chunks, *map(str, corner))):
            blocks.setdefault(tuple(event.get(key, "") for key in PROVENANCE), []).append(number)
    return [
        dict(zip(PROVENANCE, said, strict=True)) | {"blocks": journal.ranges(numbers)}
        for said, numbers in blocks.items()
    ]


def check_ours(path: Path) -> dict[str, Any]:
    """Return the attributes of a tausweep store; raise StoreError if it is none, or has another format."""
    if not path.exists():
        raise StoreError(f"there is no store at {path}: run a job with this path first, or correct it.")
    try:
        attrs: dict[str, Any] = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        number = attrs[TAG]
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{path} is not a store of tausweep: it was left untouched. Choose another path.") from None
    if number != FORMAT:
        raise StoreError(
            f"{path} has the store format {number}, and this version reads format {FORMAT}. Use the version of tausweep "
            f"that wrote it ({attrs.get('source', 'unknown')})."
        )
    return attrs


@checked
def open_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a store lazily.

    Parameters
    ----------
    path : path
        Path of a store written by :func:`sweep.run`, finished or not.

    Returns
    -------
    xarray.Dataset
        Backed by Dask, with a chunk for each block. Sets that were not run have the status ``not_run``, and NaN as results.

    Raises
    ------
    StoreError
        If there is no tausweep store at the path.
    """
    path = local("store", path, StoreError)
    check_ours(path)
    opened: xr.Dataset = xr.open_zarr(path, chunks={}, consolidated=True)
    if journal.path_of(path).exists():
        opened.attrs |= dataset.provenance(computed_by(path))
    # Labels are loaded, because they are often looked at. Only those of a very large sampled design stay on disk.
    return opened.assign_coords({name: c.load() for name, c in opened.coords.items() if c.size <= _SMALL})
