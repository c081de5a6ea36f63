"""A job as JSON-ready data and back. Its arrays are kept separately, by the digest of their content.

Every class that can be part of a job is a frozen dataclass with a stored kind, a name that is written next to the class::

    @stored("Sine")
    @dataclass(frozen=True)
    class Sine: ...

Stores contain this name, and never the name of the class. So the class may be renamed or moved, but its stored kind and the
names of its fields may not change. A field that is added later is declared with :func:`later`. While it has its default it is
left out of the data, so that jobs that do not use it keep their data and their hash.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from sweep.checks.calls import built
from sweep.errors import JobError

T = TypeVar("T")

KINDS: dict[str, type] = {}
"""Every stored kind and its class. The table is complete once :mod:`sweep.job` is imported."""

_NAMES: dict[type, str] = {}


def stored(kind: str) -> Callable[[type[T]], type[T]]:
    """Decorate a dataclass with its stored kind. The kind may never change.

    Raises
    ------
    ValueError
        If another class has this kind.
    """

    def register(cls: type[T]) -> type[T]:
        if kind in KINDS:
            raise ValueError(f"stored kind {kind!r} is {KINDS[kind].__name__} already: {cls.__name__} needs another")
        KINDS[kind] = cls
        _NAMES[cls] = kind
        return built(cls)

    return register


def later(default: str | float | bool | None) -> Any:
    """Return a field that older versions did not have. While it has its default it is left out of the data."""
    return dataclasses.field(default=default, metadata={"later": True})


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Turn a value into JSON-ready data.

    Parameters
    ----------
    value : object
        It may consist of stored kinds, mappings, sequences, arrays, numbers, strings and None.
    arrays : dict
        The arrays are put into this dict, by digest.
    """
    if type(value) in _NAMES:
        fields = {name: encode(getattr(value, name), arrays) for name in _written(value)}
        return {"$class": _NAMES[type(value)]} | fields
    if isinstance(value, Mapping):
        return {str(key): encode(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, arrays) for item in value]
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        head = f"{plain.dtype.str}{plain.shape}".encode()
        digest = hashlib.sha256(head + plain.tobytes()).hexdigest()
        arrays[digest] = plain
        return {"$array": digest, "shape": list(plain.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a job")


def decode(data: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Rebuild the value that :func:`encode` was given. Only stored kinds can be built.

    Raises
    ------
    JobError
        If the data names an unknown kind, a field that its kind does not have, or a missing array.
    """
    if isinstance(data, Mapping):
        if "$array" in data:
            if data["$array"] not in arrays:
                raise JobError(f"the stored job lacks the array {data['$array']!r}: the store is damaged.")
            return arrays[data["$array"]]
        if "$class" in data:
            return _rebuilt(data, arrays)
        return {key: decode(item, arrays) for key, item in data.items()}
    if isinstance(data, list):
        return tuple(decode(item, arrays) for item in data)
    return data


def _rebuilt(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    kind = data["$class"]
    if kind not in KINDS:
        raise JobError(f"the stored job has a part of the unknown kind {kind!r}: was it written by another version?")
    own = {key: decode(item, arrays) for key, item in data.items() if key != "$class"}
    unknown = own.keys() - {field.name for field in dataclasses.fields(KINDS[kind]) if field.init}
    if unknown:
        raise JobError(
            f"the stored job has {kind}.{min(unknown)}, which is unknown: was it written by another version?"
        )
    return KINDS[kind](**own)


def _written(value: Any) -> Iterator[str]:
    """Yield the names of the fields that are written: all except later ones that have their default."""
    for field in dataclasses.fields(value):
        own = getattr(value, field.name)
        default = "later" in field.metadata and type(own) is type(field.default) and own == field.default
        if field.init and not default:
            yield field.name


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return the differences of two encoded values, a line for each key: ``integration.dt: 0.5 -> 0.25``."""
    mappings = isinstance(old, Mapping) and isinstance(new, Mapping) and "$array" not in old
    if mappings and old.get("$class") == new.get("$class"):
        lines = []
        for key in dict.fromkeys([*old, *new]):
            lines += differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, f"{path}[{i}]")
        ]
    return [] if old == new else [f"{path}: {_brief(old)} -> {_brief(new)}"]


def _brief(value: Any) -> str:
    if isinstance(value, Mapping) and "$array" in value:
        return f"array{tuple(value['shape'])} {value['$array'][:8]}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
