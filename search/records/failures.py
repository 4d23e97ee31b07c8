"""Groups failed and interrupted trials by study and cause. Pure; called by the leaderboard and the summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from search.records.record import StudyRecord, TrialRecord
from search.trial import Cause, Phase, State, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTrial:
    """One trial that failed or was interrupted.

    Args:
        phase: Its phase.
        number: Its number in the phase.
        continued_by: Number of the trial that continued or repeated it; None if none did.
    """

    phase: Phase
    number: int
    continued_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed or interrupted trials of one study with the same cause.

    Args:
        study: The study's name.
        state: Failed or interrupted.
        cause: The cause; None if it was not recorded.
        trials: The trials, search first, by number; at least one.
        message: First line of the last trial's message.
        traceback: Traceback of the last trial; empty if it has none.
    """

    study: str
    state: State
    cause: Cause | None
    trials: tuple[FailedTrial, ...]
    message: str = ""
    traceback: str = ""


def group_failures(studies: Iterable[StudyRecord]) -> tuple[FailureGroup, ...]:
    """Returns the groups by study: failures before interruptions, frequent causes first."""
    groups = [failure for study in studies for failure in _study_failures(study)]
    return tuple(sorted(groups, key=_sort_key))


def _sort_key(group: FailureGroup) -> tuple[str, bool, int, str]:
    return (group.study, group.state is not State.FAILED, -len(group.trials), group.cause.value if group.cause else "")


def _study_failures(study: StudyRecord) -> list[FailureGroup]:
    groups: dict[tuple[State, Cause | None], list[TrialRecord]] = defaultdict(list)
    for record in _sorted_trials(study):
        has_failed = record.outcome is not None and record.outcome.state in (State.FAILED, State.INTERRUPTED)
        if record.outcome is not None and has_failed and not record.copied_from:
            groups[record.outcome.state, record.outcome.cause].append(record)
    continued_by = continuations(study) if groups else {}
    return [
        FailureGroup(
            study=study.header.name,
            state=state,
            cause=cause,
            trials=tuple(
                FailedTrial(
                    phase=record.trial.phase,
                    number=record.trial.number,
                    continued_by=continued_by.get(record.trial.key),
                )
                for record in group
            ),
            message=_first_line(group[-1]),
            traceback=group[-1].outcome.traceback if group[-1].outcome else "",
        )
        for (state, cause), group in groups.items()
    ]


def continuations(study: StudyRecord) -> dict[tuple[Phase, int], int]:
    """Returns the number of the trial that continued or repeated each trial, by the key of the latter."""
    latest: dict[tuple[Phase, Hashable], Trial] = {}
    continued_by: dict[tuple[Phase, int], int] = {}
    for record in _sorted_trials(study):
        trial = record.trial
        key = (trial.phase, trial.training_key if trial.phase is Phase.SEARCH else trial.replicate_key)
        if key in latest:
            continued_by[latest[key].key] = record.trial.number
        if record.trial.parent is not None:
            continued_by.setdefault((Phase.SEARCH, record.trial.parent), record.trial.number)
        latest[key] = record.trial
    return continued_by


def _sorted_trials(study: StudyRecord) -> list[TrialRecord]:
    return [
        record
        for phase in Phase
        for record in sorted(study.trials_in_phase(phase), key=lambda record: record.trial.number)
    ]


def _first_line(record: TrialRecord) -> str:
    message = record.outcome.message.strip() if record.outcome else ""
    return message.partition("\n")[0]
