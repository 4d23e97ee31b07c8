"""Reproduction: trains recorded runs again and compares the results with the record."""
