"""The laws of designs: blocks partition the sets, labels name them, and slices agree with the whole."""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.design.axes import Range, SampledAxis
from sweep.design.design import Block, Design
from sweep.design.makers import grid, latin_hypercube, random, replicates, sobol, table, zipped
from sweep.errors import JobError

# There is no deadline, because a busy machine says nothing about the law.
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
    """Every set is in exactly one block, and no block is larger than the limit or than a chunk."""
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
    """Blocks start at multiples of one shape, which divides a dimension only if it has single points of all earlier ones."""
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
    """The divided dimension has as few parts as possible, and they are as short as possible."""
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
    """A design and a block are the same after being sent to a worker."""
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


@pytest.mark.parametrize("wrong", [3, 2.5, None, [1, 2], "gain"])
def test_only_designs_multiply(wrong: Any) -> None:
    """The message says what to multiply by."""
    times = "3" if wrong == 3 else "n"
    rule = rf"a design is multiplied by a design.*replicates\({times}\).*grid\("
    with pytest.raises(JobError, match=rf"design \* {re.escape(repr(wrong))}: {rule}"):
        grid(gain=[1, 2]) * wrong
    with pytest.raises(JobError, match=rf"{re.escape(repr(wrong))} \* design: {rule}"):
        wrong * grid(gain=[1, 2])


def test_a_grid_stays_n_dimensional_and_samples_one_dimensional() -> None:
    """A grid has a dimension per parameter, a sample and a table one for all of theirs."""
    assert grid(tau_s=[1, 2], gain=[0, 1, 2]).shape == (2, 3)
    assert random(5, 1, tau_s=(1, 2), gain=(0, 1)).dims == ("point",)
    assert table("row", {"tau_s": [1, 1], "gain": [0, 0]}).shape == (2,)


@law
@given(design=designs(), data=st.data())
def test_labels_and_index_are_inverse(design: Design, data: st.DataObject) -> None:
    """From the labels of a set follows its number."""
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
