"""Back ends, which compute the Euler steps: NumPy, the kernels on a GPU (CuPy), and the kernels on a CPU (native)."""
