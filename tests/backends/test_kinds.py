"""Jobs of every kind on every back end: no other test meets every two options of a job (support/kinds.py)."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from support import kinds
from support.covering import pairs
from support.jobs import TRAPS, Simulate, assert_same_bits
from support.reference import assert_agrees

from sweep import Job, zipped

pytestmark = TRAPS


def chosen(job: Job, sets: np.ndarray) -> Job:
    """Return a job of some of the sets, in their order; the only set of a job without a design stays."""
    if not job.design.swept:
        return job
    (block,) = job.design.blocks(job.design.size)
    values = job.design.values(block)
    return dataclasses.replace(job, design=zipped("point", **{name: column[sets] for name, column in values.items()}))


def test_every_two_options_meet() -> None:
    """There is a kind of job for every two answers to two questions."""
    met = pairs(kinds.rows())
    for one, other in itertools.combinations(kinds.QUESTIONS, 2):
        for a, b in itertools.product(kinds.QUESTIONS[one], kinds.QUESTIONS[other]):
            assert (one, repr(a), other, repr(b)) in met


@pytest.mark.filterwarnings("ignore:.*every step overshoots")  # of those that are to diverge
@pytest.mark.parametrize("number", range(len(kinds.rows())))
def test_a_job_is_right_however_it_is_cut(simulate: Simulate, number: int) -> None:
    """Its sets are those of the plain loop, and no bit depends on blocks, batches, neighbours, order or number of sets."""
    kind = kinds.kinds()[number]
    job, sets = kind.job, kind.job.design.size
    whole = simulate(job)
    assert_agrees(whole, job, kind.diverging)
    assert_same_bits(simulate(dataclasses.replace(job, sets_per_block=max(8, sets // 3))), whole)
    assert_same_bits(simulate(job, batch=max(1, sets // 4)), whole)
    some = np.random.default_rng(number).integers(0, sets, sets)
    assert_same_bits(simulate(chosen(job, some)), whole, some)
    assert_same_bits(simulate(chosen(job, np.array([sets // 2]))), whole, [sets // 2])
