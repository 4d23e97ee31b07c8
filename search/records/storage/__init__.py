"""Storage of a ledger: a journal file or a database."""
