"""Read a job file: TOML becomes a checked job, or one error with all mistakes. Also the schema of job files."""

from __future__ import annotations

import os
import tomllib
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sweep.checks import checked
from sweep.checks.paths import local
from sweep.errors import JobError
from sweep.job import Job
from sweep.jobfile.build import Builder
from sweep.jobfile.problems import explain
from sweep.jobfile.tables import JobTable
from sweep.jobfile.values import Table


@checked
def load(path: str | os.PathLike[str]) -> Job:
    """Read a job file.

    Parameters
    ----------
    path : str or path
        A TOML file; :func:`schema` describes it. Paths in it are relative to it.

    Returns
    -------
    Job
        Equal to the same job built in Python.

    Raises
    ------
    JobError
        If the file cannot be read, is not TOML, or is not a possible job. The message has a line for every problem, with
        file, place, value, rule and remedy. Nothing in the file is executed.
    """
    path = local("job file", path)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise JobError(f"{path}: the job file cannot be read: {error.strerror}. Correct the path.") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{path}: a job file is UTF-8 text, but byte {error.start} is not. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        reason = str(error).replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end of the file")
        raise JobError(f"{path}: this is not TOML: {reason}. Correct it there; texts need quotes.") from None
    problems: list[str] = []
    seen: dict[int, type[Table]] = {}
    try:
        table = JobTable.model_validate(data, context=seen)
    except ValidationError as error:
        problems = list(dict.fromkeys(explain(detail, data, seen) for detail in error.errors()))
    else:
        arguments = Builder(table, data, path.parent, problems).arguments()
        if not problems:
            try:
                return Job(**arguments)
            except JobError as error:
                problems = [str(error)]
    raise JobError("\n".join(f"{path}: {problem}" for problem in problems)) from None


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of job files. With it an editor completes and checks them."""
    return {"$schema": _Schema.schema_dialect} | JobTable.model_json_schema(schema_generator=_Schema)


class _Schema(GenerateJsonSchema):
    """Leave out null, because TOML has none: an optional key is simply missing."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        return {key: value for key, value in described.items() if key != "default" or value is not None}
