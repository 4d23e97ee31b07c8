"""Executors run trials: submit, collect, cancel, close. They import no engine, ledger or study."""
