"""Exports a row of the leaderboard as a model, a script, a configuration file or a card; predicts with a model."""
