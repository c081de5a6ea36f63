"""A job: its parts must fit together, and its hash identifies what it computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import Design, Integration, Job, Model, Target, constant, grid, record, samples, sine, white_noise, zipped
from sweep.errors import JobError
from sweep.job import Report
from sweep.signals.targets import model_output


def make(**fields: Any) -> Job:
    """Return a job that runs, some of its fields replaced."""
    base = {
        "model": Model(units=3, weights=np.eye(3)),
        "integration": Integration(dt=0.5, duration=20, transient=5),
        "observe": ["r_mean"],
    }
    return Job(**(base | fields))


COMPARED = {"observe": ["target_mse"]}
FEW = (
    r"target \(samples\): at the lag \d+ ms 2 of its 30 measurements lie wholly in the observed part of the run, "
    "from 5 to 20 ms, and at least 3 are needed. Lengthen the run"
)
TWO = [sine(), constant(1.0)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "tanh"}, r"model is a str: give a sweep\.Model"),
        ({"integration": 0.5}, r"integration is a float: give a sweep\.Integration"),
        ({"design": {"tau_s": [1]}}, r"design is a dict: give a sweep\.Design"),
        ({"input": np.zeros(3)}, r"input is a ndarray: give a Signal"),
        ({"input": []}, r"input is an empty list: give at least one, or leave it out"),
        ({"target": sine()} | COMPARED, r"target is a Sine: give a Target"),
        ({"seed": -1}, r"seed = -1: must be a whole number of at least 0 and below 18446744073709551616"),
        ({"seed": 2**64}, r"seed = 18446744073709551616"),
        ({"seed": 1.0}, r"seed = 1\.0"),
        ({"noise_pairing": "comon"}, r"noise_pairing = 'comon' does not exist\. Did you mean 'common'\?"),
        ({"sets_per_block": 0}, r"sets_per_block = 0: must be a whole number of at least 1"),
        ({"sets_per_block": True}, r"sets_per_block = True"),
        ({"observe": ["r_maen"]}, r"observe = 'r_maen' does not exist\. Did you mean 'r_mean'\?"),
        ({"observe": ["target_mse"]}, r"observe = 'target_mse': it compares with a target, and the job has none"),
        ({"design": grid(**{"tau_s[3]": [1, 2]})}, r"design: tau_s\[3\] names unit 3, but the model has 3 units"),
        ({"design": grid(**{"W[0,7]": [1, 2]})}, r"design: W\[0,7\] names unit 7"),
        ({"design": zipped("p", bias=np.zeros((2, 4)))}, r"design: bias has 4 values per set.*has 3 units"),
        ({"design": grid(network=[0, 1])}, r"network = 1: the job has 1 weight matrices, counted from 0\. Give more"),
        ({"design": grid(stimulus=[0, 2]), "input": TWO}, r"stimulus = 2: the job has 2 inputs, counted from 0"),
        ({"model": Model(units=3, parameters={"stimulus": 1})}, r"stimulus = 1: the job has 0 inputs"),
        ({"input": [sine(), sine(amplitude=[1, 2, 3])]}, r"input: the signals of an ensemble have \[1, 3\] channels"),
        ({"input": sine(amplitude=[1, 2])}, r"the input has 2 channels and the model 3 units"),
        ({"input": model_output({})}, r"input: the output of a model can be a target, not an input"),
        ({"input": samples(np.zeros(19), 1.0)}, r"input lasts 19 ms but integration\.duration = 20 ms"),
        ({"input": samples(np.zeros((3, 19)), 1.0)}, r"input lasts 19 ms"),
        ({"target": Target(sine(amplitude=[1, 2]))} | COMPARED, r"target has 2 channels: it needs 1.*per unit \(3\)"),
        ({"target": Target(sine(), lags=[0.3])} | COMPARED, r"target\.lags = 0\.3 ms: must be a whole number"),
        ({"target": Target(sine(), lags=[-6])} | COMPARED, r"target\.lags = -6 ms: with integration\.transient = 5 ms"),
        ({"target": [Target(sine()), Target(sine(), lags=[1])]} | COMPARED, r"several targets share their lags"),
        ({"target": Target(samples(np.zeros(19), 1.0), lags=[0, 3])} | COMPARED,
         r"target lasts 19 ms but integration\.duration = 20 ms"),
        ({"target": Target(samples(np.arange(30.0), 1.0), lags=[0, 23])} | COMPARED, FEW),
        ({"target": Target(samples(np.arange(30.0), 1.0), lags=[0, 28])} | COMPARED, FEW.replace("2 of", "0 of")),
        ({"target": Target(model_output({"gain": 1.0}, weights=np.zeros((2, 2))))} | COMPARED,
         r"target \(model\): model\.weights has shape \(2, 2\)"),
        ({"target": Target(model_output({"tau_s": [1.0, 2.0]}))} | COMPARED, r"target \(model\): .*tau_s has"),
        ({"target": Target(model_output({"tau_s": 0.1}))} | COMPARED, r"target \(model\): tau_s = 0\.1 ms.*unstable"),
        ({"target": Target(model_output({}), lags=[3]), "input": samples(np.zeros(20), 1.0)} | COMPARED,
         r"target \(model\): input lasts 20 ms but integration\.duration = 23 ms"),
        ({"report": Report(variable="r_maen")}, r"report\.variable = 'r_maen' is not observed\. Did you mean"),
        ({"report": Report(variable="r_mean", x="tau_s")}, r"report\.x = 'tau_s' is not a coordinate of the result"),
        ({"report": Report(variable="r_mean", select={"lag": 0})}, r"report\.select\.lag is not a coordinate"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    """The message names the key, the value, the rule and the remedy, before anything is computed."""
    with pytest.raises(JobError, match=message):
        make(**fields)


def test_a_report_looks_for_the_best() -> None:
    """The best set has the largest or the smallest value."""
    with pytest.raises(JobError, match=r"report\.best = 'biggest' does not exist\. Known: max, min"):
        Report(variable="r_mean", best="biggest")


def test_what_fits_is_accepted() -> None:
    """Ensembles, lags as long as the transient, and signals that are just long enough are allowed."""
    make(design=grid(network=[0, 1]), model=Model(units=3, weights=np.zeros((2, 3, 3))))
    make(design=grid(stimulus=[0, 1]), input=TWO)
    make(target=Target(samples(np.zeros(23), 1.0), lags=[-5, 0, 3]), **COMPARED)
    make(input=samples(np.zeros((3, 20)), 1.0))
    make(observe="r_mean", seed=np.uint64(2**63))
    make(design=grid(tau_s=[1, 2]), report=Report(variable="r_mean", x="tau_s", y="alpha_s", select={"unit": 0}))


def test_the_layout_of_a_job() -> None:
    """A list of targets, even of one, gives a dimension, and a single target does not."""
    target = Target(sine(), lags=[0, 1])
    single = make(target=target, **COMPARED).variables[0]
    several = make(target=[target], **COMPARED).variables[0]
    assert (single.dims, single.shape) == (("lag", "unit"), (2, 3))
    assert (several.dims, several.shape) == (("target", "lag", "unit"), (1, 2, 3))
    assert [v.name for v in make().variables] == ["r_mean", "diverged_at", "status"]
    assert make().bytes_per_set == 3 * 4 + 8 + 1
    assert make().updates_per_set == 3 * 40


@settings(max_examples=30)
@given(sizes=st.tuples(*[st.integers(1, 12)] * 3), most=st.integers(1, 200))
def test_the_parameters_of_blocks_are_those_of_the_design(sizes: tuple[int, int, int], most: int) -> None:
    """Every set is in one block, with its own values, and no two share a stream."""
    axes = {name: np.arange(size) + 1.0 for name, size in zip(["tau_s", "gain", "bias"], sizes, strict=True)}
    job = make(design=grid(**axes), sets_per_block=most)
    found = {name: np.zeros(sizes) for name in axes}
    streams = np.zeros(sizes, dtype=np.uint64)
    for block in job.blocks:
        assert block.size <= most
        parameters = job.parameter_sets(block)
        streams[block.slices] = parameters.stream.reshape(block.shape)
        for name, values in found.items():
            values[block.slices] = parameters.values[name].reshape(block.shape)
    for values, expected in zip(found.values(), np.meshgrid(*axes.values(), indexing="ij"), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert len(np.unique(streams)) == job.design.size


@pytest.mark.parametrize(("size", "units"), [(1, 1), (10**8, 2), (10**8, 128), (5, 1000)])
def test_default_blocks_are_neither_too_many_nor_too_large(size: int, units: int) -> None:
    """Even 10**8 sets are at most ten thousand blocks, and planning them is instant."""
    root = round(size**0.5) if size > 5 else size
    axes = {"tau_s": np.linspace(1, 10, root), "gain": np.linspace(1, 10, root if size > 5 else 1)}
    job = make(model=Model(units=units), design=grid(**axes))
    assert 1 <= len(job.blocks) <= 20_000
    assert job.blocks[0].size * job.bytes_per_set < 2**30


BASE: dict[str, Any] = {
    "model": Model(units=2, weights=np.eye(2), input_weights=np.ones((2, 1)), parameters={"tau_s": 5.0}),
    "input": sine(amplitude=1.0),
    "target": Target(white_noise(std=1.0, seed=1), lags=[0, 1]),
    "design": grid(gain=[0.5, 1.0]),
    "integration": Integration(dt=0.5, duration=20, transient=5),
    "observe": ["r_mean", "target_mse", record("r", every=2)],
    "seed": 1,
}

CHANGED: list[dict[str, Any]] = [
    {"model": replace(BASE["model"], weights=np.eye(2) + 1e-9)},
    {"model": replace(BASE["model"], weights=None)},
    {"model": replace(BASE["model"], weights=np.eye(2)[None])},
    {"model": replace(BASE["model"], input_weights=np.zeros((2, 1)))},
    {"model": replace(BASE["model"], activation="relu")},
    {"model": replace(BASE["model"], parameters={"tau_s": 5.5})},
    {"model": replace(BASE["model"], parameters={"tau_r": 5.0})},
    {"model": replace(BASE["model"], parameters={"tau_s": [5.0, 5.0]})},
    {"model": Model(units=3)},
    {"input": sine(amplitude=2.0)},
    {"input": (sine(amplitude=1.0),)},
    {"input": None},
    {"target": Target(white_noise(std=1.0, seed=2), lags=[0, 1])},
    {"target": Target(white_noise(std=1.0, seed=1), lags=[1, 0])},
    {"target": [Target(white_noise(std=1.0, seed=1), lags=[0, 1])]},
    {"target": Target(model_output({"tau_s": 3.0}), lags=[0, 1])},
    {"target": Target(model_output({"tau_s": 4.0}), lags=[0, 1])},
    {"design": grid(gain=[0.5, 1.5])},
    {"design": grid(gain=[1.0, 0.5])},
    {"design": zipped("gains", gain=[0.5, 1.0])},
    {"design": grid(slope=[0.5, 1.0])},
    {"design": Design(())},
    *({"integration": replace(BASE["integration"], **{field: value})} for field, value in [
        ("dt", 0.25), ("duration", 21.0), ("transient", 4.0), ("scheme", "simultaneous"), ("precision", "float64"),
        ("allow_unstable", True),
    ]),
    {"observe": ["r_mean", "target_mse", record("r", every=3)]},
    {"observe": ["r_mean", "target_mse", record("r", every=2, units=[0, 1])]},
    {"observe": ["r_mean", "target_mse"]},
    {"seed": 2},
    {"noise_pairing": "common"},
]  # fmt: skip


def test_the_hash_changes_with_everything_that_matters() -> None:
    """Many jobs that each differ in one thing all have different hashes."""
    hashes = [Job(**BASE).hash, *(Job(**(BASE | fields)).hash for fields in CHANGED)]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    "fields",
    [
        {"sets_per_block": 1},
        {"report": Report(variable="r_mean", best="min", x="gain")},
        {"title": "A title", "description": "and more"},
        {"model": replace(BASE["model"], parameters={"tau_s": 5})},
        {"integration": Integration(dt=np.float32(0.5), duration=20, transient=5)},
        {"seed": np.int64(1)},
        {"observe": ("r_mean", "target_mse", record("r", every=np.int64(2)))},
    ],
)
def test_the_hash_does_not_change_with_what_does_not_matter(fields: dict[str, Any]) -> None:
    """Blocks, reports, titles and types of numbers change no result, and so no hash."""
    assert Job(**(BASE | fields)).hash == Job(**BASE).hash


def test_the_hash_is_stable() -> None:
    """The order of parameters is not part of a job."""
    first = make(model=Model(units=3, parameters={"tau_s": 1.0, "gain": 2.0}))
    second = make(model=Model(units=3, parameters={"gain": 2.0, "tau_s": 1.0}))
    assert first.hash == second.hash
