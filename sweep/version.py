"""The version of tausweep, as it was installed."""

from __future__ import annotations

import importlib.metadata

try:
    __version__ = importlib.metadata.version("tausweep")
except importlib.metadata.PackageNotFoundError:
    # The package is not installed, for example in a clone on PYTHONPATH.
    __version__ = "0+unknown"
