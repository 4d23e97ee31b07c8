"""Hyperparameter search for Keras image classifiers."""
