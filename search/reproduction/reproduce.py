"""Reproduction: recorded runs once more from the ledger alone, and whether they come out the same.

find       which runs a person means: a search trial, or the test runs of a row
reproduce  trains them here and compares each with what was recorded

Bit for bit where both runs are deterministic and nothing they ran on differs; else by the interval that a run of
another seed falls into. Writes nothing into the study. Called by the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.errors import UserError
from search.leaderboard.picking import pick
from search.protocol import PROTOCOL_VERSION
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.environments import Change, are_deterministic, changes
from search.reproduction.restoring import Means, environment, restore_task
from search.reproduction.retraining import Hear, retrain
from search.reproduction.spread import Tolerance, tolerance
from search.trial import Cause, Outcome, Phase, State, Trial

OWN_ENDS = frozenset({Cause.NOT_FINITE, Cause.INVALID, Cause.ERROR})
"""Failures that lie in the configuration, so that the same training ends in them again."""


class Agreement(StrEnum):
    """How a run came out when it was made again."""

    EXACT = "bit for bit"
    WITHIN = "within the interval"
    DIFFERENT = "not the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Recorded runs to be made again.

    Args:
        label: What they are, such as "baseline #0".
        runs: At least one, of one phase.
        of: How many such runs are recorded.
        note: What is to be said of the choice; mostly nothing.
    """

    label: str
    runs: tuple[TrialRecord, ...]
    of: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A recorded run beside the same run made again.

    Args:
        trial: What was run again.
        recorded: How it ended.
        again: How it ended here.
        changes: What it ran on that is another here.
        tolerance: Where the error of another seed would lie; None where there is no error to compare.
    """

    trial: Trial
    recorded: Outcome
    again: Outcome
    changes: tuple[Change, ...]
    tolerance: Tolerance | None

    @property
    def equal_epochs(self) -> int:
        """From the first on, how many epochs have the same losses and errors to the last bit."""
        pairs = zip(_curve(self.recorded), _curve(self.again), strict=False)
        return next((place for place, (one, other) in enumerate(pairs) if one != other), min(self._epochs))

    @property
    def is_exact_expected(self) -> bool:
        """Whether the same bits must come out: nothing differs, and both runs are deterministic."""
        return not self.changes and are_deterministic(self.recorded.environment, self.again.environment)

    @property
    def agreement(self) -> Agreement:
        """How it came out."""
        if not self._ended_alike:
            return Agreement.DIFFERENT
        if self._is_exact:
            return Agreement.EXACT
        error = self.again.error_percent
        if self.is_exact_expected or self.tolerance is None or error is None:
            return Agreement.DIFFERENT
        return Agreement.WITHIN if self.tolerance.interval.contains(error) else Agreement.DIFFERENT

    @property
    def _epochs(self) -> tuple[int, int]:
        return len(self.recorded.history), len(self.again.history)

    @property
    def _ended_alike(self) -> bool:
        """Whether it failed for the same cause, or was trained as far."""
        if _fails_by_itself(self.recorded):
            return (self.recorded.state, self.recorded.cause) == (self.again.state, self.again.cause)
        return self.again.state in (State.COMPLETE, State.PAUSED) and self._epochs[0] == self._epochs[1]

    @property
    def _is_exact(self) -> bool:
        return (
            self._epochs[0] == self._epochs[1] == self.equal_epochs
            and self.recorded.error_percent == self.again.error_percent
            and (not self.recorded.predicted or self._mistakes(self.recorded) == self._mistakes(self.again))
        )

    @staticmethod
    def _mistakes(outcome: Outcome) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return outcome.wrong, outcome.predicted


def find(record: StudyRecord, text: str, *, is_test: bool = False, seeds: int = 1) -> Target:
    """Returns the runs that a person means.

    Args:
        record: The study.
        text: A search trial's number, or a row as ``search.leaderboard.picking`` knows them.
        is_test: Whether a number stands for the test runs of its row.
        seeds: How many of a row's test runs.

    Raises:
        UserError: There is no such trial or row, or it holds nothing that could be compared.
    """
    searched = {known.trial.number: known for known in record.phase(Phase.SEARCH)}
    if text.isdecimal() and int(text) in searched and not is_test:
        known = searched[int(text)]
        return Target(label=f"search trial {known.trial.number}, {known.trial.origin}", runs=(_comparable(known),))
    picked = pick(record, text)
    phase = Phase.REPRODUCTION if picked.row.trial is None else Phase.VERIFICATION
    numbers = {picked.row.trial, *(step.trial for step in picked.row.steps)} if picked.row.steps else {None}
    runs = [known for known in record.phase(phase) if known.trial.of in numbers and _is_complete(known)]
    if not runs:
        if is_test or picked.row.trial is None:
            raise UserError(f"{picked.row.name} of study {record.header.name!r} has no complete test run to repeat.")
        target = find(record, str(picked.row.trial))
        note = picked.note or f"{picked.row.name} was not verified on the test images; its search trial is repeated."
        return dataclasses.replace(target, note=note)
    return Target(label=f"{picked.row.name}, test runs", runs=tuple(runs[:seeds]), of=len(runs), note=picked.note)


def reproduce(
    record: StudyRecord, target: Target, means: Means, hear: Hear = lambda trial, report: None
) -> list[Repeat]:
    """Trains the runs again and returns each beside what was recorded of it.

    Args:
        record: The study.
        target: What to run again.
        means: What the user says of this machine.
        hear: Hears of each epoch.

    Raises:
        UserError: The data set or the space is gone or another one.
        FatalError: No worker can be started.
    """
    task = restore_task(record, target.runs[0], means)
    trials = [_as_far(known) for known in target.runs]
    outcomes = retrain(task, trials, hear)
    return [_beside(record, *each) for each in zip(target.runs, trials, outcomes, strict=True)]


def _beside(record: StudyRecord, known: TrialRecord, trial: Trial, again: Outcome) -> Repeat:
    assert known.outcome is not None, "only what ended is compared"
    recorded = dataclasses.replace(known.outcome, environment=environment(record, known))
    return Repeat(
        trial=trial,
        recorded=recorded,
        again=again,
        changes=_changes(record, recorded, again),
        tolerance=tolerance(record, known, again),
    )


def _changes(record: StudyRecord, recorded: Outcome, again: Outcome) -> tuple[Change, ...]:
    """Returns what the run ran on that is another here: machine and versions, rules, and the network's size."""
    if not again.environment:
        return ()  # its worker died without telling
    then = {**recorded.environment, "protocol": record.header.protocol.version, "parameters": recorded.parameters}
    now = {**again.environment, "protocol": PROTOCOL_VERSION, "parameters": again.parameters}
    return changes(then, now)


def _comparable(known: TrialRecord) -> TrialRecord:
    """Returns a trial that has something to be compared with.

    Raises:
        UserError: It has not ended, or ended before its first epoch for a reason outside it.
    """
    number, outcome = known.trial.number, known.outcome
    if outcome is None:
        raise UserError(f"Search trial {number} has not ended; there is nothing to compare with yet.")
    if not outcome.history and not _fails_by_itself(outcome):
        cause = f": {outcome.cause.value}" if outcome.cause else ""
        raise UserError(f"Search trial {number} finished no epoch ({outcome.state.value}{cause}); nothing can agree.")
    return known


def _as_far(known: TrialRecord) -> Trial:
    """Returns the trial, to be trained as far as it was; one that failed by itself goes on until it fails again."""
    assert known.outcome is not None, "only what ended is compared"
    if _fails_by_itself(known.outcome):
        return known.trial
    return dataclasses.replace(known.trial, until=len(known.outcome.history))


def _fails_by_itself(outcome: Outcome) -> bool:
    return outcome.state is State.FAILED and outcome.cause in OWN_ENDS


def _is_complete(known: TrialRecord) -> bool:
    return known.outcome is not None and known.outcome.state is State.COMPLETE


def _curve(outcome: Outcome) -> Sequence[tuple[float | None, ...]]:
    return [(report.training_loss, report.loss, report.error_percent) for report in outcome.history]
