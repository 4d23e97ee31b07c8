"""Sparse mutation with screening: a sampler for Optuna, in the layout of OptunaHub. See ``README.md``."""

from .sampler import PARENT_KEY, NothingFits, ScreenedMutationSampler

__all__ = ["PARENT_KEY", "NothingFits", "ScreenedMutationSampler"]
