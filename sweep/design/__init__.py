"""Which parameter sets there are: axes, their products, blocks, and the values of a block as arrays."""
