"""The contenders of ``peers.py``: a module for each library, imported only when it is needed."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass

from contenders.problem import Problem, Run


@dataclass(frozen=True)
class Contender:
    """A way to simulate a problem.

    Attributes
    ----------
    label : str
        Its name in tables.
    module, function : str
        ``function(problem, *arguments)`` of this module makes the run.
    package : str
        The distribution whose version is reported.
    scheme : str
        The scheme of the job that it is given.
    """

    label: str
    module: str
    package: str
    function: str = "make"
    arguments: tuple[str, ...] = ()
    scheme: str = "sequential"

    @property
    def ours(self) -> bool:
        """Whether it is a back end of tausweep."""
        return self.module == "ours"

    def make(self, problem: Problem) -> Run:
        """Return a function that simulates a problem. Raises ImportError if the library is missing, or an error of its own."""
        module = importlib.import_module(f"contenders.{self.module}")
        run: Run = getattr(module, self.function)(problem, *self.arguments)
        return run

    def version(self) -> str:
        """Return the version of its package; empty if it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""


#: All contenders, by the names that ``--only`` takes.
CONTENDERS = {
    "plain": Contender("plain NumPy", "plain", "numpy"),
    "numpy": Contender("tausweep, NumPy", "ours", "tausweep", arguments=("numpy",)),
    "native": Contender("tausweep, native", "ours", "tausweep", arguments=("native",)),
    "vmap": Contender("JAX, vmap(scan)", "with_jax", "jax", "textbook"),
    "jax": Contender("JAX, best form", "with_jax", "jax"),
    "torch": Contender("PyTorch", "with_torch", "torch", "make_eager"),
    "compiled": Contender("torch.compile", "with_torch", "torch", "make_compiled"),
    "numba": Contender("Numba", "with_numba", "numba"),
    "heyoka": Contender("heyoka", "with_heyoka", "heyoka"),
    "diffrax": Contender("diffrax", "with_diffrax", "diffrax", scheme="simultaneous"),
}
