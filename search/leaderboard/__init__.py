"""Leaderboards: rows computed from recorded trials alone, and their renderers."""
