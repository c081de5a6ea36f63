"""Source of the kernels: the files of ``kernels/``, inlined into one text and specialised by macros.

One text, because CuPy's cache on disk does not see what an ``#include`` brings in: a changed header would go on running
the old kernel. ``#line`` keeps the compiler's messages pointing at the real files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"[^\n]*$', re.MULTILINE)


@cache
def folder() -> Path:
    """Return where the kernels lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "kernels"
    return installed if installed.is_dir() else package.parent / "kernels"


def inlined(path: Path) -> str:
    """Return the text of a file with every quoted include replaced by what it names, each once."""
    return _inlined(path, set())


def _inlined(path: Path, seen: set[Path]) -> str:
    seen.add(path)
    text, pieces, at = path.read_text(encoding="utf-8"), [f'#line 1 "{path.name}"\n'], 0
    for match in _INCLUDE.finditer(text):
        pieces.append(text[at : match.start()])
        included = path.parent / match[1]
        if included not in seen:
            pieces.append(_inlined(included, seen))
            pieces.append(f'\n#line {text.count(chr(10), 0, match.start()) + 1} "{path.name}"\n')
        at = match.end()
    return "".join([*pieces, text[at:]])


@dataclass(frozen=True)
class Specialisation:
    """One kernel file, compiled for one kind of job.

    Attributes
    ----------
    file : str
        In ``kernels/``.
    macros : tuple of (str, str)
        Names and values, defined ahead of the source.
    """

    file: str
    macros: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, file: str, macros: Mapping[str, int | str]) -> Specialisation:
        """Return the specialisation with these macros."""
        return cls(file, tuple((name, str(value)) for name, value in macros.items()))

    @cached_property
    def source(self) -> str:
        """The text to compile."""
        defines = "".join(f"#define {name} {value}\n" for name, value in self.macros)
        return defines + inlined(folder() / self.file)
