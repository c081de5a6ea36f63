"""Axes: the values that they hold and the ones that they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sweep import observables
from sweep.design.axes import RESERVED, Range, SampledAxis
from sweep.design.makers import grid, random, replicates, sobol, table, zipped
from sweep.errors import JobError


def test_values_are_copied_and_read_only() -> None:
    """Changing the array that a design was made of does not change the design, and the design's own arrays are read-only."""
    values = np.array([1.0, 2.0])
    design = grid(tau_s=values)
    values[0] = 5
    held = design.axes[0].values(0, 2)["tau_s"]
    assert held[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 5


def test_an_axis_refuses_values_that_it_does_not_have() -> None:
    """Reading beyond the end is an error, and not a shorter result."""
    for design in (grid(gain=[1, 2]), random(2, 1, gain=(0, 1))):
        with pytest.raises(IndexError, match="0 to 3 of an axis that has 2"):
            design.axes[0].values(0, 3)
        with pytest.raises(IndexError):
            design.blocks(1)[2]


def test_every_name_of_the_result_is_reserved() -> None:
    """No dimension of a design can have the name of an observable or of one of its dimensions."""
    assert {*observables.OBSERVABLES, *observables.VARIABLES} <= set(RESERVED)
    for name in RESERVED:
        with pytest.raises(JobError, match=rf"dimension '{name}': .* Call it something else"):
            zipped(name, tau_s=[1, 2])


GRID = grid(tau_s=[1.0, 2.0, 4.0], gain=[0.5])
TABLE = table("cell", {"tau_s": [1.0, 2.0], "gain": [3.0, 4.0]})

ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "typo": (lambda: grid(tau_a=[1, 2]), "parameter 'tau_a' does not exist. Did you mean 'tau_s'"),
    "bounds": (lambda: grid(tau_s=[-1, 2]), "tau_s = -1: .* at least 0"),
    "nan": (lambda: grid(tau_s=[1, np.nan]), "tau_s along 'tau_s' = nan at .1.: every number must be finite"),
    "fraction": (lambda: grid(network=[0, 1.5]), "network = 1.5: .* whole number"),
    "negative selector": (lambda: grid(stimulus=[-1]), "stimulus = -1: .* at least 0"),
    "large selector": (
        lambda: grid(replicate=[2.0**60]),
        r"replicate = .*: the number of the noise stream must be at most 9.0072e\+15",
    ),
    "scalar": (lambda: grid(tau_s=5), r"tau_s = 5.0: an axis needs several values. Write \[5.0\]"),
    "empty": (lambda: grid(tau_s=[]), "tau_s along 'tau_s' is empty: .* Give one"),
    "text": (lambda: grid(tau_s=["a"]), r"tau_s along 'tau_s' = \['a'\]: must be a number or an array of numbers"),
    "truth": (lambda: grid(gain=[True, False]), "gain along 'gain' = .*: must be a number or an array of numbers"),
    "duplicate": (lambda: grid(gain=[1, 2, 1, 2, 2]), "gain = 1.0 occurs 2 times: .* unique. Remove the doubles"),
    "grid of rows": (lambda: grid(tau_s=[[1, 2]]), r"tau_s has shape \(1, 2\): .* write zipped\("),
    "ragged": (
        lambda: zipped("ramp", tau_s=[[1, 2], [3]]),
        "tau_s along 'ramp' = .*: its rows differ in length. Give every",
    ),
    "rows of a common parameter": (
        lambda: zipped("ramp", gain=[[1, 2]]),
        r"gain .* shape \(1, 2\): .* one number per set",
    ),
    "rows of an entry": (
        lambda: zipped("r1", **{"tau_s[0]": [[1, 2]]}),
        r"tau_s\[0\] .* shape \(1, 2\): .* one number",
    ),
    "three dimensions": (lambda: zipped("ramp", tau_s=np.ones((1, 2, 3))), r"shape \(1, 2, 3\): .* one value per unit"),
    "lengths": (lambda: zipped("ramp", tau_s=[1], gain=[1, 2]), "'tau_s': 1, 'gain': 2.* equally many. Give as many"),
    "no parameters": (lambda: zipped("ramp"), "axis 'ramp' has no parameters: .* Name one"),
    "named twice on an axis": (
        lambda: zipped("p", **{"W[0,1]": [1], "W[0, 1]": [2]}),
        r"'W\[0,1\]' is named twice. Remove",
    ),
    "dimension is a parameter": (
        lambda: zipped("gain", tau_s=[1]),
        "dimension 'gain' varies tau_s: .* Call it something",
    ),
    "dimension is no name": (
        lambda: zipped("my dim", tau_s=[1]),
        "dimension 'my dim': .* letters, digits .* Rename it",
    ),
    "parameter twice": (lambda: grid(tau_s=[1]) * random(2, 1, tau_s=(1, 2)), "'tau_s' is swept twice, .* Remove one"),
    "dimension twice": (
        lambda: random(2, 1, tau_s=(1, 2)) * random(2, 1, gain=(1, 2)),
        "dimension 'point' is there twice: .* Put the parameters into one axis",
    ),
    "units": (
        lambda: zipped("a", tau_s=[[1, 2]]) * zipped("b", bias=[[1, 2, 3]]),
        "per-unit values have {'tau_s': 2, 'bias': 3} units: they must agree. Give one value per unit",
    ),
    "range of a selector": (lambda: random(2, 1, network=(0, 3)), r"network counts, .* Use grid\(network=range\(n\)\)"),
    "range reversed": (lambda: random(2, 1, gain=(3, 1)), r"range gain = \(3, 1\): the low end must be below .* Swap"),
    "range of logarithms": (lambda: random(2, 1, gain=(0, 1, "log")), "must lie above 0. Raise the low end"),
    "range out of bounds": (lambda: random(2, 1, tau_s=(-1, 1)), "tau_s = -1: .* at least 0"),
    "range of text": (
        lambda: random(2, 1, gain=("0", 1)),
        r"range gain: low = '0': must be a number. Write it without",
    ),
    "range form": (
        lambda: random(2, 1, gain=(0, 1, "ln")),
        r"random: gain = \(0, 1, 'ln'\): a range is .* Write gain=",
    ),
    "range of one": (
        lambda: sobol(2, 1, gain=1.0),
        r"sobol: gain = 1.0: a range is \(low, high\) .* use grid",
    ),
    "no ranges": (lambda: sobol(2, 1), "sobol has no ranges: .* Write for example"),
    "range twice": (
        lambda: random(2, 1, **{"W[0,1]": (0, 1), "W[0, 1]": (0, 1)}),
        r"random: parameter 'W\[0,1\]' is named twice. Remove one",
    ),
    "n": (lambda: random(0, 1, gain=(0, 1)), "random.n = 0: must be a whole number of at least 1. Correct"),
    "n is a fraction": (
        lambda: random(2.5, 1, gain=(0, 1)),
        "random.n = 2.5: must be a whole number",
    ),
    "seed": (lambda: random(2, -1, gain=(0, 1)), "random.seed = -1: must be a whole number of at least 0"),
    "sobol ends": (
        lambda: sobol(2**31, 1, gain=(0, 1)),
        r"n = 2147483648: the sequence ends .* Lower n, or use random",
    ),
    "kind": (
        lambda: SampledAxis("sobo", 2, 1, (Range("gain", 0, 1),)),
        "kind = 'sobo' does not exist. Did you mean 'sobol'",
    ),
    "replicates": (lambda: replicates(True), "replicates.n = True: must be a whole number of at least 1"),
    "sets_per_block": (lambda: GRID.blocks(0), "sets_per_block = 0: must be a whole number of at least 1. Correct"),
    "table missing": (
        lambda: table("cell", "no/such.csv"),
        "table 'no/such.csv' cannot be read as CSV: .* Correct the path",
    ),
    "table of a kind": (lambda: table("cell", 3), "table 'cell' is 3: it must be a DataFrame, .* Give one"),
    "column twice": (
        lambda: table("cell", pd.DataFrame([[1, 2]], columns=["gain", "gain"])),
        "column 'gain' is there 2 times. Remove the others",
    ),
    "set": (lambda: GRID.labels(3), "set 3 does not exist: the design has 3 sets. Use 0 to 2"),
    "label value": (lambda: GRID.index(tau_s=1.9, gain=0.5), "tau_s = 1.9: no set has it, .* The nearest is 2.0"),
    "label text": (lambda: GRID.index(tau_s="1", gain=0.5), "label tau_s = '1': must be a number. Write it"),
    "label missing": (lambda: GRID.index(tau_s=1), "label 'gain' is missing: .* Give gain="),
    "label typo": (lambda: GRID.index(tau_s=1, gian=0.5), "label 'gian': .* Did you mean 'gain'"),
    "label position": (lambda: TABLE.index(cell=2), "label cell = 2: the axis has 2 points. Use 0 to 1"),
    "label contradiction": (
        lambda: TABLE.index(cell=1, gain=3.0),
        "label gain = 3.0: at cell = 1 it is 4.0. Leave gain out",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_key_value_rule_and_remedy(case: str) -> None:
    """Everything that is wrong with a design is refused when it is made or used, with a message that helps."""
    make, message = ERRORS[case]
    with pytest.raises(JobError) as caught:
        make()
    assert re.search(message, str(caught.value))
