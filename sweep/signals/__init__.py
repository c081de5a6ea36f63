"""What drives a network and what its rates are compared with: waveforms, recordings, targets."""
