"""The checks of whole numbers, numbers, arrays and names, and that every public function uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
import pytest

import sweep
from sweep.checks import (
    Count,
    NotNegative,
    OneOf,
    Positive,
    Seed,
    Whole,
    array,
    check_fields,
    checked,
    number,
    numbers_of,
    one_of,
    whole,
)
from sweep.errors import JobError

NOT_NUMBERS: dict[str, Any] = {
    "a text": "1",
    "a truth": True,
    "a truth of NumPy": np.bool_(True),
    "a complex number": 1j,
    "a masked number": np.ma.masked_array(1, mask=True),
    "the masked constant": np.ma.masked,
    "nothing": None,
    "a date": np.datetime64("2020-01-01"),
}


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
@pytest.mark.parametrize("check", [whole, number, array, numbers_of])
def test_what_is_no_number_is_refused_by_every_check(check: Callable[[str, Any], object], value: Any) -> None:
    """It is refused by itself, in a list, and in an array of its own type."""
    with pytest.raises(JobError, match=r"^key"):
        check("key", value)
    with pytest.raises(JobError, match=r"^key"):
        check("key", [value, value])
    with pytest.raises(JobError, match=r"^key"):
        check(
            "key",
            np.array([1, value]) if isinstance(value, complex) else np.ma.masked_array([1, 2], mask=[False, True]),
        )


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_whole_numbers_of_python_and_numpy_are_one(value: Any) -> None:
    """The result is an int."""
    assert whole("key", value) == 3
    assert type(whole("key", value)) is int


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2), Decimal("0.5")])
def test_numbers_of_python_and_numpy_are_one(value: Any) -> None:
    """The result is a float."""
    assert number("key", value) == 0.5
    assert type(number("key", value)) is float


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: whole("key", 1.0), r"key = 1\.0: must be a whole number of at least 0\. Correct the value\."),
        (lambda: whole("key", 0, Count), r"key = 0: must be a whole number of at least 1\. Correct"),
        (lambda: whole("key", 2**64, Seed), r"must be a whole number of at least 0 and below 18446744073709551616\."),
        (lambda: whole("key", -1, int, "Use 1."), None),
        (lambda: whole("key", [1] * 99, Whole), r"key = \[1, 1.*\.\.\.: must be a whole number of at least 0"),
        (lambda: number("key", 0, Positive, "Use 1."), r"key = 0: must be above 0\. Use 1\."),
        (lambda: number("key", -1, NotNegative), r"key = -1: must be at least 0\. Correct"),
        (lambda: number("key", np.inf), r"key = inf: must be finite\. Correct"),
        (lambda: number("key", "1"), r"key = '1': must be a number\. Write it without quotes\."),
        (lambda: number("key", np.ones(1)), r"key = array.*: must be a number\. Give one number\."),
        (lambda: array("key", [[1, 2], [3]]), r"key = \[\[1, 2\], \[3\]\]: its rows differ in length\. Give every row"),
        (lambda: array("key", [[1, 2], [3, np.nan]]), r"key = nan at \[1, 1\]: every number must be finite\. Remove"),
        (lambda: array("key", np.nan), r"key = nan: every number must be finite\. Remove"),
        (lambda: array("key", ["1"]), r"key = \['1'\]: must be a number or an array of numbers, none masked\. Remove"),
        (lambda: numbers_of("key", [[1.0]]), r"key = \[\[1\.0\]\]: must be a number or a list of numbers\. Write"),
        (lambda: one_of("key", "tahn", ("tanh", "relu")), r"key = 'tahn' does not exist\. Did you mean 'tanh'\?"),
        (lambda: one_of("key", ["tanh"], ("tanh", "relu")), r"key = \['tanh'\] does not exist\."),
    ],
)
def test_a_message_names_key_value_rule_and_remedy(check: Callable[[], object], message: str | None) -> None:
    """All messages have the same wording; a rule without bounds allows every number."""
    if message is None:
        assert check() == -1
        return
    with pytest.raises(JobError, match=message):
        check()


def test_an_array_is_a_copy_that_nothing_can_change() -> None:
    """Float64, contiguous, of the same shape; unmasked entries of a masked array are numbers, and so are huge integers."""
    given = np.asfortranarray(np.arange(6).reshape(2, 3))
    made = array("key", given)
    given[0, 0] = 9
    assert made.dtype == np.float64
    assert made.flags.c_contiguous
    assert made.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(ValueError, match="read-only"):
        made[0, 0] = 1.0
    assert array("key", np.ma.masked_array([1, 2], mask=False)).tolist() == [1.0, 2.0]
    assert array("key", [2**70, Fraction(1, 4)]).tolist() == [2.0**70, 0.25]


def test_masked_entries_are_seen_inside_lists() -> None:
    """NumPy would make them the numbers that lie below the mask."""
    with pytest.raises(JobError, match=r"key = .*: must be a number or an array of numbers, none masked\. Remove"):
        array("key", [np.ma.masked_array([1, 2], mask=[False, True]), [3, 4]])


def test_annotations_are_the_rules_of_arguments_and_fields() -> None:
    """Numbers become int and float, None is kept where it is allowed, and arguments without a rule are unchanged."""

    @checked
    def make(n: Count, ratio: Positive = 1.0, kind: Annotated[str, OneOf(("a", "b"))] = "a", rest: Any = None) -> Any:
        return n, ratio, kind, rest

    assert make(np.int8(2), np.float32(0.5), rest=[True]) == (2, 0.5, "a", [True])
    with pytest.raises(JobError, match="n = True: must be a whole number of at least 1"):
        make(True)
    with pytest.raises(JobError, match="kind = 'c' does not exist"):
        make(1, kind="c")
    with pytest.raises(JobError, match=r"make: n must be given\. Add n=\.\.\."):
        make()

    @dataclass(frozen=True)
    class Thing:
        n: Count
        limit: Positive | None = None

        def __post_init__(self) -> None:
            check_fields(self, "thing")

    assert Thing(1, 2) == Thing(1, 2.0)
    assert Thing(1).limit is None
    with pytest.raises(JobError, match=r"thing\.limit = 0: must be above 0\. Correct the value, or leave it out\."):
        Thing(1, 0)


MASKED = np.ma.masked_array([1.0, 2.0], mask=[False, True])
DOORS: dict[str, Callable[[Any], object]] = {
    "weights": lambda bad: sweep.Model(2, weights=[[1, 1], bad]),
    "input weights": lambda bad: sweep.Model(
        2, input_weights=np.transpose([[1, 1], bad]) if bad is None else [bad, bad]
    ),
    "common parameter": lambda bad: sweep.Model(2, parameters={"bias": bad}),
    "grid": lambda bad: sweep.grid(gain=bad),
    "zipped": lambda bad: sweep.zipped("cell", bias=bad),
    "samples": lambda bad: sweep.samples(bad, interval=1.0),
    "spikes": lambda bad: sweep.spikes(bad),
    "sine": lambda bad: sweep.sine(frequency=bad),
    "lags": lambda bad: sweep.Target(sweep.sine(), lags=bad),
    "teacher": lambda bad: sweep.model_output({"bias": bad}),
    "teacher's weights": lambda bad: sweep.model_output({}, weights=[[1, 1], bad]),
    "perturbations": lambda bad: sweep.perturb(np.eye(2), fractions=bad, seed=1),
}


@pytest.mark.parametrize(
    "bad", [["1", "2"], [True, False], [1j, 2.0], MASKED], ids=["text", "truth", "complex", "masked"]
)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_no_door_takes_for_numbers_what_are_none(door: Callable[[Any], object], bad: Any) -> None:
    """Texts, booleans, complex numbers and masked entries are refused everywhere."""
    with pytest.raises(JobError):
        door(bad)
