"""The study: the loop, trial sources, retries, checkpoints, stopping, the time budget, verification, ensembles."""
