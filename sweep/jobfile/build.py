"""From the tables of a job file to the job: each becomes what the public makers make of it.

A job file and the same job in Python are equal therefore, and checked by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from sweep import observables
from sweep.design import makers
from sweep.design.design import Design
from sweep.errors import JobError
from sweep.files import is_resource
from sweep.job import Report
from sweep.jobfile import signal_tables, tables
from sweep.jobfile.problems import located, quoted
from sweep.jobfile.values import MOST_VALUES, Sourced, Swept, Table
from sweep.model import weights as networks
from sweep.model.integration import Integration
from sweep.model.network import Model
from sweep.model.parameters import Array, parse_name
from sweep.observables import Record
from sweep.signals import recordings, waveforms
from sweep.signals.signal import Signal
from sweep.signals.targets import Target, model_output

_SAMPLERS = {"sobol": makers.sobol, "latin_hypercube": makers.latin_hypercube, "random": makers.random}


class Builder:
    """Build the parts of a job, and note what is wrong with each instead of stopping at the first.

    Parameters
    ----------
    table : JobTable
        The file.
    data : mapping
        The file as TOML has it, whose order counts.
    folder : path
        What paths in the file are relative to.
    problems : list of str
        Receives a line for every problem.
    """

    def __init__(self, table: tables.JobTable, data: Mapping[str, Any], folder: Path, problems: list[str]) -> None:
        self._table = table
        self._data = data
        self._folder = folder
        self._problems = problems

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Job`; without those that have problems."""
        table = self._table
        plain = ("title", "description", "seed", "noise_pairing", "sets_per_block")
        parts = {key: value for key, value in table.given().items() if key in plain}
        with self._at("model", table.model):
            parts["model"] = self._model(table.model)
        with self._at("integration", table.integration):
            parts["integration"] = Integration(**table.integration.given())
        parts["observe"] = self._observe(table.observe)
        if table.input is not None:
            parts["input"] = self._each("input", table.input, self._signal)
        if table.target is not None:
            parts["target"] = self._each("target", table.target, self._target)
        parts["design"] = self._design(table.design)
        if table.report is not None:
            parts["report"] = Report(**table.report.given())
        return parts

    @contextmanager
    def _at(self, path: str, table: Table | None = None) -> Iterator[None]:
        try:
            yield
        except JobError as error:
            self._problems.append(located(path, table, str(error)))
        except MemoryError as error:
            self._problems.append(f"{path}: this does not fit into memory: {error}. Make it smaller.")

    # ------------------------------------------------------------------------------------------------ model and signals

    def _model(self, table: tables.ModelTable) -> Model:
        given = table.given()
        for key, make in (("weights", self._weights), ("input_weights", self._input_weights)):
            part = getattr(table, key)
            if part is not None:
                given[key] = None
                with self._at(f"model.{key}", part):
                    given[key] = make(part, table.units)
        return Model(**given)

    def _weights(self, table: tables.Weights, units: int) -> Array:
        arguments = table.given()
        perturbations = arguments.pop("perturbations", None)
        match table:
            case tables.FileWeights():
                weights = networks.from_file(self._source(table))
            case tables.ListedWeights():
                weights = np.asarray(_rectangle(table.values))
            case _:
                weights = getattr(networks, table.kind)(units, **arguments)
        if perturbations is None:
            return weights
        return networks.perturb(weights, perturbations.fractions, perturbations.seed)

    def _input_weights(self, table: tables.InputWeights, units: int) -> Array:
        match table:
            case tables.FileInputWeights():
                return networks.from_file(self._source(table))
            case tables.ListedInputWeights():
                return np.asarray(_rectangle(table.values))
            case _:
                return networks.input_weights(units, **table.given())

    def _each(self, key: str, written: Any, make: Callable[[Any], Any]) -> Any:
        """Make one thing of one table, and a list of things of several."""
        several = isinstance(written, list)
        made = []
        for number, table in enumerate(written if several else [written]):
            with self._at(f"{key}[{number}]" if several else key, table):
                made.append(make(table))
        return made if several else made[0] if made else None

    def _signal(self, table: signal_tables.Signal | signal_tables.Target) -> Signal:
        arguments = table.given()
        arguments.pop("lags", None)
        if isinstance(table, signal_tables.SamplesSignal | signal_tables.SpikesSignal):
            # The first argument of the maker is the source, or the numbers themselves.
            numbers = [arguments.pop(way) for (way,) in table.ways if way in arguments]
            source = self._source(table) if table.file or table.resource else _rectangle(*numbers)
            return (recordings.samples if table.kind == "samples" else recordings.spikes)(source, **arguments)
        if isinstance(table, signal_tables.ModelTarget):
            rates = table.rate_constants.given() if table.rate_constants else {}
            own = {name: self._time_constants(name, rate) for name, rate in rates.items()}
            for name in own.keys() & table.parameters.keys():
                raise JobError(f"{name} is given twice, as a time constant and as a rate constant. Remove one of them.")
            values = {name: np.asarray(value, dtype=np.float64) for name, value in (table.parameters | own).items()}
            return model_output(values)
        maker: Signal = getattr(waveforms, table.kind)(**arguments)
        return maker

    def _target(self, table: signal_tables.Target) -> Target:
        return Target(self._signal(table), tuple(_values(table.lags)))

    def _observe(self, items: Sequence[str | tables.RecordTable]) -> list[str | Record]:
        chosen: list[str | Record] = []
        for number, item in enumerate(items):
            with self._at(f"observe[{number}]"):
                if isinstance(item, str):
                    chosen.append(item)
                else:
                    chosen.append(observables.record(item.record, item.every, item.units))
        return chosen

    def _source(self, table: Sourced) -> str | Path:
        if table.file is not None:
            return self._folder / table.file
        resource = str(table.resource)
        if not is_resource(resource):
            raise JobError(
                f"resource = {resource!r}: it must be 'package:folder/file.txt'. For a path write file = ..."
            )
        return resource

    # ----------------------------------------------------------------------------------------------------------- design

    def _design(self, table: tables.DesignTable) -> Design:
        # The order of the file, which the model does not keep.
        design = Design(())
        for part in self._data.get("design", {}):
            if part == "grid":
                for name, values in table.grid.items():
                    with self._at(f"design.grid.{quoted(name)}"):
                        design *= makers.grid(**{name: self._swept(name, values)})
            elif part == "zipped":
                for dim, columns in table.zipped.items():
                    with self._at(f"design.zipped.{quoted(dim)}"):
                        swept = {name: self._swept(name, values) for name, values in columns.items()}
                        design *= makers.zipped(dim, **swept)
            elif part == "table":
                for dim, sets in table.table.items():
                    with self._at(f"design.table.{quoted(dim)}", sets):
                        design *= makers.table(dim, self._folder / sets.file)
            elif part in _SAMPLERS:
                sample: tables.Sample = getattr(table, part)
                with self._at(f"design.{part}", sample):
                    design *= _SAMPLERS[part](sample.n, sample.seed, **{k: tuple(v) for k, v in sample.ranges.items()})
        if table.replicates is not None:
            with self._at("design.replicates"):
                design *= makers.replicates(table.replicates)
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
    """Return a list as it is, and the values that a table stands for."""
    if isinstance(values, list):
        return _rectangle(values)
    if values.linspace is not None:
        return np.linspace(*values.linspace)
    if values.geomspace is not None:
        return np.geomspace(*values.geomspace)
    # In decimals, so that 0.1 * 3 is the 0.3 that a reader would write to select it.
    start, stop, step = (Decimal(repr(number)) for number in (values.start, values.stop, values.step))
    if step == 0 or (stop - start) / step < 0:
        raise JobError(f"step = {step}: it must lead from start = {start} to stop = {stop}. Correct its sign or size.")
    count = int((stop - start) / step) + 1
    if count > MOST_VALUES:
        raise JobError(f"step = {step}: that makes {count} values, and {MOST_VALUES} is the most. Take larger steps.")
    return np.array([float(start + step * number) for number in range(count)])


def _rectangle(rows: Any) -> Any:
    lengths = {len(row) if isinstance(row, list) else None for row in rows}
    if len(lengths) > 1:
        raise JobError("the rows must be of one length. Give every row as many numbers.")
    return rows
