"""Build a job from the tables of a job file, with the same functions that users call in Python.

So a job file and the same job in Python are equal, and are checked by the same rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from sweep import observables
from sweep.checks.paths import local
from sweep.design.design import Design
from sweep.design.makers import DESIGNS
from sweep.errors import JobError
from sweep.files import is_resource
from sweep.job import Report
from sweep.jobfile import tables
from sweep.jobfile.derive import Maker, leads_with_dim, unfolded
from sweep.jobfile.problems import located, quoted
from sweep.jobfile.values import MOST_VALUES, Swept, Table
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import Array, parse_name
from sweep.model.weights import INPUT_WEIGHTS, WEIGHTS, perturb
from sweep.observables import Record
from sweep.signals.signal import Signal
from sweep.signals.targets import Target, model_output


class Builder:
    """Builds the parts of a job. It collects the problems of all parts, and does not stop at the first one.

    Parameters
    ----------
    table : tables.JobTable
        The table of the whole file.
    data : mapping
        The file as read from TOML, because the order of its keys counts.
    folder : path
        The folder to which paths in the file are relative.
    problems : list of str
        A line is added to this list for every problem.
    """

    def __init__(self, table: Any, data: Mapping[str, Any], folder: Path, problems: list[str]) -> None:
        self._table = table
        self._data = data
        self._folder = folder
        self._problems = problems

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Job`, without those that have problems."""
        table = self._table
        parts: dict[str, Any] = table.given()
        makers: dict[str, Callable[[Any], Any]] = {
            "model": self._model,
            "integration": lambda written: Integration(**written.given()),
            "report": lambda written: Report(**written.given()),
        }
        for key in [key for key in makers if key in parts]:
            written = parts.pop(key)
            with self._at(key, written):
                parts[key] = makers[key](written)
        parts["observe"] = self._observe(table.observe)
        for key, make in (("input", self._signal), ("target", self._target)):
            if key in parts:
                parts[key] = self._each(key, parts[key], make)
        parts["design"] = self._design(table.design)
        return parts

    @contextmanager
    def _at(self, path: str, table: Any = None) -> Iterator[None]:
        try:
            yield
        except JobError as error:
            self._problems.append(located(path, table if isinstance(table, Table) else None, str(error)))
        except MemoryError as error:
            self._problems.append(f"{path}: this does not fit into memory: {error}. Make it smaller.")

    # ------------------------------------------------------------------------------------------------ model and signals

    def _model(self, table: Any) -> Model:
        given = table.given()
        for key, makers in (("weights", WEIGHTS), ("input_weights", INPUT_WEIGHTS)):
            if key in given:
                part, given[key] = given[key], None
                with self._at(f"model.{key}", part):
                    given[key] = self._weights(makers[part.kind], part, table.units)
        return Model(**given)

    def _weights(self, maker: Maker, table: Any, units: int) -> Array:
        arguments = table.given()
        perturbations = arguments.pop("perturbations", None)
        if "units" in inspect.signature(maker).parameters:
            arguments["units"] = units
        weights: Array = self._made(maker, table, arguments)
        if perturbations is None:
            return weights
        return perturb(weights, **perturbations.given())

    def _each(self, key: str, written: Any, make: Callable[[Any], Any]) -> Any:
        """Make one thing from one table, or a list of things from several tables."""
        several = isinstance(written, list)
        made = []
        for number, table in enumerate(written if several else [written]):
            with self._at(f"{key}[{number}]" if several else key, table):
                made.append(make(table))
        return made if several else made[0] if made else None

    def _signal(self, table: Any) -> Signal:
        signal: Signal = self._made(tables.SIGNALS[table.kind], table, table.given())
        return signal

    def _target(self, table: Any) -> Target:
        arguments = table.given()
        lags = tuple(_values(arguments.pop("lags", table.lags)))
        if table.kind != "model":
            return Target(self._made(tables.SIGNALS[table.kind], table, arguments), lags)
        values = dict(table.parameters or {})
        rates = table.rate_constants.given() if table.rate_constants else {}
        for name, rate in rates.items():
            if name in values:
                raise JobError(f"{name} is given twice, as a time constant and as a rate constant. Remove one of them.")
            values[name] = self._time_constants(name, rate)
        return Target(model_output(values), lags)

    def _made(self, maker: Maker, table: Table, arguments: dict[str, Any], *first: str) -> Any:
        """Call a maker with the arguments of a table. An argument that may be a file is passed first, without its name."""
        source = [self._source(key, arguments.pop(key)) for key in table.source if key in arguments]
        return maker(*first, *source, **arguments)

    def _observe(self, items: Sequence[str | tables.RecordTable]) -> list[str | Record]:
        chosen: list[str | Record] = []
        for number, item in enumerate(items):
            with self._at(f"observe[{number}]"):
                if isinstance(item, str):
                    chosen.append(item)
                else:
                    chosen.append(observables.record(item.record, item.every, item.units))
        return chosen

    def _source(self, key: str, written: Any) -> Any:
        if key == "file":
            return self._folder / local("file", written)
        if key == "resource" and not is_resource(written):
            raise JobError(f"resource = {written!r}: it must be 'package:folder/file.txt'. For a path write file = ...")
        return written

    # ----------------------------------------------------------------------------------------------------------- design

    def _design(self, table: Any) -> Design:
        design = Design(())
        written = self._data.get("design", {})  # from the file, because its order counts
        # Plain numbers come last, because in TOML they must be written before tables.
        for part in sorted(written, key=lambda part: not isinstance(written[part], dict)):
            maker, form, path = DESIGNS[part], getattr(table, part), f"design.{part}"
            if leads_with_dim(maker):
                for dim, one in form.items():
                    with self._at(f"{path}.{quoted(dim)}", one):
                        design *= self._part(maker, one, dim)
                continue
            problems = len(self._problems)
            if isinstance(form, dict):
                # First each parameter alone, so that an error names the right one.
                for name, values in form.items():
                    with self._at(f"{path}.{quoted(name)}"):
                        self._part(maker, {name: values})
            if len(self._problems) == problems:
                with self._at(path, form):
                    design *= self._part(maker, form)
        return design

    def _part(self, maker: Maker, form: Any, *dim: str) -> Design:
        design: Design
        if isinstance(form, Table):
            design = self._made(maker, form, unfolded(maker, form.given()), *dim)
        elif isinstance(form, dict):
            design = maker(*dim, **{name: self._swept(name, values) for name, values in form.items()})
        else:
            design = maker(*dim, form)
        return design

    def _swept(self, name: str, values: Any) -> Any:
        if isinstance(values, Swept) and values.rate_constants is not None:
            return self._time_constants(name, _values(values.rate_constants))
        return _values(values)

    def _time_constants(self, name: str, rates: Any) -> Any:
        if parse_name(name).base not in ("tau_s", "tau_r"):
            raise JobError(
                f"{name}.rate_constants: only tau_s and tau_r have rate constants. Give its values themselves."
            )
        alpha = np.asarray(rates, dtype=np.float64)
        if (alpha <= 0).any():
            raise JobError(
                f"{name}.rate_constants = {alpha.min():g}: a rate constant alpha = dt/tau must be above 0. Remove it."
            )
        tau = self._table.integration.dt / alpha
        return tau if alpha.ndim else float(tau)


def _values(values: Any) -> Any:
    """Return the values: a list unchanged, or the values that a table describes."""
    if isinstance(values, list):
        return values
    if values.linspace is not None:
        return np.linspace(*values.linspace)
    if values.geomspace is not None:
        return np.geomspace(*values.geomspace)
    # With decimals, so that 0.1 * 3 is 0.3, the number by which a user would select it.
    start, stop, step = (Decimal(repr(number)) for number in (values.start, values.stop, values.step))
    if step == 0 or (stop - start) / step < 0:
        raise JobError(f"step = {step}: it must lead from start = {start} to stop = {stop}. Correct its sign or size.")
    count = int((stop - start) / step) + 1
    if count > MOST_VALUES:
        raise JobError(f"step = {step}: that makes {count} values, and {MOST_VALUES} is the most. Take larger steps.")
    return np.array([float(start + step * number) for number in range(count)])
