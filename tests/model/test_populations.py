"""Populations: which units a name means, which of several names holds, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import sweep
from sweep import Model
from sweep.errors import JobError
from sweep.model.parameters import PARAMETERS, parse_name
from sweep.model.populations import Projection, Units

TWO = {"E": 8, "I": 2}
UNITS = Units(10, TWO)


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("tau_s", [range(10)]),
        ("tau_s[3]", [range(3, 4)]),
        ("tau_s[2:5]", [range(2, 5)]),
        ("tau_s[:5]", [range(5)]),
        ("bias[ 5 : ]", [range(5, 10)]),
        ("tau_s[E]", [range(8)]),
        ("tau_s[I]", [range(8, 10)]),
        ("gain[E,I]", [range(8), range(8, 10)]),
        ("gain[ 0 , I ]", [range(1), range(8, 10)]),
    ],
)
def test_a_name_means_some_units(name: str, units: list[range]) -> None:
    """A number, a slice as in Python, or a population; a factor has units to and from."""
    assert list(UNITS.at(parse_name(name))) == units


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tau_s[3]", "time constant of the synaptic current of unit 3"),
        ("tau_s[0:80]", "time constant of the synaptic current of units 0 to 79"),
        ("tau_s[80:]", "time constant of the synaptic current of units from 80 on"),
        ("tau_s[E]", "time constant of the synaptic current of population E"),
        ("gain[E,I]", "gain of the recurrent weights from population I to population E"),
    ],
)
def test_a_name_has_a_long_name(name: str, words: str) -> None:
    """It says whose value it is."""
    assert parse_name(name).parameter.long_name == words


@pytest.mark.parametrize(
    ("populations", "message"),
    [
        ({"E": 8, "I": 3}, r"model\.populations = E 8 \+ I 3 has 11 units: .* add up to units = 10\. Correct a size"),
        ({"E": 8}, r"= E 8 has 8 units"),
        ({"E": 10, "I": 0}, r"model\.populations\.I = 0: must be a whole number of at least 1"),
        ({"E": 8.0, "I": 2}, r"model\.populations\.E = 8\.0"),
        ({"E 1": 8, "I": 2}, r"model\.populations: 'E 1' cannot name a population: .*Rename it"),
        ({"0": 8, "I": 2}, r"'0' cannot name a population"),
        ([8, 2], r"model\.populations is a list: give a mapping of names to values"),
    ],
)
def test_populations_that_do_not_fit_are_refused(populations: Any, message: str) -> None:
    """Their sizes add up to the units, and their names can be told from numbers and slices."""
    with pytest.raises(JobError, match=message):
        Model(units=10, populations=populations)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau_s[F]": 1.0}, r"tau_s\[F\] names the population 'F', which the model does not have\. Known: E, I"),
        ({"tau_s[e]": 1.0}, r"Did you mean 'E'\?"),
        ({"gain[E,J]": 1.0}, r"gain\[E,J\] names the population 'J'"),
        ({"tau_s[10]": 1.0}, r"tau_s\[10\] names unit 10, but the model has 10 units, counted from 0"),
        ({"tau_s[5:11]": 1.0}, r"names unit 10, but"),
        ({"tau_s[12:]": 1.0}, r"names unit 12, but"),
        ({"tau_s[5:5]": 1.0}, r"the slice 5:5 has no units\. Write start:stop"),
        (
            {"tau_s[E]": [1.0, 2.0]},
            r"model\.parameters\.tau_s\[E\] has shape \(2,\): give one number, or one per unit, \(8,\)",
        ),
        ({"tau_s[E]": -1.0}, r"tau_s\[E\] = -1: .* must be at least 0"),
        (
            {"tau_s[E]": 1.0, "tau_s[0:8]": 1.0},
            r"tau_s\[E\] and tau_s\[0:8\] both name units 0 to 7, and neither is a part",
        ),
        ({"tau_s[0:4]": 1.0, "tau_s[2:9]": 2.0}, r"both name units 2 to 3.*Name units that do not overlap"),
        ({"gain[E,I]": 1.0, "gain[0,0:9]": 1.0}, r"both scale the weight to unit 0 from unit 8: a weight has one"),
        ({"gain[E]": 1.0}, r"gain takes two indices, the units to and from, as in gain\[E,I\]"),
        ({"W[E,I]": 1.0}, r"to scale all weights to some units from some, sweep 'gain\[E,I\]'"),
        ({"input_gain[E]": 1.0}, r"input_gain takes no index"),
        ({"gain[E,I]": [1.0, 2.0]}, r"model\.parameters\.gain\[E,I\] has shape \(2,\): it takes one number per set"),
    ],
)
def test_names_that_do_not_fit_are_refused(parameters: dict[str, Any], message: str) -> None:
    """Units and populations that are not there, and names that contradict each other."""
    with pytest.raises(JobError, match=message):
        Model(units=10, populations=TWO, parameters=parameters)


def test_a_population_without_populations_is_refused_with_the_remedy() -> None:
    """The message says how to give them, and what to write without them."""
    with pytest.raises(
        JobError, match=r"the model has none\. Give model\.populations, .*units = 10, or name units, .*'tau_s\[0:10\]'"
    ):
        Model(units=10, parameters={"tau_s[E]": 1.0})


def test_values_of_some_units_are_those_of_an_array() -> None:
    """A population, a slice and a single unit; the narrowest name holds, whatever the order of the names."""
    given = {"tau_s[1]": 7.0, "tau_s": 3.0, "tau_s[0:4]": 5.0, "tau_s[I]": [8.0, 9.0], "bias[E]": 1.0}
    for order in (given, dict(reversed(given.items()))):
        model = Model(units=10, populations=TWO, parameters=order)
        assert model.parameter("tau_s").tolist() == [5, 7, 5, 5, 3, 3, 3, 3, 8, 9]
        assert model.parameter("bias").tolist() == [1] * 8 + [0] * 2
    assert model.parameter("tau_r").tolist() == [PARAMETERS["tau_r"].default]


places = st.tuples(st.integers(0, 9), st.integers(1, 10)).map(lambda pair: range(pair[0], min(10, sum(pair))))


@given(own=st.lists(places, max_size=5, unique=True), swept=st.booleans())
def test_the_narrowest_name_holds(own: list[range], swept: bool) -> None:
    """For every unit, if of any two names one has all units of the other or none; any others are refused."""
    names = {f"tau_s[{units.start}:{units.stop}]": units for units in own}
    nested = all(not set(a) & set(b) or set(a) < set(b) or set(b) < set(a) for a in own for b in own if a != b)
    if not nested:
        with pytest.raises(JobError, match="must be clear which one holds"):
            UNITS.layers("tau_s", names)
        return
    holders, which = UNITS.holders("tau_s", [*names, "bias[0]"])
    for unit in range(10):
        having = [name for name, units in names.items() if unit in units]
        expected = min(having, key=lambda name: len(names[name])) if having else "tau_s"
        assert holders[which[unit]] == expected
    values = {name: np.array([float(number)]) for number, name in enumerate(names)}
    model = Model(units=10, parameters={"tau_s": 99.0} if swept else {"tau_s": 99.0} | dict.fromkeys(names, 0.0))
    gathered = np.broadcast_to(model.gathered("tau_s", values, 1), (1, 10))[0]
    assert gathered.tolist() == [values.get(holders[which[unit]], np.array([99.0]))[0] for unit in range(10)]


@given(first=st.tuples(places, places), second=st.tuples(places, places))
def test_factors_share_no_weight(first: tuple[range, range], second: tuple[range, range]) -> None:
    """Two projections are refused exactly if some weight belongs to both."""
    assume(first != second)
    names = [f"gain[{to.start}:{to.stop},{source.start}:{source.stop}]" for to, source in (first, second)]
    weights = [{(i, j) for i in to for j in source} for to, source in (first, second)]
    if weights[0] & weights[1]:
        with pytest.raises(JobError, match="a weight has one such factor"):
            UNITS.projections(names)
    else:
        found = UNITS.projections(names)
        assert list(found.items()) == list(UNITS.projections(reversed(names)).items())
        assert found == {name: Projection(*own) for name, own in zip(names, (first, second), strict=True)}


def test_an_axis_without_effect_is_refused() -> None:
    """If narrower names hold for all units, nothing is left of the name that is swept."""
    model = sweep.Model(units=2, populations={"E": 1, "I": 1}, parameters={"tau_s[E]": 5.0, "tau_s[I]": 7.0})
    timing = sweep.Integration(dt=1.0, duration=5.0)
    with pytest.raises(JobError, match=r"design: tau_s holds for no unit, because tau_s\[E\], tau_s\[I\] name all"):
        sweep.Job(model=model, design=sweep.grid(tau_s=[2.0, 3.0]), integration=timing, observe=["r_mean"])


def test_what_a_teacher_is_given_takes_the_place_of_narrower_names() -> None:
    """Its tau_s holds for all units, whatever the model has for some of them."""
    model = sweep.Model(units=2, populations={"E": 1, "I": 1}, activation="linear", parameters={"tau_s[E]": 5.0})
    fitted = sweep.Job(
        model=model,
        input=sweep.sine(frequency=20.0),
        design=sweep.grid(**{"tau_s[E]": [5.0, 20.0]}),
        target=sweep.Target(sweep.model_output({"tau_s": 20.0})),
        integration=sweep.Integration(dt=1.0, duration=100.0),
        observe=["target_mse"],
    )
    found = sweep.simulate(fitted, "numpy").target_mse.isel(lag=0, unit=0)
    assert float(found.sel({"tau_s[E]": 20.0})) == 0.0
    assert float(found.sel({"tau_s[E]": 5.0})) > 0.0
