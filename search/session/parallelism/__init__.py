"""How many workers and threads a run gets."""
