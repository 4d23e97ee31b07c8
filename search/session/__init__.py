"""A session: one run of a study from its settings: planned, packed onto the machine, run, shown and published."""
