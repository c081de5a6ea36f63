"""Job files with mistakes: the messages, and that nothing in a file is executed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.jobs import COMPARING, LOOK, MODEL, PLAIN, TIME

from sweep.errors import JobError
from sweep.job import Job
from sweep.jobfile import load


def grid(text: str) -> str:
    """Add a grid to `PLAIN`."""
    return PLAIN + f"[design.grid]\n{text}"


BAD: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("observe = [\nmodel = 3", ["not TOML", "line 2, column"]),
    "key twice": ("seed = 1\nseed = 2", ["not TOML", "line 2"]),
    "empty": ("", ["observe is missing", "model is missing", "integration is missing: Step", "Add integration ="]),
    "unknown key": (PLAIN + "sede = 1", ["sede is not a key", "Did you mean 'seed'?"]),
    "unknown nested key": (
        LOOK + MODEL + "integration = { dt = 1, duraton = 2 }",
        ["integration.duration is missing: Simulated time, ms", "integration.duraton", "Did you mean 'duration'?"],
    ),
    "a bool for a number": (PLAIN + "seed = true", ["seed = true: must be a whole number"]),
    "a text for a number": (
        LOOK + MODEL + 'integration = { dt = "1", duration = 2 }',
        ['integration.dt = "1": must be a number. Write it without quotes.'],
    ),
    "a number for a text": (PLAIN + "title = 3", ['title = 3: must be a text. Write "3" in quotes.']),
    "a number for a bool": (
        LOOK + MODEL + "integration = { dt = 1, duration = 2, allow_unstable = 1 }",
        ["integration.allow_unstable = 1: must be true or false."],
    ),
    "a fraction for a count": (LOOK + TIME + "model = { units = 3.5 }", ["model.units = 3.5: must be a whole number"]),
    "a float for a count": (LOOK + TIME + "model = { units = 3.0 }", ["model.units = 3.0", "Write 3."]),
    "a date for a number": (
        LOOK + MODEL + "integration = { dt = 2020-01-01, duration = 2 }",
        ['integration.dt = "2020-01-01": must be a number'],
    ),
    "an infinite number": (
        LOOK + MODEL + "integration = { dt = 1, duration = inf }",
        ["integration.duration = Infinity: must be finite"],
    ),
    "a negative step": (
        LOOK + MODEL + "integration = { dt = -1, duration = 2 }",
        ["integration.dt = -1: must be above 0."],
    ),
    "no whole number of steps": (
        LOOK + MODEL + "integration = { dt = 0.3, duration = 1 }",
        ["job.toml: integration.duration = 1 ms", "whole number of steps", "0.9 ms"],
    ),
    "a huge seed": (PLAIN + f"seed = {2**64}", ["seed = 18446744073709551616: must be below 18446744073709551616"]),
    "no table": (LOOK + TIME + "model = 3", ["model = 3: must be a table."]),
    "unknown scheme": (
        LOOK + MODEL + 'integration = { dt = 1, duration = 2, scheme = "sequental" }',
        ["integration.scheme = 'sequental' does not exist. Did you mean 'sequential'?"],
    ),
    "unknown activation": (
        LOOK + TIME + 'model = { units = 3, activation = "tahn" }',
        ["model.activation = 'tahn' does not exist. Did you mean 'tanh'?"],
    ),
    "unknown pairing": (PLAIN + 'noise_pairing = "comon"', ["noise_pairing = 'comon'", "Did you mean 'common'?"]),
    "unknown observable": (
        'observe = ["r_mean", "r_men"]\n' + MODEL + TIME,
        ["observe[1] = 'r_men' does not exist. Did you mean 'r_mean'?"],
    ),
    "a trajectory by name": ('observe = ["r"]\n' + MODEL + TIME, ["observe[0] = 'r'", 'Write { record = "r"']),
    "an observable that is no name": (
        "observe = [3]\n" + MODEL + TIME,
        ["observe[0] = 3: must be the name of an observable, or a table such as"],
    ),
    "observe that is no list": ('observe = "r_mean"\n' + MODEL + TIME, ['observe = "r_mean": must be a list']),
    "nothing to observe": ("observe = []\n" + MODEL + TIME, ["observe is empty"]),
    "a record of nothing": (
        'observe = [{ record = "y" }]\n' + MODEL + TIME,
        ["observe[0].record = 'y' does not exist. Known: x, r."],
    ),
    "a record of a unit twice": (
        'observe = [{ record = "r", units = [1, 1] }]\n' + MODEL + TIME,
        ["observe[0]: record.units = [1, 1]", "different unit numbers"],
    ),
    "a comparison without a target": (
        'observe = ["target_mse"]\n' + MODEL + TIME,
        ["target_mse", "the job has none. Give the job a target."],
    ),
    "unknown kind of weights": (
        LOOK + TIME + 'model = { units = 3, weights = { kind = "gausian", seed = 1 } }',
        ["model.weights.kind = \"gausian\" does not exist. Did you mean 'gaussian'?"],
    ),
    "weights without a kind": (
        LOOK + TIME + "model = { units = 3, weights = { seed = 1 } }",
        ["model.weights.kind is missing", "Known: gaussian, sparse, excitatory_inhibitory, file, values."],
    ),
    "a density above 1": (
        LOOK + TIME + 'model = { units = 3, weights = { kind = "sparse", seed = 1, density = 1.5 } }',
        ["model.weights.density = 1.5: must be at most 1"],
    ),
    "balance of one kind": (
        LOOK
        + TIME
        + 'model = { units = 3, weights = { kind = "excitatory_inhibitory", seed = 1, fraction_excitatory = 1 } }',
        ["job.toml: model.weights.balance = True: needs units of both kinds"],
    ),
    "rows of other lengths": (
        LOOK + TIME + 'model = { units = 2, weights = { kind = "values", values = [[1, 2], [3]] } }',
        ["model.weights = [[1.0, 2.0], [3.0]]: its rows differ in length. Give every row"],
    ),
    "weights of another size": (
        LOOK + TIME + 'model = { units = 3, weights = { kind = "values", values = [[1, 2], [3, 4]] } }',
        ["job.toml: model.weights has shape (2, 2): it must be (3, 3)"],
    ),
    "perturbed ensemble": (
        LOOK
        + TIME
        + '[model]\nunits = 3\n[model.weights]\nkind = "gaussian"\nseed = 1\nnetworks = 2\n'
        + "perturbations = { fractions = [0.1], seed = 1 }",
        ["model.weights of shape (2, 3, 3)", "one square matrix"],
    ),
    "too many units for the memory": (
        LOOK + TIME + 'model = { units = 9000000, weights = { kind = "gaussian", seed = 1 } }',
        ["model.weights: this does not fit into memory"],
    ),
    "no such file": (
        LOOK + TIME + 'model = { units = 3, weights = { kind = "file", file = "w.csv" } }',
        ["model.weights.file", "w.csv", "there is no file", "Correct the path."],
    ),
    "unknown common parameter": (
        LOOK + TIME + "model = { units = 3, parameters = { tau_z = 1 } }",
        ["model.parameters.tau_z", "does not exist. Did you mean 'tau_s'?"],
    ),
    "a negative time constant": (
        LOOK + TIME + "model = { units = 3, parameters = { tau_s = -1 } }",
        ["model.parameters.tau_s = -1", "at least 0"],
    ),
    "parameters of another size": (
        LOOK + TIME + "model = { units = 3, parameters = { bias = [1, 2] } }",
        ["model.parameters.bias has shape (2,)", "(3,)"],
    ),
    "a parameter that is no number": (
        LOOK + TIME + 'model = { units = 3, parameters = { bias = [1, "2", 3] } }',
        ['model.parameters.bias[1] = "2": must be a number. Write it without quotes.'],
    ),
    "unknown kind of input": (
        PLAIN + 'input = { kind = "sinus" }',
        ["input.kind = \"sinus\" does not exist. Did you mean 'sine'?"],
    ),
    "an input without a kind": (
        PLAIN + "input = [{ value = 3 }]",
        ["input[0].kind is missing", "Known: constant, step"],
    ),
    "a model as an input": (PLAIN + 'input = { kind = "model" }', ['input.kind = "model" does not exist.']),
    "an input that is no table": (PLAIN + 'input = "sine"', ['input = "sine": must be a table [input], or several']),
    "a key named as the kind": (
        PLAIN + 'input = { kind = "step", time = 1, step = 3 }',
        ["input.step is not a key of this table."],
    ),
    "an argument out of its bounds": (
        PLAIN + 'input = { kind = "pulse", start = 1, width = 0 }',
        ["job.toml: input.width = 0 ms: must be above 0."],
    ),
    "channels that disagree": (
        PLAIN + 'input = [{ kind = "sine", amplitude = [1, 2], phase = [1, 2, 3] }]',
        ["input[0]: sine: there must be one number for all channels or one per channel"],
    ),
    "lags of an input": (PLAIN + 'input = { kind = "sine", lags = [1] }', ["input.lags is not a key of this table."]),
    "two sources": (
        PLAIN + 'input = { kind = "samples", file = "a.csv", values = [1], interval = 1 }',
        ["input: exactly one of file or resource or values must be given."],
    ),
    "no source": (
        COMPARING + 'target = { kind = "spikes", window = 1 }',
        ["target: exactly one of file or resource or times must be given."],
    ),
    "a resource without a package": (
        PLAIN + 'input = { kind = "samples", resource = "a.csv", interval = 1 }',
        ["input.resource = 'a.csv': it must be 'package:folder/file.txt'", "file ="],
    ),
    "a resource of no package": (
        PLAIN + 'input = { kind = "samples", resource = "nitine:a.csv", interval = 1 }',
        ["input", "nitine:a.csv", "no installed package 'nitine'"],
    ),
    "an input that is too short": (
        PLAIN + 'input = { kind = "samples", values = [1, 2], interval = 1 }',
        ["job.toml: input lasts 2 ms but integration.duration = 20 ms"],
    ),
    "lags that are no list": (
        COMPARING + 'target = { kind = "sine", lags = 3 }',
        ["target.lags = 3: must be a list of values, { linspace = [start, stop, num] }"],
    ),
    "unknown way to space": (
        COMPARING + 'target = { kind = "sine", lags = { linspce = [0, 1, 2] } }',
        ["target.lags.linspce is not a key", "Did you mean 'linspace'?"],
    ),
    "a lag twice": (COMPARING + 'target = [{ kind = "sine", lags = [1, 1] }]', ["target[0].lags: 1 ms is there twice"]),
    "a teacher given twice": (
        COMPARING + 'target = { kind = "model", parameters = { tau_s = 1 }, rate_constants = { tau_s = 1 } }',
        ["target.parameters.tau_s is given twice, as a time constant and as a rate constant."],
    ),
    "a rate constant of no time constant": (
        COMPARING + 'target = { kind = "model", rate_constants = { tau_z = 1 } }',
        ["target.rate_constants.tau_z is not a key", "Did you mean 'tau_s'?"],
    ),
    "samples of two lengths": (
        PLAIN + 'input = { kind = "samples", values = [[1, 2], [3]], interval = 10 }',
        ["job.toml: input.values = [[1.0, 2.0], [3.0]]: its rows differ in length."],
    ),
    "no samples": (
        PLAIN + 'input = [{ kind = "samples", values = [], interval = 10 }]',
        ["job.toml: input[0].values: must be (time,)"],
    ),
    "unknown swept parameter": (grid("tau_z = [1]"), ["design.grid.tau_z", "Did you mean 'tau_s'?"]),
    "half of a weight": (grid('"W[0]" = [1]'), ['design.grid."W[0]"', "'W[0,1]'"]),
    "a weight of no unit": (grid('"W[0,3]" = [1]'), ["W[0,3] names unit 3", "3 units"]),
    "one value for an axis": (grid("tau_s = 3"), ["design.grid.tau_s = 3: must be a list of values"]),
    "no values": (grid("tau_s = []"), ["design.grid.tau_s", "is empty"]),
    "values twice": (grid("tau_s = [5, 5]"), ["job.toml: design.grid.tau_s = 5.0 occurs 2 times"]),
    "a value that is no number": (grid('tau_s = [1, "2"]'), ['design.grid.tau_s[1] = "2": must be a number.']),
    "an end that is 0": (
        grid("tau_s = { geomspace = [1, 0, 5] }"),
        ["job.toml: design.grid.tau_s.geomspace[1] = 0: must be above 0."],
    ),
    "two of three": (grid("gain = { linspace = [1, 2] }"), ["design.grid.gain.linspace[2] is missing", "[1, 2]"]),
    "four of three": (grid("gain = { linspace = [1, 2, 3, 4] }"), ["design.grid.gain.linspace", "must have 3 entries"]),
    "half a number of values": (grid("gain = { linspace = [1, 2, 2.5] }"), ["gain.linspace[2] = 2.5: must be a whole"]),
    "too many values": (grid("gain = { linspace = [1, 2, 10000000000] }"), ["linspace[2]", "at most 10000000"]),
    "too small a step": (
        grid("gain = { start = 0, stop = 1, step = 1e-9 }"),
        ["design.grid.gain", "1000000001 values"],
    ),
    "a step of 0": (grid("gain = { start = 0, stop = 1, step = 0 }"), ["design.grid.gain", "step = 0", "lead from"]),
    "a step away": (grid("gain = { start = 0, stop = 1, step = -0.1 }"), ["design.grid.gain", "step = -0.1", "sign"]),
    "no step": (
        grid("gain = { start = 0, stop = 1 }"),
        ["design.grid.gain: exactly one of linspace or geomspace or start + stop + step or rate_constants"],
    ),
    "two ways": (
        grid("gain = { linspace = [0, 1, 2], geomspace = [1, 2, 3] }"),
        ["design.grid.gain: exactly one of"],
    ),
    "rate constants of a gain": (
        grid("gain = { rate_constants = [0.5] }"),
        ["job.toml: design.grid.gain.rate_constants: only tau_s and tau_r have rate constants."],
    ),
    "a rate constant of 0": (
        grid("tau_s = { rate_constants = [0, 0.5] }"),
        ["design.grid.tau_s.rate_constants = 0", "must be above 0"],
    ),
    "a network that is not there": (grid("network = [0, 1]"), ["network = 1", "1 weight matrices"]),
    "a parameter in two parts": (
        grid("tau_s = [1]\n[design.zipped.pair]\ntau_s = [1]"),
        ["design.zipped.pair", "'tau_s' is swept twice"],
    ),
    "unequal zipped lengths": (
        PLAIN + "design = { zipped = { pair = { tau_s = [1, 2], gain = [1] } } }",
        ["design.zipped.pair", "equally many"],
    ),
    "zipped without a dimension": (
        PLAIN + "design = { zipped = { tau_s = [1, 2] } }",
        ["design.zipped.tau_s = [1, 2]: must be a table"],
    ),
    "a reserved dimension": (
        PLAIN + "design = { zipped = { unit = { gain = [1] } } }",
        ["dimension 'unit'", "Call it"],
    ),
    "unknown part of a design": (
        PLAIN + "design = { sobl = 1 }",
        ["design.sobl is not a key", "Did you mean 'sobol'?"],
    ),
    "a sample without n": (
        PLAIN + "design = { random = { seed = 1, ranges = { gain = [0, 1] } } }",
        ["design.random.n is missing: Number of points"],
    ),
    "a range of three": (
        PLAIN + 'design = { random = { n = 3, seed = 1, ranges = { gain = [0, 1, "lin"] } } }',
        ["design.random.ranges.gain = [0, 1, 'lin']", '[low, high, "log"]'],
    ),
    "a range upside down": (
        PLAIN + "design = { random = { n = 3, seed = 1, ranges = { gain = [1, 0] } } }",
        ["design.random", "range gain", "Swap them"],
    ),
    "no table file": (PLAIN + 'design = { table = { sets = { file = "s.csv" } } }', ["design.table.sets", "s.csv"]),
    "no replicates": (PLAIN + "design = { replicates = 0 }", ["design.replicates = 0: must be at least 1."]),
    "an unstable job": (grid("tau_s = [0.1]"), ["tau_s = 0.1 ms", "unstable", "allow_unstable"]),
    "a report of nothing": (PLAIN + 'report = { variable = "r_men" }', ["report.variable = 'r_men'", "'r_mean'"]),
    "a report not observed": (PLAIN + 'report = { variable = "r_std" }', ["report.variable = 'r_std' is not observed"]),
    "a report of no coordinate": (
        grid('tau_s = [1, 2]\n[report]\nvariable = "r_mean"\nx = "tau"'),
        ["report.x = 'tau'", "'tau_s'"],
    ),
}


@pytest.mark.parametrize(("text", "fragments"), BAD.values(), ids=BAD)
def test_an_error_names_file_place_value_rule_and_remedy(
    read: Callable[[str], Job], tmp_path: Path, text: str, fragments: list[str]
) -> None:
    """Every kind of mistake has its own line, which can be understood without the source."""
    with pytest.raises(JobError) as caught:
        read(text)
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    for line in message.splitlines():
        assert line.startswith(f"{tmp_path / 'job.toml'}: ")
        assert line.endswith((".", "= ...", "?"))
    assert len(message.splitlines()) <= 3
    assert not re.search(r"pydantic|<\w+>|\[key\]|union|Table\b", message)


def test_numbers_of_a_file_that_cannot_be_used_are_those_of_the_file(
    read: Callable[[str], Job], tmp_path: Path
) -> None:
    """The message names the key that the job file has, not the argument in Python."""
    np.save(tmp_path / "u.npy", np.ones((1, 2, 3)))
    with pytest.raises(JobError, match=r"job\.toml: input\.file, its numbers: must be \(time,\)"):
        read(PLAIN + 'input = { kind = "samples", file = "u.npy", interval = 10 }')


def test_all_problems_are_told_at_once(read: Callable[[str], Job]) -> None:
    """All problems of form are reported together, and so are all problems of content."""
    with pytest.raises(JobError) as form:
        read(LOOK + TIME + "seed = -1\nmodel = { units = 0 }\ninput = { kind = 'sin' }")
    assert [line.split(": ")[1].split(" =")[0] for line in str(form.value).splitlines()] == [
        "seed",
        "model.units",
        "input.kind",
    ]
    with pytest.raises(JobError) as content:
        read(LOOK + MODEL + "integration = { dt = 1, duration = 2.5 }\ndesign = { grid = { tau_s = [], tau_r = [] } }")
    assert len(str(content.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_is_a_job_error(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are not text give a message and no traceback."""
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name, fragment in (("none.toml", "No such file"), (".", "cannot be read"), ("binary.toml", "UTF-8")):
        with pytest.raises(JobError, match=fragment):
            load(tmp_path / name)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a package that leaves a mark when it is imported."""
    package = tmp_path / "trapped_package"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    (package / "numbers.txt").write_text("1\n2\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "mark"
    sys.modules.pop("trapped_package", None)


def test_nothing_in_a_file_is_executed(read: Callable[[str], Job], trap: Path) -> None:
    """The package of a resource is found and read, but not imported."""
    job = read(PLAIN + 'input = { kind = "samples", resource = "trapped_package:numbers.txt", interval = 20 }')
    assert job.inputs[0].duration == 40
    assert not trap.exists()
    assert "trapped_package" not in sys.modules
