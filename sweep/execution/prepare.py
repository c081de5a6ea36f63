"""Prepare a job, once for all back ends and blocks; and simulate a block with a back end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from sweep.backends.protocol import Backend, PreparedJob, Results
from sweep.backends.registry import get_backend
from sweep.backends.series import TargetSeries
from sweep.checks.caution import silence
from sweep.checks.decimals import shortest
from sweep.design.arrays import ParameterSets
from sweep.design.design import Block
from sweep.errors import JobError
from sweep.job import Job
from sweep.model.parameters import Array
from sweep.signals.targets import ModelOutput, Target

#: The values of the followed parameters, in the order of :attr:`Job.followed`.
_Followed = tuple[float, ...]

#: Bytes of the series that a process keeps, and of those that it makes at a time.
_MOST_KEPT, _AT_A_TIME = 2**28, 2**26
_lock = threading.Lock()
_kept: dict[tuple[str, str, _Followed], tuple[int, TargetSeries]] = {}


def prepare(job: Job, engine: Backend | None = None) -> PreparedJob:
    """Prepare a job for its first set: sample its targets, once per process for all blocks and threads.

    Parameters
    ----------
    job : Job
        The job, with or without targets.
    engine : Backend, optional
        The back end of the run, which simulates a model that makes a target; by default NumPy's.

    Returns
    -------
    PreparedJob
        The job and its targets, for a back end. They are those of all sets if no target follows what a set has.

    Raises
    ------
    JobError
        If the model that makes a target diverges.
    """
    if not job.targets:
        return PreparedJob(job, None)
    first = tuple(float(job.design.axis(name).values(0, 1)[name][0]) for name in job.followed)
    return PreparedJob(job, _series(job, engine or get_backend("numpy"), [first])[0])


def simulate_block(
    engine: Backend,
    job: Job,
    block: Block,
    batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Results:
    """Simulate the sets of a block. If the memory is not enough, try smaller and smaller batches.

    Parameters
    ----------
    engine : Backend
        The back end.
    job : Job
        The job.
    block : Block
        The sets.
    batch : int, optional
        The largest number of sets to simulate at once.
    progress : callable, optional
        See :meth:`sweep.backends.protocol.Backend.simulate`.

    Returns
    -------
    dict of str to ndarray
        Every variable, ``(set, ...)``.

    Raises
    ------
    MemoryError
        If not even a single set fits.
    JobError
        If the model that makes a target diverges.
    """
    parameters = job.parameter_sets(block)
    while True:
        try:
            results = _simulated(engine, job, parameters, batch, progress)
            times = results["diverged_at"]
            lost = np.isfinite(times)
            if lost.any():  # mostly there are none, and this takes its time
                times[lost] = shortest(times[lost])
            return results
        except MemoryError:
            if (batch or block.size) <= 1:
                raise
        # Outside the except clause, because its traceback would keep the arrays alive.
        batch = max(1, (batch or block.size) // 2)


def _simulated(
    engine: Backend,
    job: Job,
    parameters: ParameterSets,
    batch: int | None,
    progress: Callable[[int], None] | None,
) -> Results:
    """Simulate sets, together those that are compared with the same targets."""
    results: Results = {}
    for chosen, prepared in _alike(job, engine, parameters):
        if chosen is None:
            return engine.simulate(prepared, parameters, batch=batch, progress=progress)
        for name, own in engine.simulate(prepared, parameters.take(chosen), batch=batch, progress=progress).items():
            results.setdefault(name, np.empty((parameters.size, *own.shape[1:]), own.dtype))[chosen] = own
    return results


def _alike(
    job: Job, engine: Backend, parameters: ParameterSets
) -> Iterator[tuple[npt.NDArray[np.intp] | None, PreparedJob]]:
    """Yield the sets that are compared with the same targets, None if these are all, and the job prepared for them."""
    if not job.followed:
        yield None, prepare(job, engine)
        return
    values = {**parameters.selectors, **parameters.input_numbers}
    own = np.stack([np.broadcast_to(values[name], (parameters.size,)) for name in job.followed], dtype=np.float64)
    rows, group = np.unique(own, axis=1, return_inverse=True)
    group = group.reshape(-1)
    followed: list[_Followed] = [tuple(row) for row in rows.T.tolist()]
    some = max(1, _AT_A_TIME // _bytes(job))
    for start in range(0, len(followed), some):
        for number, series in enumerate(_series(job, engine, followed[start : start + some]), start):
            chosen = np.flatnonzero(group == number) if len(followed) > 1 else None
            yield chosen, PreparedJob(job, series)


def _series(job: Job, engine: Backend, followed: list[_Followed]) -> list[TargetSeries]:
    """Return the targets of sets by what is followed of them; made once, and kept while there is room."""
    keys = [(job.target_hash, engine.name, each) for each in followed]
    with _lock:
        missing = [each for key, each in zip(keys, followed, strict=True) if key not in _kept]
        made = dict(zip(missing, _made(job, engine, missing), strict=True)) if missing else {}
        for key, each in zip(keys, followed, strict=True):
            # The one that was used last comes last.
            _kept[key] = _kept.pop(key) if key in _kept else (_bytes(job), made[each])
        found = [_kept[key][1] for key in keys]
        while len(_kept) > 1 and sum(size for size, _ in _kept.values()) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
    return found


def _bytes(job: Job) -> int:
    """Return about how many bytes the targets of a set take."""
    return 8 * len(job.targets) * job.model.units * len(job.comparisons.read)


def _made(job: Job, engine: Backend, followed: list[_Followed]) -> Iterator[TargetSeries]:
    """Yield the targets of sets by what is followed of them."""
    values = [_values(job, engine, target, followed) for target in job.targets]
    return (TargetSeries.of(job, own) for own in zip(*values, strict=True))


def _values(job: Job, engine: Backend, target: Target, followed: list[_Followed]) -> list[Array]:
    """Return the values of a target, ``(unit or 1, measurement)`` each, by what is followed of the sets."""
    if not isinstance(target.signal, ModelOutput):
        return [job.comparisons.values(target.signal, job.integration.dt)] * len(followed)
    names = target.signal.followed(job.design.swept)
    own = [tuple(each[job.followed.index(name)] for name in names) for each in followed]
    distinct = list(dict.fromkeys(own))  # another target may follow more
    columns = {
        name: np.array(column, dtype=np.float64)
        for name, column in zip(names, zip(*distinct, strict=True), strict=True)
    }
    with silence():  # the job has been checked with its teacher
        teacher = job.teacher(target.signal, columns)
    own_noise, read = target.signal.own_noise, job.comparisons.read
    rates = dict(zip(distinct, _rates(engine, teacher, own_noise, read), strict=True))
    for each, values in rates.items():
        if not np.isfinite(values).all():
            said = "".join(f" with {name} = {value:g}" for name, value in zip(names, each, strict=True))
            raise JobError(f"target (model): the model{said} diverges, so it cannot be a target. Lower its gain.")
    return [rates[each] for each in own]


def _rates(engine: Backend, teacher: Job, own_noise: bool, read: range) -> Array:
    """Return the rates of all sets of a teacher in the steps that are read, ``(set, unit, step)``."""
    sets = teacher.parameter_sets(teacher.design.blocks(teacher.design.size)[0])
    own = [teacher.comparisons.values(target.signal, teacher.integration.dt) for target in teacher.targets]
    prepared = PreparedJob(teacher, TargetSeries.of(teacher, own))
    recorded = engine.simulate(prepared, sets.teachers() if own_noise else sets)["r"]
    first = read.start - teacher.integration.transient_steps
    return recorded[:, first : first + len(read)].transpose(0, 2, 1).astype(np.float64)
