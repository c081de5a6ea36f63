"""The observables by name: statistics of x and r, comparisons with a target; and what may become of a set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sweep.observables.statistics import STATISTICS, Wanted

VARIABLES: Mapping[str, str] = {"x": "synaptic current", "r": "firing rate"}

#: What became of a set, as CF flags. 0 means "not run", so that a chunk that was never written does not look finished.
STATUS: Mapping[str, int] = {"not_run": 0, "ok": 1, "diverged": 2, "failed": 3}


@dataclass(frozen=True, kw_only=True)
class Observable:
    """One number per set and unit: a statistic of ``x`` or ``r``, or a comparison of ``r`` with a target."""

    name: str
    of: str
    statistic: str
    long_name: str

    @property
    def compares(self) -> bool:
        """Whether it compares with a target, and so has a dimension ``lag``."""
        return self.statistic in ("correlation", "mse")


OBSERVABLES: Mapping[str, Observable] = {
    observable.name: observable
    for observable in (
        *(
            Observable(name=f"{of}_{name}", of=of, statistic=name, long_name=row.long_name.format(of=meaning))
            for of, meaning in VARIABLES.items()
            for name, row in STATISTICS.items()
        ),
        Observable(
            name="target_correlation",
            of="r",
            statistic="correlation",
            long_name="correlation of the firing rate with the target",
        ),
        Observable(
            name="target_mse",
            of="r",
            statistic="mse",
            long_name="mean squared difference of the firing rate and the target",
        ),
    )
}


CORRELATION, MSE = "target_correlation", "target_mse"


def wanted(observed: Collection[str], of: str, every_step: bool = True) -> Wanted:
    """Return the statistics of a variable that some observables ask for.

    Parameters
    ----------
    observed : collection of str
        Names of :data:`OBSERVABLES`.
    of : {"x", "r"}
        The variable.
    every_step : bool
        Whether targets are compared with the rates of every step.
    """
    rows = [OBSERVABLES[name] for name in observed]
    names = [row.statistic for row in rows if row.of == of and not row.compares]
    # A correlation divides by the standard deviation of the rates that it compares.
    return Wanted(tuple(names) + (("var",) if of == "r" and CORRELATION in observed and every_step else ()))
