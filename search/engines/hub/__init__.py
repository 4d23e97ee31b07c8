"""Samplers for Optuna that need nothing else of this project, in the layout of OptunaHub's registry."""
