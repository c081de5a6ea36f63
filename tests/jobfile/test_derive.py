"""Tables that come from functions: what an annotation, a default and a docstring become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError, create_model

import sweep
from sweep.checks import Count, NotNegative, OneOf, Positive, Seed, Whole
from sweep.design.makers import DESIGNS
from sweep.files import FromFile, Source
from sweep.jobfile.derive import part_of_design, table
from sweep.jobfile.values import Table
from sweep.model.weights import INPUT_WEIGHTS, WEIGHTS
from sweep.signals.recordings import RECORDINGS
from sweep.signals.signal import Numbers
from sweep.signals.waveforms import WAVEFORMS


def make(
    count: Count,
    level: Numbers,
    seed: Seed = 0,
    ratio: Positive | None = None,
    sizes: Sequence[NotNegative] | NDArray[np.float64] = (),
    shape: Annotated[str, OneOf(("round", "square"))] = "round",
    loud: bool = False,
    note: str = "",
    rest: Mapping[str, float] | None = None,
) -> None:
    """Make a thing, ``loud`` or not.

    It has more than one line,
    see :func:`sweep.sine`.

    Parameters
    ----------
    count : int
        How many,
        in all.
    level, seed : float
        Two of them.
    """


MADE = table(make, "ThingTable", kind="thing")
GOOD = {"kind": "thing", "count": 1, "level": [1, 2.5]}


def test_the_docstring_describes_the_table_and_its_keys() -> None:
    """Marks of reStructuredText and line breaks are not for readers of a schema."""
    made = MADE.model_json_schema()
    assert made["title"] == "Thing table"
    assert made["description"] == "Make a thing, loud or not. It has more than one line, see sweep.sine."
    assert made["properties"]["count"]["description"] == "How many, in all."
    assert made["properties"]["level"]["description"] == made["properties"]["seed"]["description"] == "Two of them."


def test_the_signature_says_what_must_be_given() -> None:
    """What has a default may be left out, and keys are in the order of the arguments."""
    made = MADE.model_json_schema()
    assert made["required"] == ["kind", "count", "level"]
    assert list(made["properties"]) == [
        "kind",
        "count",
        "level",
        "seed",
        "ratio",
        "sizes",
        "shape",
        "loud",
        "note",
        "rest",
    ]
    assert {key: value["default"] for key, value in made["properties"].items() if value.get("default") is not None} == {
        "seed": 0,
        "shape": "round",
        "loud": False,
        "note": "",
    }
    assert MADE.model_validate(GOOD).given() == {"count": 1, "level": [1.0, 2.5]}


@pytest.mark.parametrize(
    "key_and_value",
    [
        {"count": 0},
        {"count": 1.0},
        {"count": True},
        {"count": 10**9},
        {"level": "1"},
        {"level": float("inf")},
        {"seed": 2**64},
        {"ratio": 0},
        {"sizes": [-1]},
        {"sizes": 1},
        {"shape": "oval"},
        {"loud": 1},
        {"note": 1},
        {"rest": {"a": "b"}},
        {"kind": "other"},
        {"other": 1},
    ],
    ids=str,
)
def test_the_annotation_says_what_may_stand_there(key_and_value: dict[str, Any]) -> None:
    """Bounds, names and kinds of numbers are those of Python, and nothing is converted."""
    MADE.model_validate(GOOD | {"sizes": [0, 1.5], "ratio": 2, "shape": "square", "loud": True, "rest": {"a": 1}})
    with pytest.raises(ValidationError, match=next(iter(key_and_value))):
        MADE.model_validate(GOOD | key_and_value)


def test_an_annotation_without_a_form_is_an_error_of_ours() -> None:
    """An argument without a form is an error, unless its form is written out. Such forms come last, in their order."""

    def odd(first: slice, second: Count = 1, third: bytes = b"") -> None:
        """Make an odd thing."""

    with pytest.raises(TypeError, match=r"slice.* has no form in job files"):
        table(odd, "OddTable", without=["third"])
    made = table(odd, "OddTable", forms={"third": str, "first": list[int]})
    assert list(made.model_fields) == ["second", "third", "first"]


def test_an_argument_that_may_be_a_file_has_a_key_for_each_way() -> None:
    """Exactly one of several ways must be used, and a single one must be given."""

    def read(data: Annotated[ArrayLike | Source, FromFile(("file", "values"))], column: Whole = 0) -> None:
        """Read."""

    made = table(read, "ReadTable")
    assert made.source == ("file", "values")
    assert made.model_validate({"values": [[1, 2], [3, 4]]}).given() == {"values": [[1.0, 2.0], [3.0, 4.0]]}
    for wrong in ({}, {"file": "a", "values": [1]}, {"data": [1]}):
        with pytest.raises(ValidationError):
            made.model_validate(wrong)

    def only(data: Annotated[Source, FromFile(("file",))]) -> None:
        """Read."""

    assert table(only, "OnlyTable").model_json_schema()["required"] == ["file"]


def test_the_signature_of_a_design_says_how_it_is_written() -> None:
    """A number, parameters with values, a table of arguments; and any of these by the name of a dimension."""

    def often(n: Count) -> None:
        """Repeat."""

    def crossed(**values: ArrayLike) -> None:
        """Parameters."""

    def drawn(n: Count, **ranges: tuple[Any, ...]) -> None:
        """Arguments."""

    def along(dim: str, n: Count, **ranges: tuple[Any, ...]) -> None:
        """By dimension."""

    def design(maker: Any) -> type[Table]:
        return create_model("DesignTable", __base__=Table, part=part_of_design("part", maker))

    good: dict[Any, Any] = {
        often: 3,
        crossed: {"tau_s": [1, 2], "W[0,1]": {"linspace": [0, 1, 3]}},
        drawn: {"n": 3, "ranges": {"gain": [0, 1]}},
        along: {"cell": {"n": 3, "ranges": {"gain": [0, 1, "log"]}}},
    }
    for maker in good:
        for other, part in good.items():
            if maker is other:
                design(maker).model_validate({"part": part})
            else:
                with pytest.raises(ValidationError):
                    design(maker).model_validate({"part": part})


def test_every_maker_is_public_under_the_name_that_it_has_in_job_files() -> None:
    """What a file can say, Python can say in the same word."""
    for kind, maker in {**WAVEFORMS, **RECORDINGS, **DESIGNS}.items():
        assert getattr(sweep, kind) is maker
    for kind, maker in WEIGHTS.items():
        assert kind in ("file", "values") or getattr(sweep, kind) is maker
    assert INPUT_WEIGHTS["random"] is sweep.input_weights
