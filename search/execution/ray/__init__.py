"""Trials on a Ray cluster: warm actors instead of processes. The engine is Ray's; here it is only asked."""
