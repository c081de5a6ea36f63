"""tausweep: sweep the parameters of firing-rate recurrent networks on GPUs, CPUs and clusters.

Modules are imported when a name of theirs is first used. ``__init__.pyi`` lists the public names, each with the module that
defines it, for Python, type checkers and editors.
"""

from __future__ import annotations

import lazy_loader

_load, _, _listed = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_listed, "open"])


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    # In the module that defines it, the name ``open`` would hide Python's own.
    return _load("open_dataset" if name == "open" else name)


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)
