"""Make tables of job files from functions: one definition for Python, for TOML and for the schema.

The keys of a table are the arguments of a function. The annotation of an argument says which values are allowed. Its default, and
its description in the docstring, are those of the key. The first lines of the docstring describe the table. So a signal, a design
or a kind of weights that is added in Python can be used in job files without any other change. If a file allows more than
Python, the form of a key is written out.

Fields of dataclasses are read in the same way as arguments of functions.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
from annotated_types import Ge
from numpy.typing import ArrayLike
from pydantic import Field, create_model

from sweep.checks import values as checks
from sweep.checks.units import Unit
from sweep.files import Column, FromFile
from sweep.jobfile.values import (
    MOST_VALUES,
    ColumnOfFile,
    Flag,
    Numbers,
    OneOf,
    Range,
    SweptValues,
    Table,
    Text,
    TwoNumbers,
    ZippedValues,
    by_parameter,
)
from sweep.signals import signal

Maker = Callable[..., Any]
Keys = dict[str, Any]
"""Keys of a table, as pydantic takes them: the form of the value, and ``Field(default=..., description=...)``."""

_FORMS: Mapping[Any, Any] = {
    str: Text,
    bool: Flag,
    signal.Numbers: Numbers,
    tuple[Any, ...]: Range,
    tuple[float, float]: TwoNumbers,
    ArrayLike: SweptValues,
    Column: ColumnOfFile,
}


def table(
    maker: Maker,
    name: str,
    *,
    kind: str | None = None,
    without: Iterable[str] = (),
    forms: Mapping[str, Any] | None = None,
    more: Keys | None = None,
) -> type[Table]:
    """Make the table whose keys are the arguments of a function.

    Parameters
    ----------
    maker : callable
        A function or a dataclass, with annotations and a numpydoc docstring.
    name : str
        Name of the table. Its words are the title in the schema.
    kind : str, optional
        The value of its key ``kind``; without it there is no such key.
    without : iterable of str
        Arguments that do not come from the table.
    forms : mapping, optional
        The form of the value in a file, by argument, if a file allows more than Python. These keys come last, in this
        order, because most are tables, which in TOML come after plain keys.
    more : mapping, optional
        Keys that are not arguments.

    Returns
    -------
    type of Table
        The table. An argument that may be a file has a key for each way to give it, and one of these must be used.

    Raises
    ------
    TypeError
        If an annotation has no form in job files.
    """
    forms = forms or {}
    about, described = _documentation(maker)
    hints = get_type_hints(maker, include_extras=True)
    arguments = {key: argument for key, argument in _arguments(maker).items() if key not in without}
    ways: tuple[str, ...] = ()
    keys: Keys = {} if kind is None else {"kind": (Literal[kind], Field(description=about))}
    for key in [*(key for key in arguments if key not in forms), *forms]:
        argument, text = arguments[key], described.get(key, "")
        if isinstance(mark := _marks(hints[key])[-1], FromFile):
            ways = mark.ways
            keys |= _source(ways, text)
        elif argument.kind is Parameter.VAR_KEYWORD:
            keys[key] = (by_parameter(form(hints[key])), Field(description=text))
        else:
            written = forms.get(key) or form(hints[key])
            keys[key] = _key(written, argument.default, text)
    made: type[Table] = create_model(name, __base__=Table, __doc__=about, **(keys | (more or {})))
    made.source = ways
    made.ways = tuple((way,) for way in ways) if len(ways) > 1 else ()
    return made


def form(annotation: Any) -> Any:
    """Return the form of a value in a job file for an annotation.

    Raises
    ------
    TypeError
        If the annotation has no form.
    """
    annotation = checks.without_none(annotation)
    if annotation in _FORMS:
        return _FORMS[annotation]
    if get_origin(annotation) in (Union, UnionType):
        return form(get_args(annotation)[0])  # an array may stand for a list
    kind, *marks = _marks(annotation)
    if kind is str and isinstance(marks[0], checks.OneOf):
        return Annotated[str, OneOf(marks[0].names)]
    if kind is int:
        # More than this of anything is surely a mistake.
        most = MOST_VALUES if Ge(1) in marks else None
        return Annotated[(int, *marks, Field(strict=True, le=most))]
    if kind is float:
        return Annotated[(float, *marks, Field(strict=True, allow_inf_nan=False))]
    if kind in _FORMS and all(isinstance(mark, Unit) for mark in marks):
        return _FORMS[kind]
    if get_origin(kind) is Sequence:
        return GenericAlias(list, form(get_args(kind)[0]))
    if get_origin(kind) is Mapping:
        return GenericAlias(dict, (str, form(get_args(kind)[1])))
    raise TypeError(f"{annotation} has no form in job files: use an annotation that has, or write its form out")


def by_kind(makers: Mapping[str, Maker], ending: str, **options: Any) -> list[type[Table]]:
    """Make a table for each function, by kind. ``white_noise`` and the ending ``Signal`` make WhiteNoiseSignal."""
    return [table(maker, _title(kind) + ending, kind=kind, **options) for kind, maker in makers.items()]


def part_of_design(name: str, maker: Maker) -> tuple[Any, Any]:
    """Make the key for a function that makes a design. Its form follows from the signature.

    If the first argument is ``dim``, the value is a table whose keys are names of dimensions. The value itself (or of each
    dimension) is a table of parameters if the function takes only parameters with their values, a number if it takes a single
    number, and else a table of its arguments.
    """
    about, _ = _documentation(maker)
    arguments = list(_arguments(maker).values())
    keyed = leads_with_dim(maker)
    first = arguments[keyed]
    hint = get_type_hints(maker, include_extras=True)[first.name]
    if first.kind is Parameter.VAR_KEYWORD:
        part = by_parameter(ZippedValues if keyed else SweptValues)
    elif len(arguments) == keyed + 1 and not isinstance(_marks(hint)[-1], FromFile):
        part = form(hint)
    else:
        part = table(maker, f"{_title(name)}Design", without=["dim"] if keyed else [])
    if keyed:
        part = GenericAlias(dict, (str, part))
        about = f"{about} The keys are names of dimensions."
    return part | None, Field(default=None, description=about)


def leads_with_dim(maker: Maker) -> bool:
    """Return whether the first argument of a function that makes a design is the name of a dimension."""
    return next(iter(_arguments(maker))) == "dim"


def unfolded(maker: Maker, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call. A table's value for an argument such as ``**ranges`` becomes keywords."""
    folded = {name for name, argument in _arguments(maker).items() if argument.kind is Parameter.VAR_KEYWORD}
    plain = {name: value for name, value in arguments.items() if name not in folded}
    return plain | {name: value for key in folded for name, value in arguments[key].items()}


def _title(kind: str) -> str:
    return kind.title().replace("_", "")


def _arguments(maker: Maker) -> Mapping[str, Parameter]:
    return inspect.signature(maker).parameters


def _marks(annotation: Any) -> tuple[Any, ...]:
    """Return the type of an annotation and its marks."""
    return get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)


def _key(written: Any, default: Any, text: str) -> tuple[Any, Any]:
    """Return a key of a table. It is optional if the argument has a default; the schema shows a plain default."""
    if default is Parameter.empty:
        return written, Field(description=text)
    plain = default if isinstance(default, str | int | float) else None
    return written if plain is not None else written | None, Field(default=plain, description=text)


def _source(ways: Sequence[str], text: str) -> Keys:
    """Return the keys that give an argument as a file, as a resource, or as numbers."""
    known = {
        "file": (Text, f"Path of a file, relative to the job file. {text}"),
        "resource": (Text, 'File of an installed Python package, "package:folder/file.txt"; it is not imported.'),
    }
    keys: Keys = {}
    for way in ways:
        written, about = known.get(way, (GenericAlias(list, Numbers), text))
        keys[way] = _key(written, Parameter.empty if len(ways) == 1 else None, about)
    return keys


@functools.cache
def _documentation(maker: Maker) -> tuple[str, Mapping[str, str]]:
    """Return what a docstring says about a function, and about each of its arguments."""
    parsed = docstring_parser.parse(inspect.getdoc(maker) or "", docstring_parser.DocstringStyle.NUMPYDOC)
    described = {
        name.strip(" *"): _plain(entry.description or "")
        for entry in parsed.params
        for name in entry.arg_name.split(",")
    }
    return _plain(f"{parsed.short_description or ''} {parsed.long_description or ''}"), described


def _plain(text: str) -> str:
    """Return a text in one line, without the markup of reStructuredText."""
    return " ".join(re.sub(r":\w+:`([^`]*)`|`+", r"\1", text).split())
