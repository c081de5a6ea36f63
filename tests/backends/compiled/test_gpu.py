"""How a job is cut for a GPU: every job has a kernel that can be launched."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from support import needs

from sweep.backends.compiled.gpu import LANES_PER_SET, PRODUCT, THREAD_PER_SET, candidates, choose, passes
from sweep.backends.compiled.kernel import Needs

answers = st.fixed_dictionaries({name: st.sampled_from(options) for name, options in needs.ANSWERS.items()})


@st.composite
def any_needs(draw: st.DrawFn) -> Needs:
    """Draw the needs of a job of any size, with up to a hundred comparisons."""
    chosen = draw(answers) | {"comparisons": draw(st.just(0) | st.integers(1, 100))}
    return needs.needs(draw(st.integers(1, 300)), chosen)


@given(asked=any_needs())
def test_every_job_has_a_plan_that_can_be_launched(asked: Needs) -> None:
    """Any job is divided into passes, each with threads, shared memory and arguments that any GPU takes."""
    for _, one in passes(asked):
        assert one.threads % 32 == 0
        assert 32 <= one.threads <= 256
        assert one.tile_sets >= 1
        assert 0 <= one.shared_bytes <= 48 << 10
        assert one.arguments.itemsize <= 4096
        assert one.file == PRODUCT or one.fits
        assert one.stage % one.unroll == 0


@given(asked=any_needs())
def test_passes_partition_the_comparisons(asked: Needs) -> None:
    """Each comparison is made in one pass. The first pass measures all other observables, and the other passes none."""
    divided = passes(asked)
    assert [i for part, _ in divided for i in range(part.start, part.stop)] == list(range(asked.comparisons))
    for number, (part, one) in enumerate(divided):
        others = dataclasses.replace(one.needs, comparisons=asked.comparisons, reading_of=asked.reading_of)
        # Comparisons that share a reading still do, and the readings of a pass are numbered without gaps.
        shared = set(zip(asked.reading_of[part], one.needs.reading_of, strict=True))
        assert len(shared) == one.needs.readings == len(set(asked.reading_of[part]))
        assert set(one.needs.reading_of) == set(range(one.needs.readings))
        assert one.needs.comparisons == part.stop - part.start <= 32
        if number == 0:
            assert others == asked
        else:
            assert one.needs.moments_x == one.needs.record_x == one.needs.record_r == 0
            assert one.needs.moments_r == (one.needs.correlation or one.needs.readings > 0)
            assert not one.needs.running


@given(asked=any_needs())
def test_the_last_way_is_always_possible(asked: Needs) -> None:
    """A job that no design on the chip can hold gets the product, whatever it asks for."""
    *_, last = candidates(asked)
    assert last.file == PRODUCT
    assert choose(asked).file in (THREAD_PER_SET, LANES_PER_SET, PRODUCT)


@given(asked=any_needs())
def test_a_step_is_looked_for_along_the_way_that_was_taken(asked: Needs) -> None:
    """The kernel that finds the step of a divergence has the same sizes and equations, and measures nothing."""
    looking = asked.to_detect()
    assert looking.detect
    assert looking.sums == 0
    own = (
        "units",
        "precision",
        "activation",
        "sequential",
        "compensated",
        "coupling",
        "modes",
        "stimuli",
        "input_units",
    )
    assert [getattr(looking, name) for name in own] == [getattr(asked, name) for name in own]
