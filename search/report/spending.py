"""Spending: where a section's epochs and seconds went, by what became of the trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search.leaderboard.board import UNFINISHED
from search.records.record import StudyRecord, TrialRecord
from search.trial import Phase, State

ORDER = (*(state.value for state in State), UNFINISHED, Phase.VERIFICATION.value, Phase.REPRODUCTION.value)
"""Kinds in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
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


def spending(records: Sequence[StudyRecord]) -> tuple[Spent, ...]:
    """Returns what each kind of runs took, in the order of ``ORDER``; kinds without a run are left out."""
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for record in records:
        for known in record.trials:
            if known.trial.phase is not Phase.ENSEMBLE:
                groups[_kind(known)].append(_cost(known))
    total = sum(seconds for costs in groups.values() for _, seconds in costs) or 1.0
    found = {
        kind: Spent(
            kind=kind,
            runs=len(costs),
            epochs=sum(epochs for epochs, _ in costs),
            seconds=sum(seconds for _, seconds in costs),
            share=sum(seconds for _, seconds in costs) / total,
        )
        for kind, costs in groups.items()
    }
    return tuple(found[kind] for kind in ORDER if kind in found)


def _kind(known: TrialRecord) -> str:
    if known.trial.phase is not Phase.SEARCH:
        return known.trial.phase.value
    return known.outcome.state.value if known.outcome else UNFINISHED


def _cost(known: TrialRecord) -> tuple[int, float]:
    reports = [one for one in (known.outcome.history if known.outcome else known.reports) if not one.restored]
    return len(reports), sum(report.seconds for report in reports)
