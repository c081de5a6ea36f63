"""What the back ends with compiled kernels share: the needs of a job, the choice of a kernel, and its arrays."""
