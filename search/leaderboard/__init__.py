"""Leaderboards: rows computed from recorded trials alone, and renderers. No engine, no executor, no Keras."""
