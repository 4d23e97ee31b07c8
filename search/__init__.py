"""Hyperparameter search for Keras image classifiers.

In a notebook::

    import search

    study = search.run(space="cnn", trials=20)
    study.leaderboard()

Nothing is imported until it is used, so that ``python -m search --help`` stays instant.
"""

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import Study, baseline, run

__all__ = ["Study", "baseline", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from search.preconditions import check_preconditions

    check_preconditions()
    warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, which Optuna imports in a notebook
    from search import api

    return getattr(api, name)
