"""Computes the board's ensembles from a study's record.

An ensemble exists once, so its interval covers the choice of the test images alone; its difference to the row that its
study chose by validation also covers that row's seeds. Called by ``compute``.
"""

from __future__ import annotations

from collections import defaultdict

from search.leaderboard.board import Row
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.row_parts import Ensemble
from search.leaderboard.variance import NO_SPREAD, RunErrors, error_difference, single_model
from search.records.record import EnsembleRecord, StudyRecord
from search.trial import Phase


def study_ensembles(study: StudyRecord, chosen: Row | None, groups: ImageGroups | None) -> list[Ensemble]:
    """Returns a study's ensembles, the last of each kind.

    Args:
        study: The study.
        chosen: The row that it chose by validation; None without a verified row.
        groups: Of the test images; None where they are taken as independent.
    """
    last = {record.origin: record for record in study.ensembles if not record.copied_from}
    return [_ensemble(study, record, chosen, groups) for record in last.values()]


def _ensemble(study: StudyRecord, record: EnsembleRecord, chosen: Row | None, groups: ImageGroups | None) -> Ensemble:
    source_trials = {run.trial.number: run.trial.source_trial for run in study.trials_in_phase(Phase.VERIFICATION)}
    members: dict[int, float] = defaultdict(float)
    for number, weight in record.weights.items():
        if (source_trial := source_trials.get(number)) is not None:
            members[source_trial] += weight
    runs = RunErrors(
        errors_percent=[record.error_percent],
        wrong_indices=[record.misclassified],
        image_count=record.scored_images or None,
        groups=groups,
        single_run_spread=NO_SPREAD,
    )
    return Ensemble(
        label=f"ensemble: {record.origin}",
        study=study.header,
        error_percent=record.error_percent,
        balanced_error_percent=record.balanced_error_percent,
        interval=single_model(runs),
        members=dict(sorted(members.items())),
        models=len(record.weights),
        parameters=record.parameter_count,
        compared_with=chosen.name if chosen else "",
        difference=error_difference(runs, chosen.run_errors) if chosen else None,
    )
