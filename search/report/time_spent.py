"""Spending: where a section's epochs and seconds went, by what became of the trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search.leaderboard.board import UNFINISHED
from search.records.record import StudyRecord, TrialRecord
from search.trial import Phase, State

KIND_ORDER = (*(state.value for state in State), UNFINISHED, Phase.VERIFICATION.value, Phase.REPRODUCTION.value)
"""Kinds in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """What one kind of runs took.

    Args:
        kind: How the search trials ended, or the phase of the others.
        runs: How many; a training in parts has several.
        epochs: Epochs that they trained.
        seconds: Wall-clock seconds of these epochs, scoring included, over all workers.
        share: Of the seconds of all kinds, 0 to 1.
    """

    kind: str
    runs: int
    epochs: int
    seconds: float
    share: float


def time_spent(records: Sequence[StudyRecord]) -> tuple[TimeSpent, ...]:
    """Returns what each kind of runs took, in the order of ``KIND_ORDER``; kinds without a run are left out."""
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for record in records:
        for trial_record in record.trials:
            if trial_record.trial.phase is not Phase.ENSEMBLE:
                groups[_kind(trial_record)].append(_cost(trial_record))
    total = sum(seconds for costs in groups.values() for _, seconds in costs) or 1.0
    by_kind = {
        kind: TimeSpent(
            kind=kind,
            runs=len(costs),
            epochs=sum(epochs for epochs, _ in costs),
            seconds=sum(seconds for _, seconds in costs),
            share=sum(seconds for _, seconds in costs) / total,
        )
        for kind, costs in groups.items()
    }
    return tuple(by_kind[kind] for kind in KIND_ORDER if kind in by_kind)


def _kind(trial_record: TrialRecord) -> str:
    if trial_record.trial.phase is not Phase.SEARCH:
        return trial_record.trial.phase.value
    return trial_record.outcome.state.value if trial_record.outcome else UNFINISHED


def _cost(trial_record: TrialRecord) -> tuple[int, float]:
    reports = [
        one
        for one in (trial_record.outcome.history if trial_record.outcome else trial_record.reports)
        if not one.restored
    ]
    return len(reports), sum(report.seconds for report in reports)
