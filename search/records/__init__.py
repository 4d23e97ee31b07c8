"""The ledger of a study, the values that are read from it, and the lookup, merging and summary of studies."""
