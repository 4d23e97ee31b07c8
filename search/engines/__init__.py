"""Engines propose configurations: ask, report, tell. They know neither executors nor the ledger."""
