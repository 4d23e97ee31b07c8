"""Readers of data sets in files, one module a form; ``registry`` finds the reader of a path."""
