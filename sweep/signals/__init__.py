"""Inputs of a network, and targets that its rates are compared with: waveforms, recordings, targets."""

from __future__ import annotations

from sweep.signals.recordings import samples as samples
from sweep.signals.recordings import spikes as spikes
from sweep.signals.targets import Target as Target
from sweep.signals.targets import model_output as model_output
from sweep.signals.waveforms import constant as constant
from sweep.signals.waveforms import pulse as pulse
from sweep.signals.waveforms import sine as sine
from sweep.signals.waveforms import step as step
from sweep.signals.waveforms import white_noise as white_noise
