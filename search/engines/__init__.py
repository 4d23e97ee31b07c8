"""Engines propose configurations by ask, report and tell."""
