"""Failures: the trials that failed or were interrupted, by study and cause.

Pure, from recorded trials alone. Called by the leaderboard and the overview.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from search.records.record import StudyRecord, TrialRecord
from search.trial import Cause, Phase, State, Trial, identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """One trial that failed or was interrupted.

    Args:
        phase: What it was run for.
        number: Its number in that phase.
        again: Number of the trial that took it up again; None where none did so far.
    """

    phase: Phase
    number: int
    again: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The trials of one study that ended in the same way for the same cause.

    Args:
        study: The study's name.
        state: Failed or interrupted.
        cause: Why; None where it was not recorded.
        trials: The trials, search first, by number; at least one.
        message: What the last of them said, its first line.
        traceback: The last one's; empty where it left none.
    """

    study: str
    state: State
    cause: Cause | None
    trials: tuple[Fallen, ...]
    message: str = ""
    traceback: str = ""


def failures(studies: Iterable[StudyRecord]) -> tuple[Failure, ...]:
    """Returns what failed and what was interrupted, by study: failures first, frequent causes first."""
    found = [failure for study in studies for failure in _of(study)]
    return tuple(sorted(found, key=_place))


def _place(one: Failure) -> tuple[str, bool, int, str]:
    return (one.study, one.state is not State.FAILED, -len(one.trials), one.cause.value if one.cause else "")


def _of(study: StudyRecord) -> list[Failure]:
    again = taken_up(study)
    groups: dict[tuple[State, Cause | None], list[TrialRecord]] = defaultdict(list)
    for known in _ordered(study):
        is_fallen = known.outcome is not None and known.outcome.state in (State.FAILED, State.INTERRUPTED)
        if known.outcome is not None and is_fallen and not known.copied_from:
            groups[known.outcome.state, known.outcome.cause].append(known)
    return [
        Failure(
            study=study.header.name,
            state=state,
            cause=cause,
            trials=tuple(
                Fallen(phase=known.trial.phase, number=known.trial.number, again=again.get(known.trial.key))
                for known in group
            ),
            message=_first_line(group[-1]),
            traceback=group[-1].outcome.traceback if group[-1].outcome else "",
        )
        for (state, cause), group in groups.items()
    ]


def taken_up(study: StudyRecord) -> dict[tuple[Phase, int], int]:
    """Returns, of trials whose training a later trial took up again or went on with, that trial's number."""
    last: dict[tuple[Phase, Hashable], Trial] = {}
    later: dict[tuple[Phase, int], int] = {}
    for known in _ordered(study):
        training = (known.trial.phase, _training(known.trial))
        if training in last:
            later[last[training].key] = known.trial.number
        if known.trial.parent is not None:
            later.setdefault((Phase.SEARCH, known.trial.parent), known.trial.number)
        last[training] = known.trial
    return later


def _ordered(study: StudyRecord) -> list[TrialRecord]:
    return [known for phase in Phase for known in sorted(study.phase(phase), key=lambda known: known.trial.number)]


def _training(trial: Trial) -> Hashable:
    """Returns what the trials of one training share."""
    if trial.phase is Phase.SEARCH:
        return (trial.seed, identity(trial.config))
    return (trial.of, trial.replicate)


def _first_line(known: TrialRecord) -> str:
    message = known.outcome.message.strip() if known.outcome else ""
    return message.partition("\n")[0]
