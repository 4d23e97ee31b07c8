"""The epochs and seconds of a section by kind of run. Called by ``page``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search.leaderboard.board import UNFINISHED, state_name
from search.records.record import StudyRecord, TrialRecord
from search.trial import Phase, State

KIND_ORDER = (*(state.value for state in State), UNFINISHED, Phase.VERIFICATION.value, Phase.REPRODUCTION.value)
"""Kinds in the order on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """The cost of one kind of runs.

    Args:
        kind: State of search trials, or phase of other runs; the page calls screened trials short.
        runs: Number of runs; a training in parts has several.
        epochs: Epochs that they trained.
        seconds: Wall-clock seconds of these epochs, scoring included, over all workers.
        share: Share of the seconds of all kinds, 0 to 1.
    """

    kind: str
    runs: int
    epochs: int
    seconds: float
    share: float


def time_spent(records: Sequence[StudyRecord]) -> tuple[TimeSpent, ...]:
    """Returns the cost of each kind, in the order of ``KIND_ORDER``; kinds without a run are left out."""
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for record in records:
        for trial_record in record.trials:
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
    return state_name(trial_record.state)


def _cost(trial_record: TrialRecord) -> tuple[int, float]:
    trained = [report for report in trial_record.epochs_so_far if not report.restored]
    return len(trained), sum(report.seconds for report in trained)
