"""Executors run trials: submit, collect, cancel, close. They know nothing of engines."""
