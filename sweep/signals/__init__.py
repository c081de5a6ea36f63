"""Inputs of a network, and targets that its rates are compared with: waveforms, recordings, targets."""
