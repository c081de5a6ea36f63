"""Frozen dataclasses to JSON-ready data and back, with arrays aside, named by the digest of their content."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sweep.errors import JobError


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Turn a value into JSON-ready data.

    Parameters
    ----------
    value : object
        Built of dataclasses, mappings, sequences, arrays, numbers, strings and None.
    arrays : dict
        Receives the arrays, by digest.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value) if f.init}
        return {"$class": type(value).__name__} | fields
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


def decode(data: Any, arrays: Mapping[str, np.ndarray], classes: Mapping[str, type]) -> Any:
    """Rebuild what :func:`encode` was given; only the named classes can be built.

    Raises
    ------
    JobError
        If the data names another class or an array that is missing.
    """
    if isinstance(data, Mapping):
        if "$array" in data:
            if data["$array"] not in arrays:
                raise JobError(f"the stored job lacks the array {data['$array']!r}: the store is damaged.")
            return arrays[data["$array"]]
        if "$class" in data:
            if data["$class"] not in classes:
                raise JobError(
                    f"the stored job has a part of the unknown kind {data['$class']!r}: was it written by another version?"
                )
            own = {key: decode(item, arrays, classes) for key, item in data.items() if key != "$class"}
            return classes[data["$class"]](**own)
        return {key: decode(item, arrays, classes) for key, item in data.items()}
    if isinstance(data, list):
        return tuple(decode(item, arrays, classes) for item in data)
    return data


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """List where two encoded values differ, a line a key: ``integration.dt: 0.5 -> 0.25``."""
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
