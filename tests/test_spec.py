"""Jobs to JSON and back: nothing is lost, and only jobs can be built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from support import ROOT

import sweep
from sweep import Integration, Job, Model, Target, gaussian, grid, record, replicates, zipped
from sweep.checks.caution import silence
from sweep.errors import JobError
from sweep.job import Report
from sweep.signals.signal import Signal
from sweep.signals.targets import model_output
from sweep.spec import KINDS, decode, differences, encode, later, stored

SIGNALS: list[Signal] = [
    sweep.constant([0.1, 0.2]),
    sweep.step(5.0, after=[1.0, 2.0]),
    sweep.pulse(1.0, 2.0, [1.0, 3.0], period=4.0),
    sweep.pulse(1.0, 2.0, [1.0, 3.0]),
    sweep.sine([1.0, 2.0], 3.0, 0.1, -1.0),
    sweep.white_noise(0.5, seed=2**64 - 1, channels=2),
    sweep.white_noise(0.5, seed=1, channels=2, interval=3.0),
    sweep.samples(np.random.default_rng(0).normal(size=(2, 50)), interval=1 / 3),
]
TARGETS: list[Any] = [
    Target(sweep.spikes([1.0, 2.0, 9.5])),
    Target(sweep.spikes([1.0, 2.0, 9.5], window=1.0, duration=20.0), lags=[-1, 0, 0.5]),
    Target(model_output({"tau_s": 3.0, "bias": np.array([0.1, 0.2])}, weights=np.eye(2))),
    [Target(model_output({})), Target(sweep.sine(amplitude=[1.0, 2.0]))],
]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    DESIGNS = [
        sweep.Design(()),
        grid(tau_s=np.geomspace(1, 100, 7), **{"W[0,1]": [0.1, 1 / 3]}, noise=[0.2]) * replicates(3),
        zipped("point", tau_r=np.random.default_rng(1).uniform(1, 9, (4, 2)), network=[0, 1, 1, 0]),
        sweep.sobol(8, 1, tau_s=(1, 100, "log"), gain=(-1, 1)),
        sweep.latin_hypercube(5, 1, bias=(0, 1)) * grid(stimulus=[0, 1]),
        sweep.random(5, 2, noise=(0, 1)),
        sweep.table("row", {"tau_s[1]": [1.0, 2.0], "slope": [0.1, 0.2]}),
    ]


def job(**fields: Any) -> Job:
    """Return a job with something in every field, some of them replaced."""
    base = {
        "model": Model(
            units=2,
            weights=gaussian(units=2, seed=1, networks=2),
            parameters={"tau_s": np.array([2.0, 1 / 3 + 1]), "gain": 0.1},
        ),
        "input": [sweep.sine(), sweep.constant(0.3)],
        "target": Target(sweep.constant(1.0)),
        "design": grid(slope=[0.1, 0.2]),
        "integration": Integration(dt=0.1, duration=6, transient=1, scheme="simultaneous", precision="float64"),
        "observe": ["r_mean", "target_mse", record("r", every=3, units=[1])],
        "seed": 2**64 - 1,
        "noise_pairing": "common",
        "sets_per_block": 3,
        "report": Report(variable="r_mean", best="min", select={"unit": 1}),
        "title": "τ",
        "description": "of the round trip",
    }
    with silence():  # some of the parts are traps
        return Job(**(base | fields))


JOBS = [
    job(),
    Job(model=Model(units=1), integration=Integration(dt=1, duration=2), observe="r_mean"),
    *(job(input=signal) for signal in SIGNALS),
    *(job(target=target) for target in TARGETS),
    *(job(design=design, report=None) for design in DESIGNS),
]


@pytest.mark.parametrize("before", JOBS, ids=range(len(JOBS)))
def test_a_job_survives_json(before: Job) -> None:
    """Of jobs of every kind the spec, the hash, the sets and their noise are the same after a round trip."""
    data, arrays = before.spec()
    text = json.dumps(data, allow_nan=False)
    stored = {
        digest: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape) for digest, array in arrays.items()
    }
    after = Job.from_spec(json.loads(text), stored)
    assert after.hash == before.hash
    assert json.dumps(after.spec()[0]) == text
    assert set(after.spec()[1]) == set(arrays)
    assert after.blocks == before.blocks
    assert after.report == before.report
    assert after.title == before.title
    for block in before.blocks:
        old, new = before.parameter_sets(block), after.parameter_sets(block)
        assert old.stream.tobytes() == new.stream.tobytes()
        for name, values in old.values.items():
            assert values.tobytes() == new.values[name].tobytes()


def test_results_survive_json() -> None:
    """A stored job computes the same results, to the last bit."""
    before = job()
    data, arrays = before.spec()
    after = Job.from_spec(json.loads(json.dumps(data)), arrays)
    first, second = (sweep.simulate(each, backend="numpy") for each in (before, after))
    for name in first.data_vars:
        assert first[name].values.tobytes() == second[name].values.tobytes(), name


def test_stored_kinds_keep_their_names() -> None:
    """Stores contain these names. New ones may be added, but none may ever be renamed or removed, even if its class is."""
    assert set(KINDS) == {
        *("Job", "Model", "Integration", "Record", "Report", "Target"),
        *("Design", "HeldAxis", "SampledAxis", "Range"),
        *("Constant", "Step", "Pulse", "Sine", "WhiteNoise", "Samples", "Spikes", "ModelOutput"),
    }


def test_stored_kinds_are_all_known_where_a_job_is() -> None:
    """A store may be opened by a process that has imported nothing else."""
    code = "import sys, sweep.job, sweep.spec; print(len(sweep.spec.KINDS), 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(KINDS)), "False"]


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the kinds that a test registers."""
    monkeypatch.setattr("sweep.spec.KINDS", dict(KINDS))
    monkeypatch.setattr("sweep.spec._NAMES", {cls: kind for kind, cls in KINDS.items()})


@pytest.mark.usefixtures("kinds")
def test_a_class_may_be_renamed_but_a_stored_kind_is_one_class() -> None:
    """What is written is the kind, not the name of the class; a second class of that kind is refused."""

    @stored("Thing")
    @dataclass(frozen=True)
    class Renamed:
        n: int

    assert encode(Renamed(1), {}) == {"$class": "Thing", "n": 1}
    assert decode({"$class": "Thing", "n": 1}, {}) == Renamed(1)
    with pytest.raises(ValueError, match="stored kind 'Thing' is Renamed already: Other needs another"):

        @stored("Thing")
        @dataclass(frozen=True)
        class Other:
            n: int


@pytest.mark.usefixtures("kinds")
def test_a_later_field_changes_the_data_of_those_alone_that_use_it() -> None:
    """It is left out while it has its default, and older data without it get the default."""

    @stored("Thing")
    @dataclass(frozen=True)
    class Thing:
        n: int
        start: float = later(0.0)
        read: str | None = later(None)

    assert encode(Thing(1), {}) == {"$class": "Thing", "n": 1}
    assert encode(Thing(1, 2.0, "mean"), {}) == {"$class": "Thing", "n": 1, "start": 2.0, "read": "mean"}
    for thing in (Thing(1), Thing(1, 2.0), Thing(1, read="mean")):
        assert decode(encode(thing, {}), {}) == thing
    array = encode(Thing(1, np.zeros(2), np.ones(2)), {})
    assert set(array) == {"$class", "n", "start", "read"}


def test_equal_arrays_are_stored_once() -> None:
    """Arrays are named by their content, type and shape."""
    arrays: dict[str, np.ndarray] = {}
    ones = np.ones(4)
    encoded = encode([ones, np.ones(4), np.ones((2, 2)), np.ones(4, dtype=np.float32), 2 * ones], arrays)
    assert len(arrays) == 4
    assert encoded[0] == encoded[1]
    assert encoded[0]["shape"] == [4]
    big_endian: dict[str, np.ndarray] = {}
    encode(np.ones(4, dtype=">f8"), big_endian)
    assert set(big_endian) <= set(arrays)


def test_only_data_can_be_part_of_a_job() -> None:
    """Functions, files and the like are refused when they are encoded."""
    with pytest.raises(TypeError, match="function cannot be part of a job"):
        encode({"f": test_only_data_can_be_part_of_a_job}, {})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"$class": "Popen", "args": "ls"}, r"unknown kind 'Popen': was it written by another version"),
        ({"$class": "Path"}, r"unknown kind 'Path'"),
        ({"$class": "Job", "model": {"$class": "object"}}, r"unknown kind 'object'"),
        ([{"$class": "np.ndarray"}], r"unknown kind 'np\.ndarray'"),
        (
            {"$class": "Integration", "dt": 1.0, "duration": 2.0, "jitter": 1.0},
            r"has Integration\.jitter, which is unknown: was it written by another version",
        ),
        ({"$array": "abc", "shape": [2]}, r"lacks the array 'abc': the store is damaged"),
        ({"$class": "Integration", "dt": 1.0, "duration": 2.0}, r"the stored job is a Integration, not a Job"),
        ([], r"the stored job is a tuple, not a Job"),
    ],
)
def test_nothing_but_a_job_is_rebuilt(data: Any, message: str) -> None:
    """Unknown classes, missing arrays and parts of a job are errors; nothing named in a store is ever called."""
    with pytest.raises(JobError, match=message):
        Job.from_spec(data, {})


def test_a_changed_value_is_checked_again() -> None:
    """Data from a store pass the same checks as arguments of a user."""
    data, arrays = job().spec()
    data["integration"]["dt"] = -1.0
    with pytest.raises(JobError, match=r"integration\.dt = -1: must be above 0"):
        Job.from_spec(data, arrays)


def test_decoding_plain_data_is_the_identity() -> None:
    """Numbers, strings and mappings are themselves, and lists become tuples."""
    data = {"a": 1, "b": [1.5, None, "x", True], "c": {"d": []}}
    assert decode(data, {}) == {"a": 1, "b": (1.5, None, "x", True), "c": {"d": ()}}


def test_differences_name_the_keys() -> None:
    """Differences are listed with a line for each key; arrays by their shape, long values shortened."""
    old = job(report=None).spec()[0]
    changed = job(
        integration=Integration(dt=0.2, duration=6, transient=1, scheme="simultaneous", precision="float64"),
        design=grid(slope=[0.1, 0.3, 0.5]),
        observe=["r_mean", "target_mse"],
        report=None,
    ).spec()[0]
    lines = differences(old, changed)
    assert lines[0] == "integration.dt: 0.1 -> 0.2"
    assert [line.partition(":")[0] for line in lines] == ["integration.dt", "observe", "design.axes[0].columns.slope"]
    assert re.fullmatch(r".*: array\(2,\) \w{8} -> array\(3,\) \w{8}", lines[2])
    assert all(len(line) < 160 for line in lines)
    assert differences(old, old) == []
