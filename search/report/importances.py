"""Importances: how much each parameter of a study moved its validation error, by Optuna's own estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import optuna

from search.optuna_domains import to_optuna_distributions
from search.report.chart_data import StudyPoints

MIN_TRIALS = 10
"""Trials trained in full, below which an estimate would show noise."""
ROUGH_BELOW_TRIALS = 50
"""Trials below which it is said to be rough: a tenth of them is fewer than ``MIN_TOP_TRIALS``."""
MIN_TOP_TRIALS = 5
"""Trials that count as the better ones at least; Optuna's own advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterImportances:
    """What is known of a study's parameters.

    Args:
        by_parameter: By parameter, the largest first, 1 in all; empty where nothing is known.
        trials: Search trials trained in full.
        missing_reason: Why nothing is known.
    """

    by_parameter: Mapping[str, float] = field(default_factory=dict)
    trials: int
    missing_reason: str = ""


def parameter_importances(study: StudyPoints) -> ParameterImportances:
    """Returns the importances over the trials that were trained in full.

    Source: Watanabe et al., "PED-ANOVA", IJCAI 2023, in Optuna's implementation, which assesses conditional parameters
    too: how differently the better tenth of the trials and all of them are spread over each parameter.
    """
    trials = len(study.complete_points)
    if trials < MIN_TRIALS:
        few = "No trial was" if trials == 0 else "One trial was" if trials == 1 else f"{trials} trials were"
        return ParameterImportances(
            trials=trials, missing_reason=f"{few} trained in full; it takes {MIN_TRIALS} to tell."
        )
    if len({point.error_percent for point in study.complete_points}) == 1:
        return ParameterImportances(trials=trials, missing_reason="All trials have the same error.")
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, MIN_TOP_TRIALS / trials))
    return ParameterImportances(
        by_parameter=optuna.importance.get_param_importances(_to_optuna_study(study), evaluator=evaluator),
        trials=trials,
    )


def _to_optuna_study(study: StudyPoints) -> optuna.Study:
    """Returns the trials trained in full as one of Optuna's studies."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # as where studies are read: it would tell of the new study
    optuna_study = optuna.create_study(direction="minimize")
    optuna_study.add_trials(
        optuna.trial.create_trial(
            params=dict(point.row.config),
            distributions=to_optuna_distributions(study.header.space, point.row.config),
            value=point.error_percent,
        )
        for point in study.complete_points
    )
    return optuna_study
