"""The NumPy back end: runs on any CPU, and in float64 is the reference for all others."""

from sweep.backends.numpy.backend import ENTRY as ENTRY
from sweep.backends.numpy.backend import NumpyBackend as NumpyBackend
