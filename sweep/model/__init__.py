"""The two equations: parameters, activations, weights, and steps in time."""
