"""Weights with named dimensions, and the labels of units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import sweep
from sweep import Integration, Job, JobError, Model
from sweep.spec import encode

NAMES = ["Ia", "Ib", "Ic"]
W = np.arange(18.0).reshape(2, 3, 3) / 20
TOLD = xr.DataArray(W, dims=("network", "to", "from"), coords={"to": NAMES, "from": NAMES})


@given(
    order=st.permutations(["network", "to", "from"]),
    rows=st.permutations(range(3)),
    columns=st.permutations(range(3)),
    words=st.sampled_from([("to", "from"), ("target", "source")]),
)
def test_named_dimensions_of_weights_are_obeyed(
    order: list[str], rows: list[int], columns: list[int], words: tuple[str, str]
) -> None:
    """In any order of dimensions, rows and columns a weight leads from the unit that is named to the one that is named."""
    shuffled = TOLD.transpose(*order).isel({"to": rows, "from": columns}).rename({"to": words[0], "from": words[1]})
    model = Model(units=3, weights=shuffled)
    assert model.weights is not None
    assert model.unit_labels == tuple(NAMES[row] for row in rows)
    found = TOLD.copy(data=model.weights).assign_coords({dim: list(model.unit_labels) for dim in ("to", "from")})
    xr.testing.assert_equal(found.sel({"to": NAMES, "from": NAMES}), TOLD)


def test_weights_without_labels_have_names_of_dimensions_only() -> None:
    """A matrix (from, to) is turned, and nothing is labelled."""
    turned = xr.DataArray(W[0].T, dims=("from", "to"))
    model = Model(units=3, weights=turned)
    np.testing.assert_array_equal(model.weights, W[0])
    assert model.unit_labels is None
    assert encode(model, {}) == encode(Model(units=3, weights=W[0]), {})
    np.testing.assert_array_equal(sweep.perturb(turned, [0.1], seed=1), sweep.perturb(W[0], [0.1], seed=1))
    np.testing.assert_array_equal(sweep.model_output({}, turned).weights, W[0])


def test_input_weights_follow_the_labels_of_the_units() -> None:
    """Their rows are put in the order of the recurrent weights."""
    rows = xr.DataArray([[1.0, 2.0, 3.0]], dims=("channel", "unit"), coords={"unit": ["Ic", "Ia", "Ib"]})
    model = Model(units=3, weights=TOLD[0], input_weights=rows)
    np.testing.assert_array_equal(model.input_weights, [[2.0], [3.0], [1.0]])
    alone = Model(units=3, input_weights=rows)
    assert (alone.unit_labels, alone.input_weights.tolist()) == (("Ic", "Ia", "Ib"), [[1.0], [2.0], [3.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": xr.DataArray(W[0])}, r"model\.weights: has the dimensions .*'dim_0'.*'to' or 'target'.*Rename"),
        ({"weights": TOLD.rename({"from": "to2"})}, r"must have 'network' \(if any\), 'to' or 'target', 'from'"),
        (
            {"weights": TOLD.assign_coords({"from": ["Ia", "Ib", "Id"]})},
            r"weights\.from: its labels .*'Id' does not fit",
        ),
        ({"weights": TOLD.assign_coords({"from": ["Ia", "Ib", "Ib"]})}, r"weights\.from: its labels"),
        (
            {"weights": TOLD, "unit_labels": ["x", "y", "z"]},
            r"weights\.to: its labels .*'Ia' does not fit: .* x, y, z\.",
        ),
        ({"input_weights": TOLD[0]}, r"model\.input_weights: .*'to' or 'target' or 'unit', 'channel'"),
        ({"unit_labels": ["a", "b"]}, r"model\.unit_labels = \['a', 'b'\]: .*one for each of 3 units"),
        ({"unit_labels": 3}, r"model\.unit_labels = 3: must be a list of texts"),
        ({"unit_labels": "abc"}, r"model\.unit_labels = 'abc': must be a list of texts"),
        ({"unit_labels": [1, 2, 3]}, r"model\.unit_labels = \[1, 2, 3\]: must be a list of texts"),
    ],
)
def test_names_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    """Nothing is guessed from the shape."""
    with pytest.raises(JobError, match=message):
        Model(units=3, **arguments)


def test_labels_of_units_come_back_with_results(tmp_path: Path) -> None:
    """In memory, lazily, from a store, and along recorded units; the store can be gone on with and reported on."""
    job = Job(
        model=Model(units=3, weights=TOLD[0], parameters={"bias": [1.0, 2.0, 3.0]}),
        design=sweep.grid(gain=[0.5, 1.0]),
        integration=Integration(dt=1.0, duration=5.0),
        observe=["r_mean", sweep.record("r", units=[2, 0])],
        report=sweep.Report(variable="r_mean", x="gain"),
    )
    stored = sweep.run(job, store=tmp_path / "out.zarr", backend="numpy")
    for ds in (sweep.simulate(job, "numpy"), sweep.lazy(job), stored, sweep.run(job, store=tmp_path / "out.zarr")):
        assert ds.unit_label.dims == ("unit",)
        assert ds.unit_label.to_numpy().tolist() == NAMES
        assert ds.recorded_unit_label.to_numpy().tolist() == ["Ic", "Ia"]
        assert float(ds.r_mean.swap_dims(unit="unit_label").sel(unit_label="Ib", gain=1.0)) == float(ds.r_mean[1, 1])
    again = Job.from_spec(*job.spec())
    assert again.model.unit_labels == tuple(NAMES)
    assert again.hash == job.hash
    assert sweep.best(stored).labels == {"gain": 1.0}
    few = sweep.simulate(job.changed(observe=[sweep.record("r", units=[1])], report=None), "numpy")
    assert few.unit_label.to_numpy().tolist() == ["Ib"]


def test_a_job_file_labels_units(tmp_path: Path) -> None:
    """As a list of texts."""
    (tmp_path / "job.toml").write_text(
        'observe = ["r_mean"]\n[model]\nunits = 2\nunit_labels = ["a", "b"]\n[integration]\ndt = 1.0\nduration = 2.0\n'
    )
    assert sweep.load(tmp_path / "job.toml").model.unit_labels == ("a", "b")


@pytest.mark.parametrize("key", ["input", "target"])
def test_channels_in_another_order_than_the_units_are_refused(key: str) -> None:
    """Each unit gets the channel of its number, so equal labels must be at equal places; other labels say nothing."""

    def job(names: list[str]) -> Job:
        signal = sweep.samples(
            xr.DataArray(np.eye(5)[:, :3], dims=("time", "neuron"), coords={"neuron": names, "time": np.arange(5.0)})
        )
        return Job(
            model=Model(units=3, weights=TOLD[0]),
            integration=Integration(dt=1.0, duration=5.0),
            observe=["r_mean"] if key == "input" else ["target_mse"],
            **{key: signal if key == "input" else sweep.Target(signal)},
        )

    assert job(NAMES).hash == Job.from_spec(*job(NAMES).spec()).hash
    assert job(["x", "y", "z"])
    with pytest.raises(JobError, match=rf"{key}: channel 0 is 'Ic' and unit 0 is 'Ia'.*one order"):
        job(NAMES[::-1])


def test_a_table_of_weights_has_the_labels_of_its_rows_and_columns() -> None:
    """Rows are where weights lead to. Columns in another order are put into that of the rows; numbers are no labels."""
    frame = pd.DataFrame(W[0], index=NAMES, columns=NAMES)
    model = Model(units=3, weights=frame[["Ic", "Ia", "Ib"]], input_weights=pd.DataFrame(np.eye(3), index=NAMES))
    assert model.unit_labels == tuple(NAMES)
    np.testing.assert_array_equal(model.weights, W[0])
    np.testing.assert_array_equal(Model(units=3, weights=pd.DataFrame(W[0])).weights, W[0])
    assert Model(units=3, weights=pd.DataFrame(W[0])).unit_labels is None
    with pytest.raises(
        JobError, match=r"model\.weights\.columns: its labels must be those of the units, .*'x' does not fit"
    ):
        Model(units=3, weights=frame.set_axis(["Ia", "x", "Ic"], axis=1))
