"""Messages about mistakes in a job file, in the words of the file: place, value, rule and remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from sweep.errors import suggest
from sweep.jobfile import tables
from sweep.jobfile.values import Table
from sweep.model.weights import INPUT_WEIGHTS, WEIGHTS


def explain(detail: ErrorDetails, data: Mapping[str, Any], seen: Mapping[int, type[Table]]) -> str:
    """Return pydantic's error in the words of the job file: place, value, rule and remedy."""
    path, parent = _place(detail["loc"], data)
    fields = seen[id(parent)].model_fields if id(parent) in seen else {}
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    match kind:
        case "missing" if isinstance(parent, list):
            return f"{path} is missing: {_brief(parent)} has {len(parent)} entries and needs more. Add it."
        case "missing":
            return f"{path} is missing: {fields[name].description} Add {name} = ..."
        case "extra_forbidden":
            return f"{path} is not a key of this table. {suggest(name, fields)}"
        case "union_tag_invalid":
            known = [tag.strip() for tag in context["expected_tags"].replace("'", "").split(",")]
            return f"{path}.kind = {_brief(context['tag'])} does not exist. {suggest(context['tag'], known)}"
        case "union_tag_not_found":
            return f'{path}.kind is missing: it says what this is. Add kind = "...". Known: {_kinds(detail["loc"])}.'
        case "value_error":
            message = str(context["error"])
            return path + " " + message if message.startswith("=") else f"{path}: {message}"
    rules = {
        "form": detail["msg"],
        "finite_number": "must be finite",
        "greater_than": f"must be above {context.get('gt', 0):g}",
        "greater_than_equal": f"must be at least {context.get('ge', 0):g}",
        "less_than": f"must be below {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "float_type": "must be a number",
        "int_type": "must be a whole number",
        "string_type": "must be a text",
        "bool_type": "must be true or false",
        "list_type": "must be a list",
        "tuple_type": "must be a list",
        "too_long": f"must have {context.get('max_length')} entries",
    }
    tabular = ("model_type", "model_attributes_type", "dict_type", "dict_attributes_type")
    rule = "must be a table" if kind in tabular else rules.get(kind, detail["msg"].lower())
    return f"{path} = {_brief(value)}: {rule}. {_remedy(kind, value)}"


def _kinds(location: tuple[int | str, ...]) -> str:
    kinds = {
        "weights": WEIGHTS,
        "input_weights": INPUT_WEIGHTS,
        "input": tables.SIGNALS,
        "target": [*tables.SIGNALS, "model"],
    }
    return ", ".join(next(kinds[str(part)] for part in reversed(location) if part in kinds))


def _remedy(kind: str, value: Any) -> str:
    if isinstance(value, str) and kind in ("float_type", "int_type", "bool_type"):
        return "Write it without quotes."
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"Write {value:.0f}."
    if kind == "string_type" and isinstance(value, int | float):
        return f'Write "{_brief(value)}" in quotes.'
    return "Correct the value."


def _place(location: tuple[int | str, ...], data: Any) -> tuple[str, Any]:
    """Return the path of an error, without the tags of unions, and the table or list that contains it."""
    path, parent, here = "", data, data
    tagged = None
    for part in location:
        if isinstance(here, dict) and part == here.get("kind") and tagged is not here:
            tagged = here  # the kind of a table; only once, because a key may have the same name
            continue
        if isinstance(part, str) and (part == "[key]" or (part.startswith("<") and part.endswith(">"))):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{quoted(part)}" if path else quoted(part)
        parent = here
        if isinstance(here, dict):
            here = here.get(str(part))
        elif isinstance(here, list):
            here = here[part] if isinstance(part, int) and part < len(here) else None
    return path or "the file", parent


def located(path: str, table: Table | None, message: str) -> str:
    """Add the place to a message of another module, unless the message begins with it. ``table`` is the table there."""
    last = path.rpartition(".")[2]
    kind, key = getattr(table, "kind", last), last.partition("[")[0]
    word = re.match(rf"(?:(?:{kind}|{re.escape(key)})\.)?(\w+)", message)
    if table is not None and word:
        # Makers name their arguments, which are keys of the table: "sine.phase", "target.lags" or just "phase".
        rest = message[word.start(1) :]
        if word[1] in type(table).model_fields:
            return f"{path}.{rest}"
        if word[1] in getattr(table, "parameters", {}):
            return f"{path}.parameters.{rest}"
        given = next((key for key in table.source if key in table.model_fields_set), None)
        if given is not None and message.startswith(f"{kind}."):
            # The first argument, for which a file has other keys.
            whose = ", its numbers" if given in ("file", "resource") else ""
            return f"{path}.{given}{whose}{rest.removeprefix(word[1])}"
    if re.match(rf"{re.escape(last)}\b", message):
        return path + message.removeprefix(last)
    return f"{path}: {message}"


def quoted(name: str) -> str:
    """Return a key as TOML writes it: in quotes if it is not a plain word."""
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False)


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
