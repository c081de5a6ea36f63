"""What the back ends with compiled kernels share: what a job needs, which kernel serves it, and its arrays."""
