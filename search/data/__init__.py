"""Data sets: sources, formats, cache, validation and splits."""
