"""Inputs of a network, and targets that its rates are compared with: waveforms, recordings, targets.

All of them are imported with any of them, so that a process that knows jobs can read every signal that a store holds.
"""

from __future__ import annotations

from sweep.signals.numbers import names_of as names_of
from sweep.signals.recordings import RECORDINGS as RECORDINGS
from sweep.signals.targets import model_output as model_output
from sweep.signals.waveforms import WAVEFORMS as WAVEFORMS
