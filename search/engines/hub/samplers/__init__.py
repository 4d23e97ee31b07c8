"""Samplers by package; see ``search.engines.hub``."""
