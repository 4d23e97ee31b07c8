"""One training run: network, epochs, evaluation, checkpoints and outcome, on Keras."""
