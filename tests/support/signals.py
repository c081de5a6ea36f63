"""A signal of every kind, and lengths of steps to sample them with."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import sweep
from sweep.signals import waveforms as signals
from sweep.signals.signal import Signal

TIMES = np.random.default_rng(1).uniform(0, 200, 300)
EXAMPLES: dict[str, Signal] = {
    "constant": signals.constant([1.0, -2.0]),
    "step": signals.step(33.3, after=[1.0, 2.0]),
    "pulse": signals.pulse(7.1, 5.0, amplitude=2.0),
    "pulse train": signals.pulse([0.0, 3.0], 5.0, period=17.3),
    "sine": signals.sine(amplitude=[1.0, 2.0], frequency=[5.0, 41.0], phase=0.3, offset=1.0),
    "white noise": signals.white_noise(2.0, seed=5, channels=3),
    "held white noise": signals.white_noise(2.0, seed=5, channels=1, interval=3.7),
    "samples": sweep.samples(np.random.default_rng(2).normal(size=(2, 5000)), interval=0.05),
    "impulses": sweep.spikes(TIMES),
    "rate code": sweep.spikes(TIMES, window=5.0, duration=250.0),
    "early samples": sweep.samples(np.random.default_rng(2).normal(size=(2, 5000)), interval=0.07, start=-3.3),
    "trains": sweep.spikes([TIMES[:9], [], TIMES[9:50]], start=-7.7),
    "rate codes": sweep.spikes([TIMES[:9], [], TIMES[9:50]], window=5.0, start=-7.7),
}
STEPS = st.sampled_from([0.1, 0.25, 0.3, 1.0, 2.0, 1 / 3])
