"""Trials that are trained together as one program: their states stacked along an axis of members, on JAX alone."""
