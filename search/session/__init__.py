"""A session, one run of a study: plans it, chooses workers and threads, runs its trials, and publishes it."""
