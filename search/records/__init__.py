"""Records: what a study leaves behind, written once and read by everybody: ledger, storage, predictions, catalog."""
