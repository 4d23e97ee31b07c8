"""Computes the board's ensembles from a study's record.

An ensemble exists once, so its interval covers the choice of the test images alone. Called by ``compute``.
"""

from __future__ import annotations

from collections import Counter

from search.leaderboard.board import Ensemble
from search.leaderboard.statistics import CONFIDENCE, Interval
from search.records.record import EnsembleRecord, StudyRecord
from search.trial import Phase


def study_ensembles(study: StudyRecord) -> list[Ensemble]:
    """Returns a study's ensembles, the last of each kind."""
    last = {record.origin: record for record in study.ensembles if not record.copied_from}
    return [_ensemble(study, record) for record in last.values()]


def _ensemble(study: StudyRecord, record: EnsembleRecord) -> Ensemble:
    source_trials = {run.trial.number: run.trial.source_trial for run in study.trials_in_phase(Phase.VERIFICATION)}
    members = Counter(
        source_trial for number in record.weights if (source_trial := source_trials.get(number)) is not None
    )
    return Ensemble(
        label=f"ensemble: {record.origin}",
        study=study.header,
        error_percent=record.error_percent,
        interval=_interval(record),
        members=dict(sorted(members.items())),
        parameters=record.parameter_count,
    )


def _interval(record: EnsembleRecord) -> Interval | None:
    """Returns Wilson's interval for a share, in percent.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
    """
    if not record.scored_images:
        return None
    from scipy.stats import binomtest

    bounds = binomtest(len(record.misclassified), record.scored_images).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(100.0 * float(bounds.low), 100.0 * float(bounds.high))
