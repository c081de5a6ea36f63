"""The source of the kernels: the files of ``kernels/``, inlined into one text and specialised by macros.

It is one text because CuPy's cache on disk does not see the files that an ``#include`` names: after a change in a header the
old kernel would still run. With ``#line`` the compiler's messages still name the real files and lines.
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
    """Return the folder of the kernels: inside the installed package, or beside the package in a clone."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "kernels"
    return installed if installed.is_dir() else package.parent / "kernels"


def inlined(path: Path) -> str:
    """Return the text of a file in which every quoted include is replaced by the file it names, once for each file."""
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
        Name of the file in ``kernels/``.
    macros : tuple of (str, str)
        Names and values of the macros, which are defined before the source.
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
