"""The values that a key of a job file may have: numbers, texts, values of a sweep, parameters by name.

Everything is strict: "1" is not a number, true is not 1, and 1.5 is not a whole number.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from sweep.checks import values as checks
from sweep.errors import JobError, suggest
from sweep.model.parameters import INPUT_NUMBERS, PARAMETERS, SELECTORS, parse_name

#: More values than this along one axis are surely a mistake, and would only fill the memory.
MOST_VALUES = 10_000_000

JsonSchema = dict[str, Any]
Ways = tuple[tuple[str, ...], ...]


class Table(BaseModel):
    """A table of a job file with a fixed set of keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        model_title_generator=lambda table: re.sub(r"(?<=[a-z])[A-Z]", lambda m: f" {m[0].lower()}", table.__name__),
    )

    #: Ways to write the table, each with its keys. Exactly one of them must be used.
    ways: ClassVar[Ways] = ()
    #: Keys of which one gives the first argument of the maker: a file, or numbers.
    source: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any, info: ValidationInfo) -> Any:
        # An error knows only its place in the file. With this it can say which keys are allowed there.
        if info.context is not None:
            info.context[id(data)] = cls
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Table:
        keys = {key for way in self.ways for key in way}
        if self.ways and not any(set(way) == keys & self.model_fields_set for way in self.ways):
            options = " or ".join(" + ".join(way) for way in self.ways)
            raise JobError(f"exactly one of {options} must be given. Add the missing one, or remove the others.")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        """Add to the schema that exactly one of the ways must be used."""
        schema = handler(core)
        if cls.ways:
            handler.resolve_ref_schema(schema)["oneOf"] = [{"required": list(way)} for way in cls.ways]
        return schema

    def given(self) -> dict[str, Any]:
        """Return the keys that the file has, except ``kind``. They are the arguments of the maker."""
        return {name: value for name, value in self if name in self.model_fields_set and name != "kind"}


Text = Annotated[str, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[checks.Positive, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[checks.Whole, Field(strict=True)]
Count = Annotated[checks.Count, Field(strict=True, le=MOST_VALUES)]


@dataclass(frozen=True, eq=False)
class OneOf:
    """A text that must be one of some names. For some wrong texts there is a hint, if a similar name would not help."""

    names: Collection[str]
    hints: Mapping[str, str] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the name after pydantic has checked that it is a text."""
        return core_schema.no_info_after_validator_function(self._check, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        """Add the names to the schema."""
        return handler(core) | {"enum": list(self.names)}

    def _check(self, name: str) -> str:
        if name not in self.names:
            raise JobError(f"= {name!r} does not exist. {self.hints.get(name) or suggest(name, self.names)}")
        return name


def choice(message: str, **forms: type) -> Discriminator:
    """Choose a member of a union by the type of the value. Users see neither the union nor its tags."""

    def form(value: Any) -> str | None:
        return next((f"<{tag}>" for tag, kind in forms.items() if isinstance(value, kind)), None)

    return Discriminator(form, custom_error_type="form", custom_error_message=message)


def of_one_kind(tables: Sequence[type[Table]]) -> Any:
    """Return the form of a table whose key ``kind`` says which of these it is."""
    return Annotated[functools.reduce(operator.or_, tables), Field(discriminator="kind")]


def one_or_several(key: str, tables: Sequence[type[Table]]) -> Any:
    """Return the form of a key that has one of these tables, or a list of them."""
    one = of_one_kind(tables)
    return Annotated[
        Annotated[one, Tag("<one>")] | Annotated[GenericAlias(list, one), Tag("<several>")],
        choice(f"must be a table [{key}], or several [[{key}]]", one=dict, several=list),
    ]


Numbers = Annotated[
    Annotated[Number, Tag("<one>")] | Annotated[list[Number], Tag("<several>")],
    choice("must be a number or a list of numbers", several=list, one=object),
]


TwoNumbers = Annotated[tuple[Number, Number], Field(strict=False)]

ColumnOfFile = Annotated[
    Annotated[Whole, Tag("<number>")] | Annotated[Text, Tag("<name>")],
    choice("must be the number of a column, counted from 0, or its name", name=str, number=object),
]


class Spaced(Table, use_attribute_docstrings=True):
    """Values at regular distances or ratios."""

    ways: ClassVar[Ways] = (("linspace",), ("geomspace",), ("start", "stop", "step"))

    linspace: Annotated[tuple[Number, Number, Count], Field(strict=False)] | None = None
    """[start, stop, num]: num values at equal distances, including both ends."""
    geomspace: Annotated[tuple[Positive, Positive, Count], Field(strict=False)] | None = None
    """[start, stop, num]: num values at equal ratios, including both ends; all above 0."""
    start: Number | None = None
    """The first value."""
    stop: Number | None = None
    """The largest possible value; it is included if a whole number of steps leads to it."""
    step: Number | None = None
    """Distance from one value to the next."""


_LIST_OR_TABLE = (
    "must be a list of values, { linspace = [start, stop, num] }, { geomspace = [start, stop, num] } or "
    "{ start = ..., stop = ..., step = ... }"
)

Values = Annotated[
    Annotated[list[Number], Tag("<list>")] | Annotated[Spaced, Tag("<table>")],
    choice(_LIST_OR_TABLE, list=list, table=dict),
]


class Swept(Spaced, use_attribute_docstrings=True):
    """Values of a swept parameter: at regular distances or ratios, or time constants by their rate constants."""

    ways: ClassVar[Ways] = (*Spaced.ways, ("rate_constants",))

    rate_constants: Values | None = None
    """For tau_s and tau_r: rate constants alpha = dt/tau above 0, instead of time constants; 1 is instantaneous."""


SweptValues = Annotated[
    Annotated[list[Number], Tag("<list>")] | Annotated[Swept, Tag("<table>")],
    choice(_LIST_OR_TABLE, list=list, table=dict),
]
ZippedValues = Annotated[
    Annotated[list[Numbers], Tag("<list>")] | Annotated[Swept, Tag("<table>")],
    choice(_LIST_OR_TABLE, list=list, table=dict),
]


def _range(value: list[Any]) -> tuple[Any, ...]:
    ends = value[:2]
    if len(ends) < 2 or value[2:] not in ([], ["log"]) or any(type(end) not in (int, float) for end in ends):
        raise JobError(f'= {value!r}: a range is [low, high], or [low, high, "log"] for equal ratios. Write it so.')
    return tuple(value)


class _RangeSchema:
    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        ends: list[JsonSchema] = [{"type": "number"}, {"type": "number"}, {"const": "log"}]
        return {"type": "array", "prefixItems": ends, "minItems": 2, "maxItems": 3}


Range = Annotated[list[Any], AfterValidator(_range), _RangeSchema()]


def _parameter(name: str) -> str:
    parse_name(name)
    return name


#: Some units in the name of a parameter, as a pattern of a schema.
_PLACE = r"\s*(\d+|\d*\s*:\s*\d*|[A-Za-z_]\w*)\s*"


@dataclass(frozen=True)
class ByParameter:
    """Lists the parameters in the schema, so that an editor completes and explains them.

    Those of the input are numbers that only a design can vary.
    """

    swept: bool

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        """Return the schema: parameters by name, and patterns of those with an index."""
        value = handler(core)["additionalProperties"]
        unit = "|".join(name for name, row in PARAMETERS.items() if row.per_unit)
        return {
            "type": "object",
            "properties": {
                row.name: value | {"title": row.symbol, "description": f"{row.long_name} [{row.units}]"}
                for row in (*PARAMETERS.values(), *SELECTORS.values(), *(INPUT_NUMBERS.values() if self.swept else ()))
            },
            "patternProperties": {
                rf"^({unit})\[{_PLACE}\]$": value
                | {
                    "description": "the parameter of some units: one, counted from 0, a slice start:stop, or a population"
                },
                rf"^gain\[{_PLACE},{_PLACE}\]$": value
                | {"description": "the factor of all weights, gain[to, from], between units, slices or populations"},
                r"^W\[\s*\d+\s*,\s*\d+\s*\]$": value | {"description": "one weight, W[to, from], counted from 0"},
            },
            "additionalProperties": False,
        }


ParameterKey = Annotated[str, AfterValidator(_parameter)]


def by_parameter(value: Any, swept: bool = True) -> Any:
    """Return the form of a table whose keys are parameters, which a design sweeps or which are common to all sets."""
    return Annotated[GenericAlias(dict, (ParameterKey, value)), ByParameter(swept)]
