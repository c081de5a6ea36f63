"""The NumPy back end. It runs on any CPU, and in float64 it is the reference for all others."""

from sweep.backends.numpy.backend import ENTRY as ENTRY
from sweep.backends.numpy.backend import NumpyBackend as NumpyBackend
