"""What works on this machine and what does not: versions, machine, back ends, and other packages with our name."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess

import psutil
from dask.utils import format_bytes
from threadpoolctl import threadpool_info

from sweep.backends.registry import choose, probe
from sweep.execution.plan import cores
from sweep.version import __version__

_DISTRIBUTION, _PACKAGE = "tausweep", "sweep"
_LIBRARIES = ("numpy", "xarray", "zarr", "dask", "distributed")


def rows() -> list[tuple[str, str]]:
    """Return names and values of everything that a bug report needs."""
    memory = psutil.virtual_memory()
    chosen = choose("auto")
    return [
        ("tausweep", __version__),
        *(("warning", words) for words in _clashes()),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, importlib.metadata.version(name)) for name in _LIBRARIES),
        *(
            ("BLAS", f"{library['internal_api']} {library.get('version')}, {library.get('architecture', '')} kernels")
            for library in threadpool_info()
        ),
        ("cores", f"{cores()} for this process, {psutil.cpu_count()} in the machine"),
        ("memory", f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"),
        ("GPU", _gpu()),
        *(
            (f"back end {found.name}", f"{'works' if found.works else 'does not work'}: {found.reason}")
            for found in probe()
        ),
        ("auto", f"{chosen.name}, {chosen.reason}"),
    ]


def _clashes() -> list[str]:
    """Return a warning for every other distribution that installs a package with our name, and what to do."""
    owners = importlib.metadata.packages_distributions().get(_PACKAGE, ())
    # Names are compared as pip does it: case, hyphens, underscores and full stops make no difference.
    others = {re.sub(r"[-_.]+", "-", name).lower() for name in owners} - {_DISTRIBUTION}
    return [
        f"the distribution {name!r} {importlib.metadata.version(name)} is installed beside tausweep, and both own the "
        f"package {_PACKAGE!r}: each overwrites files of the other. Remove it and install tausweep again: pip uninstall "
        f"{name} tausweep, then pip install . in your clone of tausweep; or give each an environment of its own."
        for name in sorted(others)
    ]


def _gpu() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return "none found: there is no nvidia-smi, which comes with NVIDIA's driver"
    query = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    return (done.stdout or done.stderr).strip().replace("\n", "; ") or "nvidia-smi finds none"
