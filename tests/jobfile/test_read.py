"""Job files: what they mean, and the messages about mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.jobs import COMPARING, LOOK, PLAIN, TIME

import sweep
from sweep.job import Job, Report
from sweep.model import weights as network
from sweep.signals import waveforms as signals


def python(**changes: Any) -> Job:
    """Build the job of `PLAIN` in Python, with changes."""
    parts: dict[str, Any] = {
        "model": sweep.Model(units=3),
        "integration": sweep.Integration(dt=0.5, duration=20.0),
        "observe": ["r_mean"],
    }
    return Job(**(parts | changes))


def test_a_file_equals_the_same_job_in_python(read: Callable[[str], Job]) -> None:
    """The example of the design page has the same hash, title, blocks and report as file and in Python."""
    job = read("""
        title = "sine"
        description = "a network that hears a sine"
        seed = 7
        noise_pairing = "common"
        sets_per_block = 16
        observe = ["r_mean", "r_std", "x_final", { record = "r", every = 10, units = [0, 3] }]

        [model]
        units = 8
        activation = "tanh"
        weights = { kind = "gaussian", seed = 1 }
        parameters = { tau_s = 10, tau_r = 5.0, threshold = [0, 1, 2, 3, 4, 5, 6, 7] }

        [input]
        kind = "sine"
        amplitude = 1
        frequency = 5.0

        [integration]
        dt = 0.5
        duration = 200.0
        transient = 50.0

        [design.grid]
        tau_s = { geomspace = [1, 100, 32] }
        gain = { linspace = [0.5, 2, 16] }

        [report]
        variable = "r_mean"
        best = "min"
        x = "tau_s"
        select = { unit = 2 }
    """)
    same = Job(
        model=sweep.Model(
            units=8,
            weights=sweep.gaussian(units=8, seed=1),
            activation="tanh",
            parameters={"tau_s": 10.0, "tau_r": 5.0, "threshold": np.arange(8)},
        ),
        input=sweep.sine(amplitude=1.0, frequency=5.0),
        design=sweep.grid(tau_s=np.geomspace(1, 100, 32), gain=np.linspace(0.5, 2, 16)),
        integration=sweep.Integration(dt=0.5, duration=200.0, transient=50.0),
        observe=["r_mean", "r_std", "x_final", sweep.record("r", every=10, units=[0, 3])],
        seed=7,
        noise_pairing="common",
        title="sine",
        description="a network that hears a sine",
        sets_per_block=16,
        report=Report(variable="r_mean", best="min", x="tau_s", select={"unit": 2}),
    )
    assert job.hash == same.hash
    assert job.spec()[0] == same.spec()[0]


DESIGNS = {
    "nothing": ("", sweep.Design(())),
    "grid": (
        '[design.grid]\ntau_s = [1, 2.5]\n"W[0, 1]" = [0.0, 1.0]\n"bias[2]" = { linspace = [0, 1, 3] }',
        sweep.grid(tau_s=[1, 2.5], **{"W[0,1]": [0.0, 1.0], "bias[2]": [0, 0.5, 1]}),
    ),
    "rate constants": (
        "[design.grid]\ntau_s = { rate_constants = [0.1, 1] }\ntau_r = { rate_constants = { linspace = [0.5, 1, 2] } }",
        sweep.grid(tau_s=0.5 / np.array([0.1, 1]), tau_r=[1.0, 0.5]),
    ),
    "zipped": (
        "[design.zipped.pair]\ntau_s = [1, 2]\nbias = [[0, 1, 2], [3, 4, 5]]\ntau_r = { rate_constants = [0.5, 1] }",
        sweep.zipped("pair", tau_s=[1, 2], bias=[[0, 1, 2], [3, 4, 5]], tau_r=[1.0, 0.5]),
    ),
    "sobol": (
        '[design.sobol]\nn = 8\nseed = 1\nranges = { tau_s = [1, 100, "log"], gain = [0.5, 2] }',
        sweep.sobol(8, 1, tau_s=(1, 100, "log"), gain=(0.5, 2)),
    ),
    "latin_hypercube": (
        "[design.latin_hypercube]\nn = 5\nseed = 1\nranges = { gain = [0.5, 2] }",
        sweep.latin_hypercube(5, 1, gain=(0.5, 2)),
    ),
    "random": ("[design.random]\nn = 5\nseed = 1\nranges = { gain = [0.5, 2] }", sweep.random(5, 1, gain=(0.5, 2))),
    "table": ('[design.table.set]\nfile = "sets.csv"', sweep.table("set", {"tau_s": [1.0, 2.0], "W[0,1]": [0.1, 0.2]})),
    "a product": (
        "[design]\nreplicates = 4\n[design.zipped.pair]\ngain = [1, 2]\n[design.grid]\ntau_s = [1, 2]",
        sweep.zipped("pair", gain=[1, 2]) * sweep.grid(tau_s=[1, 2]) * sweep.replicates(4),
    ),
}


def test_regular_values_are_the_decimals_that_are_meant(read: Callable[[str], Job]) -> None:
    """The fourth of the values from 0 to 1 in steps of 0.1 is 0.3."""
    job = read(PLAIN + "[design.grid]\ngain = { start = 0, stop = 1, step = 0.1 }")
    assert job.design.axis("gain").values(0, 11)["gain"].tolist() == [k / 10 for k in range(11)]


@pytest.mark.filterwarnings("ignore:replicate takes values")
@pytest.mark.parametrize(("text", "design"), DESIGNS.values(), ids=DESIGNS)
def test_every_kind_of_design_equals_python(
    read: Callable[[str], Job], tmp_path: Path, text: str, design: sweep.Design
) -> None:
    """Parts multiply in the order of the file, replicates last, and files are found beside the job file."""
    (tmp_path / "sets.csv").write_text('tau_s,"W[0,1]"\n1.0,0.1\n2.0,0.2\n')
    job = read(PLAIN + text)
    assert job.design.dims == design.dims
    assert job.hash == python(design=design).hash


SIGNALS = {
    "constant": ("value = [1, 2, 3]", signals.constant([1, 2, 3])),
    "step": ("time = 5.0, after = 2", signals.step(5.0, after=2)),
    "pulse": ("start = 5, width = 1, amplitude = 2, period = 4", signals.pulse(5, 1, 2, 4)),
    "sine": ("frequency = [10, 20, 30], phase = 1.5", signals.sine(frequency=[10, 20, 30], phase=1.5)),
    "white_noise": ("std = 1, seed = 2, channels = 3, interval = 2", signals.white_noise(1, 2, 3, 2)),
    "samples": ('file = "data/two.csv", interval = 1, column = 1', sweep.samples(np.arange(1, 80, 2), 1)),
    "samples ": (
        "values = [[0, 1, 1, 0, 2], [1, 0, 2, 1, 1], [2, 2, 0, 1, 0]], interval = 6, dims = ['channel', 'time']",
        sweep.samples([[0, 1, 1, 0, 2], [1, 0, 2, 1, 1], [2, 2, 0, 1, 0]], 6, dims=("channel", "time")),
    ),
    "spikes": ('file = "data/spikes.txt", time_unit = "s", window = 2', sweep.spikes([3, 12], window=2)),
    "spikes ": ("times = [3, 12], duration = 40", sweep.spikes([3, 12], duration=40)),
}


@pytest.mark.parametrize("kind", SIGNALS)
def test_every_kind_of_signal_equals_python_as_an_input_and_as_a_target(
    read: Callable[[str], Job], tmp_path: Path, kind: str
) -> None:
    """One table is one signal, two are an ensemble, and a target also has lags."""
    arguments, signal = SIGNALS[kind]
    (tmp_path / "data").mkdir()
    np.savetxt(tmp_path / "data" / "two.csv", np.arange(80).reshape(40, 2), delimiter=",")
    (tmp_path / "data" / "spikes.txt").write_text("# s\n0.012\n0.003\n")
    table = f'kind = "{kind.strip()}", {arguments}'
    assert read(PLAIN + f"input = {{ {table} }}").hash == python(input=signal).hash
    assert read(PLAIN + f"input = [{{ {table} }}, {{ {table} }}]").hash == python(input=[signal, signal]).hash
    target = sweep.Target(signal, lags=[0.0, 0.5, 1.0])
    found = read(COMPARING + f"target = {{ {table}, lags = {{ start = 0, stop = 1, step = 0.5 }} }}")
    assert found.hash == python(observe=["target_mse"], target=target).hash


WEIGHTS = {
    "gaussian": ("seed = 1, std = 2, networks = 4", network.gaussian(3, 1, 2.0, 4)),
    "sparse": ("seed = 1, density = 0.5", network.sparse(3, 1, 0.5)),
    "excitatory_inhibitory": (
        "seed = 1, fraction_excitatory = 0.5, balance = false",
        network.excitatory_inhibitory(3, 1, 0.5, balance=False),
    ),
    "file": ('file = "w.csv"', np.arange(9.0).reshape(3, 3)),
    "values": (
        "values = [[0, 1, 2], [3, 4, 5], [6, 7, 8]], perturbations = { fractions = [0, 0.2], seed = 2 }",
        network.perturb(np.arange(9.0).reshape(3, 3), [0, 0.2], 2),
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_every_kind_of_weights_equals_python(read: Callable[[str], Job], tmp_path: Path, kind: str) -> None:
    """The number of units comes from the model, and files are found beside the job file."""
    arguments, weights = WEIGHTS[kind]
    np.savetxt(tmp_path / "w.csv", np.arange(9).reshape(3, 3), delimiter=",")
    job = read(LOOK + TIME + f'[model]\nunits = 3\nweights = {{ kind = "{kind}", {arguments} }}')
    assert job.hash == python(model=sweep.Model(3, weights)).hash


INPUT_WEIGHTS = {
    "random": ("channels = 2, seed = 1, std = 0.5", network.input_weights(3, 2, 1, 0.5)),
    "file": ('file = "u.csv"', np.arange(6.0).reshape(3, 2)),
    "values": ("values = [[0, 1], [2, 3], [4, 5]]", np.arange(6.0).reshape(3, 2)),
}


@pytest.mark.parametrize("kind", INPUT_WEIGHTS)
def test_every_kind_of_input_weights_equals_python(read: Callable[[str], Job], tmp_path: Path, kind: str) -> None:
    """Input weights are (unit, channel)."""
    arguments, weights = INPUT_WEIGHTS[kind]
    np.savetxt(tmp_path / "u.csv", np.arange(6).reshape(3, 2), delimiter=",")
    job = read(LOOK + TIME + f'[model]\nunits = 3\ninput_weights = {{ kind = "{kind}", {arguments} }}')
    assert job.hash == python(model=sweep.Model(3, input_weights=weights)).hash


def test_a_teacher_may_be_given_by_its_rate_constants(read: Callable[[str], Job]) -> None:
    """With dt = 0.5 ms a rate constant of 0.25 is a time constant of 2 ms."""
    job = read(
        COMPARING + 'target = [{ kind = "model", parameters = { bias = 1 }, rate_constants = { tau_s = 0.25 } }]'
    )
    teacher = sweep.Target(sweep.model_output({"bias": 1.0, "tau_s": 2.0}))
    assert job.hash == python(observe=["target_mse"], target=[teacher]).hash


def test_steps_are_the_decimal_numbers_that_a_reader_would_write(read: Callable[[str], Job]) -> None:
    """0.05 * 3 is 0.15000000000000002 in binary, but labels must be the numbers by which users select."""
    job = read(PLAIN + "design = { grid = { bias = { start = 0.05, stop = 0.3, step = 0.05 } } }")
    values = job.design.values(job.design.blocks(10)[0])["bias"]
    assert values.tolist() == [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
