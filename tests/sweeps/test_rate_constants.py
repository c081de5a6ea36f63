"""What `sweeps/rate_constants.toml` claims, counted again for other networks, perturbations and inputs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT

import sweep
from sweep import Design, Job, gaussian, grid, perturb, white_noise

JOB = ROOT / "sweeps" / "rate_constants.toml"
#: Networks by their seeds, and perturbations of each.
NETWORKS, COPIES = (1, 2, 3, 4), 12
#: By the standard deviation of the input and the size of the perturbation: how many minima of 288 lie at the teacher's pair.
CLAIMED = {
    (3.0, 0.2): 278,
    (1.0, 0.2): 110,
    (3.0, 0.1): 288,
    (3.0, 0.4): 142,
    (1.0, 0.1): 195,
    (1.0, 0.4): 56,
    (6.0, 0.1): 288,
    (6.0, 0.2): 288,
    (6.0, 0.4): 288,
}
#: The others take their time where there is no compiler.
QUICK = 2


def study(job: Job, network: int, std: float, fraction: float) -> Job:
    """Return the job with another network, of which every student has another perturbation, and another input."""
    own = gaussian(units=20, std=1.5, seed=network)
    ensemble = perturb(own, fractions=[0.0, *[fraction] * COPIES], seed=2)
    students = Design(tuple(axis for axis in job.design.axes if axis.dim != "network"))
    return job.changed(
        model=replace(job.model, weights=ensemble),
        input=white_noise(std, seed=3, channels=20, interval=1.0),
        design=grid(network=range(1, 1 + COPIES)) * students,
        report=None,
        sets_per_block=None,
    )


def found(job: Job) -> int:
    """Return how many minima lie at the pair of the teacher, over all networks of the students and all teachers."""
    ds = sweep.simulate(job)
    loss = ds.target_mse.mean("unit").squeeze("lag").transpose("network", "target", "tau_s", "tau_r").to_numpy()
    lowest = loss.reshape(*loss.shape[:2], -1).argmin(axis=2)
    s, r = np.unravel_index(lowest, loss.shape[2:])
    at = np.isclose(ds.alpha_s.to_numpy()[s], ds.target_alpha_s) & np.isclose(
        ds.alpha_r.to_numpy()[r], ds.target_alpha_r
    )
    return int(at.sum())


def test_all_minima_of_the_job_itself_lie_at_the_pairs_of_the_teachers() -> None:
    """With the teachers' weights the loss is 0 there, with perturbed ones it is lowest there."""
    job = sweep.load(JOB)
    assert found(job) == 2 * len(job.targets)
    ds = sweep.simulate(job)
    assert (ds.target_mse.sel(network=0).min(["tau_s", "tau_r"]) == 0).all()
    assert (ds.target_mse.sel(network=1) > 0).all()


CASES = [pytest.param(*case, marks=pytest.mark.slow if k >= QUICK else ()) for k, case in enumerate(CLAIMED)]


@pytest.mark.parametrize(("std", "fraction"), CASES)
def test_as_many_minima_as_the_job_says_lie_at_the_pair_of_the_teacher(std: float, fraction: float) -> None:
    """Between back ends one or two may change places with a neighbour."""
    job = sweep.load(JOB)
    count = sum(found(study(job, network, std, fraction)) for network in NETWORKS)
    assert abs(count - CLAIMED[std, fraction]) <= 2


def test_the_job_says_what_was_counted() -> None:
    """The table of its description has a row for each input, with the counts by the size of the perturbation."""
    rows = re.findall(r"std = (\d)\D+(\d+) +(\d+) +(\d+)", sweep.load(JOB).description)
    said = {
        (float(std), fraction): int(count)
        for std, *counts in rows
        for fraction, count in zip((0.1, 0.2, 0.4), counts, strict=True)
    }
    assert said == CLAIMED
