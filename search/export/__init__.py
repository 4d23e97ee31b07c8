"""A row of the leaderboard, carried out of the project: as a model, a script, a configuration file or a card."""
