"""The laws of designs: blocks partition the sets, labels name them, and slices agree with the whole."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from sweep import observables
from sweep.design.axes import RESERVED, Range, SampledAxis
from sweep.design.design import Block, Design
from sweep.design.makers import grid, latin_hypercube, random, replicates, sobol, table, zipped
from sweep.errors import JobError

# Two busy cores say nothing about the law, so no deadline.
law = settings(deadline=None, max_examples=60)

SAMPLERS = {"sobol": sobol, "latin_hypercube": latin_hypercube, "random": random}

#: One way to sweep each of these parameters on an axis of n points.
GRID_NAMES = ("tau_s", "gain", "W[0,1]", "bias[2]", "stimulus")


def grid_axis(name: str, n: int) -> Design:
    """Return a grid of n values that start at 1."""
    return grid(**{name: np.arange(1, n + 1)})


@st.composite
def grids(draw: st.DrawFn) -> Design:
    """Draw a grid of up to four dimensions."""
    names = draw(st.lists(st.sampled_from(GRID_NAMES), unique=True, max_size=4))
    return math.prod((grid_axis(name, draw(st.integers(1, 7))) for name in names), start=Design())


@st.composite
def designs(draw: st.DrawFn) -> Design:
    """Draw a grid, perhaps times zipped per-unit values, a sample and replicates, in any order."""
    n = draw(st.integers(1, 6))
    parts = [draw(grids())]
    if draw(st.booleans()):
        parts.append(zipped("ramp", tau_r=np.arange(3.0 * n).reshape(n, 3), slope=np.arange(n)))
    if draw(st.booleans()):
        parts.append(Design((SampledAxis(draw(st.sampled_from(sorted(SAMPLERS))), n, 5, (Range("noise", 1, 9),)),)))
    if draw(st.booleans()):
        parts.append(replicates(draw(st.integers(1, 4))))
    return math.prod(draw(st.permutations(parts)), start=Design())


def whole(design: Design) -> Block:
    """Return all sets as a single block."""
    (block,) = design.blocks(design.size)
    return block


# -- blocks -----------------------------------------------------------------------------------------------------------


@law
@given(design=designs(), most=st.integers(1, 400))
def test_blocks_partition_the_sets(design: Design, most: int) -> None:
    """Every set is in exactly one block, and no block is larger than asked or than the chunk."""
    blocks = design.blocks(most)
    seen = np.zeros(design.shape, dtype=int)
    for number, block in enumerate(blocks):
        seen[block.slices] += 1
        assert block == blocks[number]
        assert block.number == number
        assert 1 <= block.size <= most
        assert seen[block.slices].shape == block.shape
        assert all(b <= c for b, c in zip(block.shape, blocks.shape, strict=True))
    assert (seen == 1).all()


@law
@given(design=designs(), most=st.integers(1, 400))
def test_blocks_are_chunks_of_one_grid(design: Design, most: int) -> None:
    """Blocks start at multiples of one shape, which has parts of a dimension only where all leading ones are single."""
    blocks = design.blocks(most)
    assert len(blocks) == math.prod(blocks.counts)
    for block in blocks:
        assert all(start % m == 0 for start, m in zip(block.start, blocks.shape, strict=True))
    partial = [k for k, count in enumerate(blocks.counts) if count > 1]
    assert all(blocks.shape[k] == 1 for k in partial[:-1])


@law
@given(design=designs(), most=st.integers(1, 400))
def test_blocks_are_not_many_more_than_needed(design: Design, most: int) -> None:
    """One block where one is enough; otherwise at most four times the fewest that the limit allows."""
    blocks = design.blocks(most)
    assert len(blocks) == 1 if design.size <= most else len(blocks) * most <= 4 * design.size


@law
@given(n=st.integers(1, 10**9), most=st.integers(1, 10**9))
def test_no_tiny_block_is_left_over(n: int, most: int) -> None:
    """Along the divided dimension no fewer parts would do, and they are as short as so many parts can be."""
    blocks = Design((SampledAxis("random", n, 0, (Range("gain", 0, 1),)),)).blocks(most)
    (length,) = blocks.shape
    assert len(blocks) == -(-n // min(n, most))
    assert length == -(-n // len(blocks))


@given(design=designs(), most=st.integers(1, 50), sets=st.integers(1, 200))
def test_slabs_are_rectangles_of_blocks_that_follow_one_another(design: Design, most: int, sets: int) -> None:
    """Slabs partition the blocks in order; each is exactly the sets between its first and last corner, and not too many."""
    blocks = design.blocks(most)
    slabs = list(blocks.slabs(sets))
    assert [number for slab in slabs for number in slab] == list(range(len(blocks)))
    for slab in slabs:
        corners = zip(blocks[slab[0]].start, blocks[slab[-1]].stop, strict=True)
        size = math.prod(stop - start for start, stop in corners)
        assert size == sum(blocks[number].size for number in slab)
        assert len(slab) == 1 or size <= sets


def test_a_design_without_dimensions_is_one_set_in_one_block() -> None:
    """The empty design has size 1, and a block, values, labels and coordinates that are empty."""
    design = Design()
    assert (design.dims, design.shape, design.size, design.swept) == ((), (), 1, ())
    blocks = design.blocks(10)
    assert len(blocks) == 1
    assert (blocks[0].shape, blocks[0].slices, blocks[0].size) == ((), (), 1)
    assert design.values(blocks[0]) == design.coordinates() == design.labels(0) == {}
    assert design.index() == 0


def test_a_hundred_million_sets_are_planned_without_being_made() -> None:
    """Size, blocks, and the values of a far block follow from the structure, beyond 64 bits as well."""
    design = grid(tau_s=np.geomspace(1, 100, 10**4)) * grid(gain=np.linspace(0, 1, 10**4))
    assert design.size == 10**8
    assert len(design.blocks(10**4)) == 10**4
    points = random(n=10**15, seed=1, bias=(0, 1), slope=(0.1, 10, "log"))
    huge = design * points
    blocks = huge.blocks(1000)
    assert huge.size == 10**23
    assert math.prod(blocks.counts) == 10**20
    assert huge.index(**huge.labels(10**23 - 7)) == 10**23 - 7
    values = points.values(points.blocks(100)[10**12])  # a block far out, at once
    assert values["slope"].shape == (100,)


def test_blocks_travel_by_pickle() -> None:
    """A design and a block are the same after a trip to a worker."""
    design = grid(tau_s=[1, 2]) * latin_hypercube(n=8, seed=1, gain=(0, 1))
    block = design.blocks(3)[2]
    design.values(block)
    there, same = pickle.loads(pickle.dumps((design, block)))
    assert same == block
    np.testing.assert_equal(there.values(same), design.values(block))


# -- values -----------------------------------------------------------------------------------------------------------


@law
@given(design=designs(), most=st.integers(1, 50), data=st.data())
def test_values_of_a_block_are_the_slice_of_the_whole(design: Design, most: int, data: st.DataObject) -> None:
    """Cutting into blocks changes no bit of any value."""
    everything = design.values(whole(design))
    assert tuple(everything) == design.swept
    blocks = design.blocks(most)
    block = blocks[data.draw(st.integers(0, len(blocks) - 1))]
    for name, values in design.values(block).items():
        unit = everything[name].shape[1:]
        expected = everything[name].reshape(design.shape + unit)[block.slices].reshape(block.size, *unit)
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, expected, strict=True)


@law
@given(design=designs(), data=st.data())
def test_values_are_those_of_the_labels(design: Design, data: st.DataObject) -> None:
    """Set number i has the parameters that its labels say."""
    index = data.draw(st.integers(0, design.size - 1))
    values, labels = design.values(whole(design)), design.labels(index)
    for name in design.swept:
        np.testing.assert_array_equal(values[name][index], labels[name])


@law
@given(kind=st.sampled_from(sorted(SAMPLERS)), n=st.integers(1, 300), seed=st.integers(0, 2**32), data=st.data())
def test_a_slice_of_a_sample_has_the_bits_of_the_whole(kind: str, n: int, seed: int, data: st.DataObject) -> None:
    """However a sample is asked for, its points are the same, also where they are scaled by logarithms."""
    axis = SampledAxis(kind, n, seed, (Range("tau_s", 1, 100, log=True), Range("gain", -1, 2), Range("noise", 0, 1)))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    everything, some = axis.values(0, n), axis.values(start, stop)
    for name in axis.swept:
        np.testing.assert_array_equal(some[name], everything[name][start:stop], strict=True)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_samples_lie_within_their_ranges_and_fill_them(kind: str) -> None:
    """Every value is within its ends; uniform and log-uniform values have the mean that they should."""
    (axis,) = SAMPLERS[kind](n=4096, seed=3, tau_s=(1, 100, "log"), gain=(-1, 3)).axes
    values = axis.values(0, axis.n)
    assert values["tau_s"].min() >= 1
    assert values["tau_s"].max() <= 100
    assert np.log10(values["tau_s"]).mean() == pytest.approx(1, abs=0.05)
    assert values["gain"].min() >= -1
    assert values["gain"].max() <= 3
    assert values["gain"].mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_seeds_choose_the_sample(kind: str) -> None:
    """The same seed gives the same points, another seed gives others."""
    first, again, other = (SAMPLERS[kind](n=16, seed=s, gain=(0, 1)).axes[0].values(0, 16)["gain"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.isin(first, other).any()


@pytest.mark.parametrize("kind", ["sobol", "random"])
def test_a_longer_sample_begins_with_the_shorter(kind: str) -> None:
    """Raising n extends these samples, so results of the first points can be kept."""
    short, long = (SAMPLERS[kind](n=n, seed=1, gain=(0, 1), bias=(0, 1)).axes[0].values(0, 64) for n in (64, 128))
    np.testing.assert_equal(short, long)


def test_samples_are_those_of_scipy() -> None:
    """Sobol and Latin hypercube points are scipy's, so that a study can be checked against another tool."""
    for make, engine in ((sobol, qmc.Sobol), (latin_hypercube, qmc.LatinHypercube)):
        values = make(n=64, seed=7, gain=(0, 1), bias=(-1, 1)).axes[0].values(0, 64)
        expected = qmc.scale(engine(2, rng=7).random(64), [0, -1], [1, 1])
        np.testing.assert_array_equal(np.column_stack(list(values.values())), expected)


def test_a_latin_hypercube_uses_every_stratum_once() -> None:
    """Each of n equal parts of the range holds exactly one value."""
    values = latin_hypercube(n=50, seed=1, gain=(0, 1)).axes[0].values(0, 50)["gain"]
    np.testing.assert_array_equal(np.sort(np.floor(values * 50)), np.arange(50))


def test_sobol_warns_unless_n_is_a_power_of_two() -> None:
    """The rule is named once where the design is made; scipy's own warning never shows."""
    with pytest.warns(UserWarning, match=r"sobol: n = 100: .* power of two\. Use 64 or 128\.") as caught:
        design = sobol(n=100, seed=1, gain=(0, 1))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in design.blocks(7):
            design.values(block)
        sobol(n=128, seed=1, gain=(0, 1)).coordinates()


# -- products, shapes, labels -----------------------------------------------------------------------------------------


@law
@given(n=st.integers(1, 5), m=st.integers(1, 5), k=st.integers(1, 5))
def test_multiplication_is_associative_and_concatenates_axes(n: int, m: int, k: int) -> None:
    """(a b) c is a (b c): same dimensions, shape and values; the empty design changes nothing."""
    a, b, c = grid_axis("tau_s", n), random(m, 1, gain=(0, 1), bias=(0, 1)), replicates(k)
    left, right = (a * b) * c, Design() * a * (b * c) * Design()
    assert left.dims == right.dims == ("tau_s", "point", "replicate")
    assert left.shape == right.shape == (n, m, k)
    assert left.size == n * m * k
    assert left.swept == right.swept == ("tau_s", "gain", "bias", "replicate")
    np.testing.assert_equal(left.values(whole(left)), right.values(whole(right)))


def test_only_designs_multiply() -> None:
    """A number is not a design."""
    with pytest.raises(TypeError, match="unsupported operand"):
        grid(gain=[1, 2]) * 3


def test_a_grid_stays_n_dimensional_and_samples_one_dimensional() -> None:
    """A grid has a dimension per parameter, a sample and a table one for all of theirs."""
    assert grid(tau_s=[1, 2], gain=[0, 1, 2]).shape == (2, 3)
    assert random(5, 1, tau_s=(1, 2), gain=(0, 1)).dims == ("point",)
    assert table("row", {"tau_s": [1, 1], "gain": [0, 0]}).shape == (2,)


@law
@given(design=designs(), data=st.data())
def test_labels_and_index_are_inverse(design: Design, data: st.DataObject) -> None:
    """The labels of a set lead back to its number."""
    index = data.draw(st.integers(0, design.size - 1))
    assert design.index(**design.labels(index)) == index


def test_labels_have_the_type_of_their_parameter() -> None:
    """Selectors and positions are ints, parameters floats, per-unit parameters arrays."""
    design = zipped("ramp", tau_s=[[1, 2], [3, 4]], gain=[5, 6]) * grid(network=[0, 3])
    labels = design.labels(3)
    assert {name: type(value) for name, value in labels.items()} == {
        "ramp": int,
        "tau_s": np.ndarray,
        "gain": float,
        "network": int,
    }
    np.testing.assert_equal(labels, {"ramp": 1, "tau_s": np.array([3.0, 4.0]), "gain": 6.0, "network": 3})


def test_coordinates_label_every_dimension() -> None:
    """A grid is indexed by its values, any other axis by position; all carry units and a long name."""
    design = (
        grid(**{"W[0, 1]": [0.5, 1.5]}) * zipped("ramp", tau_s=[[1, 2, 3]]) * random(4, 1, gain=(0, 1)) * replicates(2)
    )
    coordinates = design.coordinates()
    assert {name: dims for name, (dims, _, _) in coordinates.items()} == {
        "W[0,1]": ("W[0,1]",),
        "ramp": ("ramp",),
        "tau_s": ("ramp", "unit"),
        "point": ("point",),
        "gain": ("point",),
        "replicate": ("replicate",),
    }
    kinds = {name: values.dtype.name for name, (_, values, _) in coordinates.items()}
    assert kinds == dict.fromkeys(coordinates, "float64") | dict.fromkeys(("ramp", "point", "replicate"), "int64")
    assert all(attrs["units"] and attrs["long_name"] for _, _, attrs in coordinates.values())
    assert coordinates["tau_s"][2]["units"] == "ms"
    np.testing.assert_array_equal(coordinates["point"][1], np.arange(4))


def test_a_table_is_read_from_frames_mappings_and_files(tmp_path: Path) -> None:
    """The three sources of the same table give the same design; comments, blanks and a byte-order mark are harmless."""
    columns = {"tau_s": [1.0, 2.0], "W[0,1]": [0.25, 0.5]}
    path = tmp_path / "sets.csv"
    path.write_text('\ufefftau_s, "W[0,1]"\n# measured\n1, 0.25\n2, 0.5\n', encoding="utf-8")
    for source in (columns, pd.DataFrame(columns), path, str(path)):
        design = table("cell", source)
        assert design.dims == ("cell",)
        np.testing.assert_equal(design.values(whole(design)), {k: np.array(v) for k, v in columns.items()})


def test_values_are_copied_and_read_only() -> None:
    """Changing the array that a design was made of does not change the design, and nothing can."""
    values = np.array([1.0, 2.0])
    design = grid(tau_s=values)
    values[0] = 5
    held = design.axes[0].values(0, 2)["tau_s"]
    assert held[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 5


def test_an_axis_refuses_values_that_it_does_not_have() -> None:
    """Asking beyond the end is an error and not a shorter answer."""
    for design in (grid(gain=[1, 2]), random(2, 1, gain=(0, 1))):
        with pytest.raises(IndexError, match="0 to 3 of an axis that has 2"):
            design.axes[0].values(0, 3)
        with pytest.raises(IndexError):
            design.blocks(1)[2]


# -- errors -----------------------------------------------------------------------------------------------------------


def test_every_name_of_the_result_is_reserved() -> None:
    """No dimension of a design can collide with what the observables and their dimensions are called."""
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
    """Whatever is wrong with a design is refused when it is made or asked, in words that help."""
    make, message = ERRORS[case]
    with pytest.raises(JobError) as caught:
        make()
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV: .* Correct"),
        ("tau_s,gain\n1\n", "gain along 'cell' = nan at .0.: every number must be finite"),
        ("tau_s\n1,2\n3,4\n", "cannot be read as CSV: .* 1 fields in line 2, saw 2"),
        ("tau_s\n1\nten\n", "cannot be read as CSV: .*'ten'.* Correct"),
        ("tau_s,tau_s\n1,2\n", "column 'tau_s' is there 2 times. Remove"),
        ("tau_s\n", "tau_s along 'cell' is empty: .* Give one"),
        ("tau_s,\n1,2\n", "parameter 'nan' does not exist"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A file that is not a table of numbers gives an error and never shifted or missing values."""
    path = tmp_path / "sets.csv"
    path.write_text(text)
    with pytest.raises(JobError, match=message):
        table("cell", path)


def test_a_table_never_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address given as a path is a file that does not exist, not a download."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    with pytest.raises(JobError, match="cannot be read as CSV"):
        table("cell", "http://127.0.0.1:9/sets.csv")
