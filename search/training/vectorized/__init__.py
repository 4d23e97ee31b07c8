"""Vectorized training: trials of one network structure are trained as one JAX program, stacked along a member axis."""
