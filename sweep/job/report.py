"""What a run shows at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from sweep.checks import OneOf, check_fields
from sweep.errors import JobError, suggest
from sweep.spec import stored


@stored("Report")
@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run shows at its end: the best set in words, and a heat map.

    Parameters
    ----------
    variable : str
        The observable by which sets are compared.
    best : {"max", "min"}
        Whether its largest or its smallest value is best.
    x : str, optional
        Coordinate of the horizontal axis of the heat map; by default the first dimension of the design.
    y : str, optional
        Coordinate of the vertical axis of the heat map; by default the second dimension of the design.
    panel : str, optional
        A coordinate; every value of it has its own panel.
    select : mapping, optional
        Labels that choose a part of the result, such as ``{"network": 0}``.
    """

    variable: str
    best: Annotated[str, OneOf(("max", "min"))] = "max"
    x: str | None = None
    y: str | None = None
    panel: str | None = None
    select: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names that do not depend on the job."""
        check_fields(self, "report")

    def check(self, observed: Sequence[str], labels: Sequence[str]) -> None:
        """Check that a result will have everything that is named.

        Parameters
        ----------
        observed : sequence of str
            The observables of the job that are no records.
        labels : sequence of str
            The coordinates of its result.

        Raises
        ------
        JobError
            If not.
        """
        if self.variable not in observed:
            raise JobError(f"report.variable = {self.variable!r} is not observed. {suggest(self.variable, observed)}")
        for key in ("x", "y", "panel"):
            name = getattr(self, key)
            if name is not None and name not in labels:
                raise JobError(f"report.{key} = {name!r} is not a coordinate of the result. {suggest(name, labels)}")
        for name in self.select:
            if name not in labels:
                raise JobError(f"report.select.{name} is not a coordinate of the result. {suggest(name, labels)}")
