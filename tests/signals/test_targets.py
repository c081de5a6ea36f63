"""Targets: signals that rates are compared with, and those that a model makes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sweep
from sweep.errors import JobError
from sweep.signals import waveforms as signals
from sweep.signals.signal import Signal
from sweep.signals.targets import Target


def test_model_output_keeps_its_parameters_and_has_no_values() -> None:
    """A teacher is described by parameters and weights; it has a channel per unit and cannot be sampled."""
    teacher = sweep.model_output({"tau_s": 5.0, "bias": [0.0, 1.0]}, weights=np.eye(2))
    assert isinstance(teacher, Signal)
    assert (teacher.kind, teacher.channels, teacher.duration) == ("model", 0, math.inf)
    assert teacher.parameters["tau_s"] == 5.0
    assert np.array_equal(teacher.parameters["bias"], [0.0, 1.0])
    with pytest.raises(JobError, match=r"model_output: has no values of its own.*Target"):
        teacher.sample(0, 1, 1.0)
    assert Target(teacher).signal is teacher


def test_target_takes_any_signal_and_its_lags() -> None:
    """Lags are kept in their order, as numbers in ms; without any the only lag is 0."""
    assert Target(signals.sine()).lags == (0.0,)
    assert Target(signals.sine(), lags=[0, 2, 1]).lags == (0.0, 2.0, 1.0)
    assert Target(signals.sine(), np.arange(3)).lags == (0.0, 1.0, 2.0)
