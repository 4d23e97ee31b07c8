"""How many workers and threads a run gets: measured, chosen, and described."""
