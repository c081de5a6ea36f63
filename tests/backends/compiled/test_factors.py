"""Factors of weights as the kernels take them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sweep.backends.compiled.factors import Factors
from sweep.errors import JobError
from sweep.model.populations import Projection, Units

UNITS = 6
runs = st.tuples(st.integers(0, UNITS - 1), st.integers(1, UNITS)).map(
    lambda pair: range(pair[0], min(UNITS, sum(pair)))
)


@st.composite
def factors(draw: st.DrawFn) -> Factors:
    """Draw some projections that share no weight."""
    names: list[str] = []
    for to, source in draw(st.lists(st.tuples(runs, runs), max_size=4)):
        more = [*names, f"gain[{to.start}:{to.stop},{source.start}:{source.stop}]"]
        try:
            Units(UNITS).projections(more)
        except JobError:
            continue
        names = more
    return Factors(UNITS, tuple(Units(UNITS).projections(names).values()))


def scaled(own: Factors, values: np.ndarray) -> np.ndarray:
    """Return the factor of every weight, written out."""
    each = np.ones((UNITS, UNITS))
    for (to, source), value in zip(own.projections, values, strict=True):
        for i in to:
            for j in source:
                each[i, j] = value
    return each


@given(own=factors(), seed=st.integers(0, 100))
def test_runs_and_rows_say_the_factor_of_every_weight(own: Factors, seed: int) -> None:
    """The runs follow each other and have all units; without factors there are none."""
    values = np.random.default_rng(seed).normal(size=len(own.projections))
    if not own.projections:
        assert own.runs == []
        return
    assert [unit for run in own.runs for unit in run] == list(range(UNITS))
    each = np.empty((UNITS, UNITS))
    for run, row in zip(own.runs, own.rows, strict=True):
        each[:, run.start : run.stop] = np.where(row < 0, 1.0, np.append(values, 1.0)[row])[:, None]
    np.testing.assert_array_equal(each, scaled(own, values))


@given(own=factors(), seed=st.integers(0, 100))
def test_copies_of_rates_do_what_scaled_weights_do(own: Factors, seed: int) -> None:
    """A wider matrix times the rates and their copies is the scaled matrix times the rates."""
    rng = np.random.default_rng(seed)
    values, matrices, rates = (
        rng.normal(size=len(own.projections)),
        rng.normal(size=(2, UNITS, UNITS)),
        rng.normal(size=UNITS),
    )
    copies = [values[number] * rates[run.start : run.stop] for run, number in own.copies]
    product = own.widened(matrices) @ np.concatenate([rates, *copies])
    np.testing.assert_allclose(product, (matrices * scaled(own, values)) @ rates, rtol=1e-12, atol=1e-12)


def test_a_copy_for_each_run_and_factor() -> None:
    """Populations of an excitatory and inhibitory network: two versions of the rates of each."""
    e, i = range(4), range(4, 6)
    own = Factors(UNITS, tuple(Projection(to, source) for to in (e, i) for source in (e, i)))
    assert own.runs == [e, i]
    assert own.copies == [(e, 0), (e, 2), (i, 1), (i, 3)]
