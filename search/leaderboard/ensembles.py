"""Computes the board's ensembles from a study's record.

An ensemble exists once, so its interval covers the choice of the test images alone. Called by ``compute``.
"""

from __future__ import annotations

from collections import Counter

from search.leaderboard.board import Ensemble
from search.leaderboard.statistics import CONFIDENCE, Interval
from search.records.record import ENSEMBLE_WEIGHTS_KEY, StudyRecord, TrialRecord
from search.trial import Outcome, Phase


def study_ensembles(study: StudyRecord) -> list[Ensemble]:
    """Returns a study's ensembles, of each kind the one formed last."""
    own = [known for known in study.trials_in_phase(Phase.ENSEMBLE) if not known.copied_from]
    last = {known.trial.origin: (known, known.outcome) for known in own if known.outcome}
    return [_ensemble(study, *one) for one in last.values() if one[1].error_percent is not None]


def _ensemble(study: StudyRecord, record: TrialRecord, outcome: Outcome) -> Ensemble:
    assert outcome.error_percent is not None
    runs = {str(run.trial.number): run.trial.source_trial for run in study.trials_in_phase(Phase.VERIFICATION)}
    members = Counter(
        source_trial
        for number in record.trial.engine_metadata.get(ENSEMBLE_WEIGHTS_KEY, {})
        if (source_trial := runs.get(number)) is not None
    )
    return Ensemble(
        label=f"ensemble: {record.trial.origin}",
        study=study.header,
        error_percent=outcome.error_percent,
        interval=_interval(outcome),
        members=dict(sorted(members.items())),
        parameters=outcome.parameter_count,
    )


def _interval(outcome: Outcome) -> Interval | None:
    """Returns Wilson's interval for a share, in percent.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
    """
    if not outcome.scored_images:
        return None
    from scipy.stats import binomtest

    bounds = binomtest(len(outcome.misclassified), outcome.scored_images).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(100.0 * float(bounds.low), 100.0 * float(bounds.high))
