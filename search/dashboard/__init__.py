"""optuna-dashboard on a study's ledger, read only, in a browser of this machine."""
