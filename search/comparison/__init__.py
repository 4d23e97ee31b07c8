"""Comparisons of engines: computed from a tournament's recorded studies alone. No engine, no executor, no Keras."""
