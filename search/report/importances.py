"""Importances: how much each parameter of a study moved its validation error, by Optuna's own estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import optuna

from search.records.distributions import distributions
from search.report.points import Searched

FEWEST = 10
"""Trials trained in full, below which an estimate would show noise."""
ROUGH = 50
"""Trials below which it is said to be rough: a tenth of them is fewer than ``BETTER``."""
BETTER = 5
"""Trials that count as the better ones at least; Optuna's own advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """What is known of a study's parameters.

    Args:
        shares: By parameter, the largest first, 1 in all; empty where nothing is known.
        trials: Search trials trained in full.
        missing: Why nothing is known.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    trials: int
    missing: str = ""


def importances(study: Searched) -> Importances:
    """Returns the importances over the trials that were trained in full.

    Source: Watanabe et al., "PED-ANOVA", IJCAI 2023, in Optuna's implementation, which assesses conditional parameters
    too: how differently the better tenth of the trials and all of them are spread over each parameter.
    """
    trials = len(study.complete)
    if trials < FEWEST:
        few = "No trial was" if trials == 0 else "One trial was" if trials == 1 else f"{trials} trials were"
        return Importances(trials=trials, missing=f"{few} trained in full; it takes {FEWEST} to tell.")
    if len({point.error_percent for point in study.complete}) == 1:
        return Importances(trials=trials, missing="All trials have the same error.")
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, BETTER / trials))
    return Importances(
        shares=optuna.importance.get_param_importances(_in_memory(study), evaluator=evaluator), trials=trials
    )


def _in_memory(study: Searched) -> optuna.Study:
    """Returns the trials trained in full as one of Optuna's studies."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # as where studies are read: it would tell of the new study
    known = optuna.create_study(direction="minimize")
    known.add_trials(
        optuna.trial.create_trial(
            params=dict(point.row.config),
            distributions=dict(distributions(study.header.space, point.row.config)),
            value=point.error_percent,
        )
        for point in study.complete
    )
    return known
