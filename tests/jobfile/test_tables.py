"""The schema of job files, and the files that are shipped."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import ROOT

import sweep
from sweep.job import Report
from sweep.jobfile import load, schema
from sweep.model import weights as network
from sweep.signals import waveforms as signals

SWEEPS = ROOT / "sweeps"


@pytest.fixture(scope="module")
def validator() -> Any:
    """Make a validator of the schema, which must itself be valid."""
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_files_load_and_fit_the_schema(path: Path, validator: Any) -> None:
    """Every file in sweeps/ is a job, with a title and a report."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    validator.validate(data)
    job = load(path)
    assert job.title
    assert job.report is not None


MISSPELT = {
    "top": {"sede": 1},
    "place": {"design": {"grid": {"tau_s[-1]": [1, 2]}}},
    "one place": {"design": {"grid": {"gain[E]": [1, 2]}}},
    "sizes": {"model": {"units": 2, "populations": {"E": 1.5}}},
    "table": {"integration": {"dt": 1, "duration": 2, "transent": 1}},
    "parameter": {"design": {"grid": {"tau_z": [1, 2]}}},
    "kind": {"input": {"kind": "sinus"}},
    "option": {"model": {"units": 2, "activation": "tahn"}},
    "observable": {"observe": ["r_men"]},
    "two ways": {"design": {"grid": {"tau_s": {"linspace": [0, 1, 2], "geomspace": [1, 2, 3]}}}},
    "text": {"seed": "1"},
}


@pytest.mark.parametrize("change", MISSPELT.values(), ids=MISSPELT)
def test_the_schema_refuses_what_the_loader_refuses(change: dict[str, Any], validator: Any) -> None:
    """With the schema an editor finds a typo before anything is run."""
    good = {"observe": ["r_mean"], "model": {"units": 2}, "integration": {"dt": 1, "duration": 2}}
    assert validator.is_valid(good | {"design": {"grid": {"W[0, 1]": [1], "tau_s[1]": {"linspace": [1, 2, 3]}}}})
    swept = {"tau_s[E]": [1], "bias[ 0:1 ]": [1], "tau_r[:1]": [2], "gain[E, I]": [1]}
    populated = {"model": {"units": 2, "populations": {"E": 1, "I": 1}}, "design": {"grid": swept}}
    assert validator.is_valid(good | populated)
    assert not validator.is_valid(good | change)


def test_the_schema_has_a_title_and_a_description_for_every_key() -> None:
    """Every key has a description, which an editor shows; a key that is a table may have the table's."""
    made = schema()
    for table in (made, *made["$defs"].values()):
        assert table["description"]
        for key, value in table["properties"].items():
            named = made["$defs"][value["$ref"].rpartition("/")[2]] | value if "$ref" in value else value
            assert named["title"], f"{table['title']}.{key}"
            assert named["description"], f"{table['title']}.{key}"
    assert "null" not in str(made)


MAKERS: dict[str, Any] = {
    "ConstantSignal": signals.constant,
    "StepSignal": signals.step,
    "PulseSignal": signals.pulse,
    "SineSignal": signals.sine,
    "WhiteNoiseTarget": signals.white_noise,
    "SamplesSignal": sweep.samples,
    "SpikesTarget": sweep.spikes,
    "GaussianWeights": network.gaussian,
    "SparseWeights": network.sparse,
    "ExcitatoryInhibitoryWeights": network.excitatory_inhibitory,
    "RandomInputWeights": network.input_weights,
    "SobolDesign": sweep.sobol,
    "ModelTable": sweep.Model,
    "IntegrationTable": sweep.Integration,
    "ReportTable": Report,
    "RecordTable": sweep.record,
}


@pytest.mark.parametrize(("table", "maker"), MAKERS.items(), ids=MAKERS)
def test_the_schema_has_the_arguments_of_python_and_their_defaults(table: str, maker: Any) -> None:
    """What is left out of a file has the default of the maker; what has none must be given."""
    made = schema()["$defs"][table]
    own = inspect.signature(maker).parameters
    ways = [key for way in made.get("oneOf", []) for key in way["required"]]
    keys = {key: value for key, value in made["properties"].items() if key in own and key not in ways}
    assert len(keys) >= len(own) - 1  # the units of weights, the source of a recording, the variable of a record
    for key, value in keys.items():
        assert (key in made["required"]) == (own[key].default is inspect.Parameter.empty), key
        if "default" in value or isinstance(own[key].default, str | int | float):
            assert value["default"] == own[key].default, key
