"""Who takes the Euler steps: NumPy, the kernels on a GPU (CuPy) and the kernels on CPU vectors (native)."""
