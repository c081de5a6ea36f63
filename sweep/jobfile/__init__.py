"""Job files: from TOML to a checked :class:`sweep.Job`, and the JSON Schema of job files. Nothing in a file is executed."""

from __future__ import annotations

from sweep.jobfile.read import load as load
from sweep.jobfile.read import schema as schema
