"""Data, one training run, evaluation: the only room that knows Keras."""
