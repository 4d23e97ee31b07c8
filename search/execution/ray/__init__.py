"""Trials on a Ray cluster: warm actors instead of local processes."""
