"""The parameters of some sets as arrays, and the noise streams that follow from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.design import arrays
from sweep.design.arrays import ParameterSets, gather
from sweep.model.network import Model
from sweep.model.parameters import PARAMETERS, SELECTORS, Parameter

MODEL = Model(units=3, weights=np.eye(3), parameters={"tau_s": [1.0, 2.0, 3.0], "gain": 0.5, "noise": 0.1})


def test_what_is_not_swept_stays_common() -> None:
    """Common parameters have a length of 1 along the sets, and along the units if they have one value."""
    parameters = gather(MODEL, {"bias": np.arange(4.0)}, 4, common_noise=False)
    assert {name: value.shape for name, value in parameters.values.items()} == {
        name: {"tau_s": (1, 3), "bias": (4, 1)}.get(name, (1, 1)) for name in PARAMETERS
    }
    assert parameters.values["tau_r"].item() == PARAMETERS["tau_r"].default
    assert parameters.values["gain"].item() == 0.5
    assert {name: value.tolist() for name, value in parameters.selectors.items()} == {name: [0] for name in SELECTORS}


def test_a_single_unit_replaces_one_value() -> None:
    """The other units keep the model's value, or the set's value if the whole parameter is swept too."""
    swept = {"tau_s[1]": np.array([7.0, 8.0]), "bias": np.array([1.0, 2.0]), "bias[0]": np.array([5.0, 6.0])}
    parameters = gather(MODEL, swept, 2, common_noise=False)
    assert parameters.values["tau_s"].tolist() == [[1, 7, 3], [1, 8, 3]]
    assert parameters.values["bias"].tolist() == [[5, 1, 1], [6, 2, 2]]
    assert MODEL.parameter("tau_s").tolist() == [1, 2, 3]


def test_single_weights_are_kept_by_their_index() -> None:
    """An entry W[i,j] is the weight to i from j."""
    entry = np.array([0.5, -0.5])
    parameters = gather(MODEL, {"W[0,2]": entry}, 2, common_noise=False)
    assert list(parameters.entries) == [(0, 2)]
    assert parameters.entries[0, 2].tolist() == entry.tolist()


@pytest.mark.parametrize(("dt", "tau", "alpha"), [(0.5, 0.0, 1.0), (0.5, 2.0, 0.25), (0.1, 1e4, 1e-5)])
def test_rate_constants(dt: float, tau: float, alpha: float) -> None:
    """The rate constant is dt/tau, and 1 for a time constant of 0."""
    parameters = gather(MODEL, {"tau_r": np.array([tau, 10.0])}, 2, common_noise=False)
    alpha_s, alpha_r = parameters.rate_constants(dt)
    np.testing.assert_allclose(alpha_r, [[alpha], [dt / 10]], rtol=1e-15)
    np.testing.assert_allclose(alpha_s, [[dt, dt / 2, dt / 3]], rtol=1e-15)


def test_noisy_if_any_set_is() -> None:
    """Noise is drawn only if a set has some."""
    assert gather(MODEL, {"noise": np.array([0.0, 0.1])}, 2, common_noise=False).noisy
    assert not gather(MODEL, {"noise": np.zeros(2)}, 2, common_noise=False).noisy


def some(chosen: np.ndarray, common_noise: bool = False) -> ParameterSets:
    """Return some of 50 sets in which everything varies."""
    rng = np.random.default_rng(0)
    swept = {
        "tau_r": rng.uniform(1, 5, (50, 3)),
        "gain": rng.normal(size=50),
        "bias[2]": rng.normal(size=50),
        "W[1,1]": rng.normal(size=50),
        "replicate": rng.integers(0, 4, 50).astype(float),
    }
    return gather(MODEL, {name: value[chosen] for name, value in swept.items()}, len(chosen), common_noise)


indices = st.lists(st.integers(0, 49), min_size=1, max_size=20).map(np.array)


@given(chosen=indices, known=st.booleans())
def test_taking_sets_is_gathering_them(chosen: np.ndarray, known: bool) -> None:
    """Some sets taken from a block are the same as in a block of only these, with the same streams."""
    block = some(np.arange(50))
    if known:
        assert block.stream.shape == (50,)
    taken, expected = block.take(chosen), some(chosen)
    assert taken.size == expected.size
    np.testing.assert_array_equal(taken.stream, expected.stream)
    for name in PARAMETERS:
        pair = np.broadcast_arrays(taken.values[name], expected.values[name])
        np.testing.assert_array_equal(*pair)
    np.testing.assert_array_equal(taken.selectors["replicate"], expected.selectors["replicate"])
    np.testing.assert_array_equal(taken.entries[1, 1], expected.entries[1, 1])


def test_taking_a_slice_copies_nothing() -> None:
    """Neighbouring sets are views of the whole, without those past its end, and have the same values as sets taken by number."""
    block = some(np.arange(50))
    part, expected = block.take(slice(40, 60)), block.take(np.arange(40, 50))
    assert part.size == 10
    np.testing.assert_array_equal(part.values["tau_r"], expected.values["tau_r"])
    np.testing.assert_array_equal(part.stream, expected.stream)
    assert np.shares_memory(part.values["tau_r"], block.values["tau_r"])
    assert not np.shares_memory(expected.values["tau_r"], block.values["tau_r"])


@given(chosen=indices)
def test_a_stream_is_named_by_the_sets_own_values(chosen: np.ndarray) -> None:
    """Neither order nor neighbours change a stream, and sets that differ have different ones."""
    whole = some(np.arange(50)).stream
    assert len(set(whole.tolist())) == 50
    np.testing.assert_array_equal(some(chosen).stream, whole[chosen])


def test_every_value_counts_in_the_stream() -> None:
    """Changing any parameter, selector, unit or weight gives the set another stream."""
    names = [*PARAMETERS, *SELECTORS, "tau_s[1]", "W[0,1]"]
    base = gather(MODEL, {}, 1, common_noise=False).stream.item()
    streams = [gather(MODEL, {name: np.array([3.0])}, 1, common_noise=False).stream.item() for name in names]
    assert len({base, *streams}) == len(names) + 1


def test_swept_and_common_values_name_the_same_stream() -> None:
    """A stream does not depend on whether a value comes from the model or the design."""
    swept = gather(MODEL, {"gain": np.array([0.5, 2.0]), "tau_s": np.array([[1.0, 2, 3], [2, 2, 3]])}, 2, False)
    assert swept.stream[0] == gather(MODEL, {}, 1, common_noise=False).stream[0]
    assert swept.stream[1] != swept.stream[0]


def test_common_noise_is_named_by_the_replicate_alone() -> None:
    """Sets with the same replicate have the same stream, even if everything else differs."""
    parameters = some(np.arange(50), common_noise=True)
    pairs = set(zip(parameters.selectors["replicate"].tolist(), parameters.stream.tolist(), strict=True))
    assert len(pairs) == 4
    assert len({stream for _, stream in pairs}) == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("tau_r[1]", 10.0), ("tau_r", [[10.0, 10.0, 10.0]]), ("W[0,1]", 0.0), ("W[2,2]", 1.0), ("network", 0.0)],
)
def test_sweeping_a_parameter_at_its_own_value_keeps_the_stream(name: str, value: object) -> None:
    """A stream depends on the values of a set, not on which are swept, and not on whether units share one number."""
    swept = {name: np.atleast_1d(np.array(value))}
    assert gather(MODEL, swept, 1, common_noise=False).stream == gather(MODEL, {}, 1, common_noise=False).stream


def test_a_parameter_that_came_later_leaves_the_noise_of_others_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its default it is no part of a stream, at any other value of any unit it is; one that is not marked always is."""
    before = gather(MODEL, {}, 1, common_noise=False)
    for later in (True, False):
        row = Parameter(name="scale", symbol="s", units="1", default=1.0, long_name="largest rate", later=later)
        monkeypatch.setattr(arrays, "PARAMETERS", {**PARAMETERS, "scale": row})

        def stream(values: np.ndarray) -> int:
            return int(dataclasses.replace(before, values={**before.values, "scale": values}).stream[0])

        without = int(before.stream[0])
        assert (stream(np.full((1, 3), 1.0)) == without) is later
        assert (stream(np.full((1, 1), 1.0)) == without) is later
        assert stream(np.array([[1.0, 1.0, 2.0]])) != without
        assert stream(np.array([[0.5]])) != without


@given(
    replicate=st.integers(0, 2**53),
    other=st.integers(0, 2**53),
    noise=st.sampled_from([0.1, 0.7]),
    common=st.booleans(),
)
def test_no_set_has_the_noise_of_a_teacher(replicate: int, other: int, noise: float, common: bool) -> None:
    """Whatever replicates they have, and even if all their parameters are equal; two replicates of a teacher differ."""
    swept = {"replicate": np.array([replicate, other], dtype=float), "noise": np.array([noise, 0.1])}
    sets = gather(MODEL, swept, 2, common)
    teachers = sets.teachers()
    assert set(sets.stream.tolist()).isdisjoint(teachers.stream.tolist())
    assert (teachers.stream[0] == teachers.stream[1]) == (sets.stream[0] == sets.stream[1])
    assert (teachers.selectors["replicate"] < 0).all()
