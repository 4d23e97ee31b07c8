"""Parameter importances: Optuna's estimate from a study's full or short trials, and its bar chart.

Called by ``page``; the other charts of parameters use the order of the importances.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from search.optuna_domains import to_optuna_distribution
from search.report.chart_data import StudyPoints, TrialPoint
from search.report.charts.chart import Chart, escape_label, round_significant

TITLE = "Parameter importances"
MAX_BARS = 15
"""Parameters drawn."""
MIN_TRIALS = 10
"""Trials of one length needed for an estimate."""
ROUGH_BELOW_TRIALS = 50
"""Trials below which the estimate is called rough: a tenth of them is fewer than ``MIN_TOP_TRIALS``."""
MIN_TOP_TRIALS = 5
"""Minimum size of the group of better trials; Optuna's recommendation."""

LAYOUT: Mapping[str, Any] = {
    "xaxis": {
        "showticklabels": False,
        "showline": False,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
    },
    "yaxis": {
        "type": "category",
        "automargin": True,
        "showgrid": False,
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",
        "fixedrange": True,
    },
    "showlegend": False,
    "bargap": 0.45,
    "margin": {"t": 8, "r": 44, "b": 8},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterImportances:
    """Importances of a study's parameters.

    Args:
        by_parameter: By parameter, the largest first; they add up to 1. Empty without an estimate.
        trials: Search trials that it is estimated from.
        is_short: Whether these are short ones.
        missing_reason: Why there is no estimate.
    """

    by_parameter: Mapping[str, float] = field(default_factory=dict)
    trials: int
    is_short: bool = False
    missing_reason: str = ""


def parameter_importances(study: StudyPoints) -> ParameterImportances:
    """Returns how much the distribution of each parameter differs between the best tenth of the trials and all.

    Full trials and short ones are not compared with each other: those of which there are more are taken.

    Source: Watanabe et al., "PED-ANOVA", IJCAI 2023, in Optuna's implementation, which covers conditional parameters.
    """
    points = max(study.complete_points, study.screened_points, key=len)
    trials, is_short = len(points), bool(points) and points[0].row.is_short
    if trials < MIN_TRIALS:
        few = "No trial was" if trials == 0 else "One trial was" if trials == 1 else f"{trials} trials were"
        reason = f"{few} trained {'briefly' if is_short else 'in full'}; an estimate needs {MIN_TRIALS}."
        return ParameterImportances(trials=trials, is_short=is_short, missing_reason=reason)
    if len({point.error_percent for point in points}) == 1:
        return ParameterImportances(trials=trials, is_short=is_short, missing_reason="All trials have the same error.")
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, MIN_TOP_TRIALS / trials))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some regimes")  # with few trials; the caption says that it is rough
        by_parameter = optuna.importance.get_param_importances(_to_optuna_study(study, points), evaluator=evaluator)
    return ParameterImportances(by_parameter=by_parameter, trials=trials, is_short=is_short)


def _to_optuna_study(study: StudyPoints, points: Sequence[TrialPoint]) -> optuna.Study:
    """Returns trials as a study of Optuna."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # no message about the new study
    optuna_study = optuna.create_study(direction="minimize")
    space = study.header.space
    distributions = {name: to_optuna_distribution(domain) for name, domain in space.parameters.items()}
    optuna_study.add_trials(
        optuna.trial.create_trial(
            params=dict(point.row.config),
            distributions={name: distributions[name] for name in point.row.config},
            value=point.error_percent,
        )
        for point in points
    )
    return optuna_study


def chart(importances: ParameterImportances, color: str) -> Chart:
    """Returns the chart of a study's importances, with bars of this colour."""
    if importances.missing_reason:
        return Chart(title=TITLE, missing_reason=importances.missing_reason)
    shown = list(importances.by_parameter.items())[:MAX_BARS]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round_significant(share, 4) for _, share in reversed(shown)],
        "y": [escape_label(name) for name, _ in reversed(shown)],
        "text": [f"{share:.0%}" for _, share in reversed(shown)],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": color},
    }
    return Chart(
        title=TITLE,
        caption=_caption(importances),
        figures={"importances": {"data": [bars], "layout": dict(LAYOUT)}},
        height=24 * len(shown) + 30,
    )


def _caption(importances: ParameterImportances) -> str:
    left_out = len(importances.by_parameter) - MAX_BARS
    more = f" {left_out} less important ones are left out." if left_out > 0 else ""
    is_rough = importances.trials < ROUGH_BELOW_TRIALS
    rough = f" A rough estimate: a good one needs about {ROUGH_BELOW_TRIALS} trials." if is_rough else ""
    kind = "short trials" if importances.is_short else "trials trained in full"
    return (
        "How much each parameter distinguishes the better trials from the others, estimated by PED-ANOVA from "
        f"{importances.trials} {kind}; the shares add up to 1.{rough}{more}"
    )
