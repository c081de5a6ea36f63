"""Calls with wrong arguments: the public functions and classes say what would be right."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from sweep import spec
from sweep.checks.calls import called
from sweep.errors import JobError

JOB = sweep.Job(
    model=sweep.Model(units=1),
    integration=sweep.Integration(dt=1, duration=4),
    observe=["r_mean"],
    design=sweep.grid(gain=[1.0, 2.0]),
)

WRONG: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: sweep.constant(amplitude=1),
        r"constant: amplitude = 1: there is no such argument\. Did you mean 'value'\?",
    ),
    (lambda: sweep.sine(freq=5), r"sine: freq = 5: .*Did you mean 'frequency'\?"),
    (lambda: sweep.Model(unit=3), r"Model: unit = 3: .*Did you mean 'units'\?"),
    (lambda: sweep.Model(), r"Model: units must be given\. Add units=\.\.\."),
    (lambda: sweep.Job(modell=JOB.model), r"Job: modell = .*Did you mean 'model'\?"),
    (lambda: sweep.Job(JOB.model), r"Job: Model.* is one value too many: it takes none without a name.* model=\.\.\."),
    (lambda: sweep.Integration(dt=0.1, length=3), r"Integration: length = 3: .*Known: dt, duration, transient"),
    (lambda: sweep.Integration(0.1, 3, dt=1), r"Integration: dt = 1: it is given twice\. Leave one of the two out"),
    (lambda: sweep.Integration(0.1, 3, allow_unstable="no"), r"integration\.allow_unstable is a str: .*True or False"),
    (
        lambda: sweep.Model(units=2, activation=["tanh"]),
        r"model\.activation = \['tanh'\] does not exist\. Did you mean",
    ),
    (lambda: sweep.Model(units=2, parameters={1: 2}), r"parameter 1: .*'tau_s'"),
    (lambda: sweep.Model(units=2, parameters=3), r"model\.parameters is a int: give a mapping"),
    (lambda: sweep.Model(units=2, parameters={("a",): 2}), r"parameter \('a',\): "),
    (lambda: dataclasses.replace(JOB, observe=[["r_mean"]]), r"observe = \['r_mean'\]: .*Known: x_mean"),
    (lambda: dataclasses.replace(JOB, title=3), r"title is a int: give a text"),
    (lambda: dataclasses.replace(JOB, modle=3), r"Job: modle = 3: .*'model'"),
    (lambda: sweep.record("r", unit=3), r"record: unit = 3: .*'units'"),
    (lambda: sweep.Report(variable=["r_mean"]), r"variable is a list: give a text"),
    (lambda: sweep.grid([1, 2]), r"grid: \[1, 2\] is one value too many.*by name, such as tau_s=\.\.\."),
    (lambda: sweep.sobol(8, tau_s=(1, 2)), r"sobol: seed must be given\. Add seed=\.\.\."),
    (lambda: sweep.table(), r"table: dim and frame must be given\. Add dim=\.\.\., frame=\.\.\."),
    (lambda: sweep.samples([1, 2], intervall=3), r"samples: intervall = 3: .*'interval'"),
    (lambda: sweep.spikes([1, 2], windows=3), r"spikes: windows = 3: .*'window'"),
    (lambda: sweep.Target(sweep.sine(), lag=[1]), r"Target: lag = \[1\]: .*'lags'"),
    (lambda: sweep.model_output(parameter={}), r"model_output: parameter = \{\}: .*'parameters'"),
    (lambda: sweep.model_output(3), r"model_output\.parameters is a int: give a mapping"),
    (lambda: sweep.gaussian(unit=3, seed=1), r"gaussian: unit = 3: .*'units'"),
    (lambda: sweep.simulate("a.toml"), r"job is a str: give a sweep\.Job, not 'a\.toml'"),
    (lambda: sweep.simulate(JOB, backnd="numpy"), r"simulate: backnd = 'numpy': .*'backend'"),
    (lambda: sweep.simulate(JOB, backend=["numpy"]), r"backend is a list: give a text"),
    (lambda: sweep.lazy(), r"lazy: job must be given"),
    (lambda: sweep.plan(JOB, worker=3), r"plan: worker = 3: .*'workers'"),
    (lambda: sweep.run(JOB), r"run: store must be given"),
    (lambda: sweep.run(JOB, 3), r"store is a int: give a path"),
    (lambda: sweep.run(JOB, "a.zarr", overwrite="no"), r"overwrite is a str: .*True or False"),
    (lambda: sweep.best(sweep.lazy(JOB), "r_mean"), r"report is a str: give a sweep\.Report"),
    (lambda: sweep.plot(sweep.lazy(JOB), z="gain"), r"plot: z = 'gain': .*Known: ds, variable"),
    (lambda: sweep.plot(sweep.lazy(JOB), x=["gain"]), r"x is a list: give a text"),
    (lambda: sweep.plot(sweep.lazy(JOB), select=["gain"]), r"select is a list: give a mapping"),
    (lambda: sweep.open(3), r"path is a int: give a path"),
    (lambda: sweep.load(), r"load: path must be given"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_a_wrong_call_says_what_is_right(
    call: Callable[[], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written then, and no TypeError comes through."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=message):
        call()
    assert list(tmp_path.iterdir()) == []


PUBLIC = [
    name
    for name in sweep.__all__
    if inspect.isfunction(getattr(sweep, name)) or getattr(sweep, name) in spec.KINDS.values()
]


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_takes_an_argument_that_is_not_there(name: str) -> None:
    """What is added is decorated too."""
    with pytest.raises(JobError, match=r"no_such_thing|must be given"):
        getattr(sweep, name)(no_such_thing=1)


def test_a_fault_inside_stays_what_it_is() -> None:
    """Only a wrong call is a JobError: a TypeError of a right call is a fault of ours, and shows where it is."""

    @called
    def broken(n: int) -> int:
        return len(n)

    with pytest.raises(TypeError, match="has no len"):
        broken(1)


@pytest.mark.parametrize("name", ["Model", "Integration", "Job", "Target", "Report", "sine", "grid", "run", "simulate"])
def test_signatures_and_documentation_stay(name: str) -> None:
    """Editors and help() see the arguments."""
    public = getattr(sweep, name)
    assert inspect.getdoc(public)
    assert "args" not in inspect.signature(public).parameters
    assert "self" not in inspect.signature(public).parameters


def test_jobs_still_travel() -> None:
    """A job goes to other processes as it is."""
    assert pickle.loads(pickle.dumps(JOB)).hash == JOB.hash
    assert np.isfinite(sweep.simulate(JOB).r_mean).all()
