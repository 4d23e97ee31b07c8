"""optuna-dashboard on a study's ledger, in a browser of this machine, while the study runs or after. Only reads."""
