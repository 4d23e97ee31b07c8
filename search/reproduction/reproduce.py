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
from search.leaderboard.row_selector import select_row
from search.protocol import PROTOCOL_VERSION
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.comparison import (
    EnvironmentChange,
    Tolerance,
    are_deterministic,
    environment_changes,
    error_tolerance,
)
from search.reproduction.restore import ReproductionOptions, restore_task, trial_environment
from search.reproduction.retrain import EpochCallback, retrain
from search.trial import Cause, Outcome, Phase, State, Trial

REPRODUCIBLE_FAILURES = frozenset({Cause.NOT_FINITE, Cause.INVALID, Cause.ERROR})
"""Failures that lie in the configuration, so that the same training ends in them again."""


class Agreement(StrEnum):
    """How a run came out when it was made again."""

    EXACT = "bit for bit"
    WITHIN = "within the interval"
    DIFFERENT = "not the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproductionTarget:
    """Recorded runs to be made again.

    Args:
        label: What they are, such as "baseline #0".
        runs: At least one, of one phase.
        recorded_count: How many such runs are recorded.
        note: What is to be said of the choice; mostly nothing.
    """

    label: str
    runs: tuple[TrialRecord, ...]
    recorded_count: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproducedRun:
    """A recorded run beside the same run made again.

    Args:
        trial: What was run again.
        recorded: How it ended.
        reproduced: How it ended here.
        changes: What it ran on that is another here.
        tolerance: Where the error of another seed would lie; None where there is no error to compare.
    """

    trial: Trial
    recorded: Outcome
    reproduced: Outcome
    changes: tuple[EnvironmentChange, ...]
    tolerance: Tolerance | None

    @property
    def equal_epochs(self) -> int:
        """From the first on, how many epochs have the same losses and errors to the last bit."""
        pairs = zip(_epoch_metrics(self.recorded), _epoch_metrics(self.reproduced), strict=False)
        return next((place for place, (one, other) in enumerate(pairs) if one != other), min(self._epoch_counts))

    @property
    def is_exact_expected(self) -> bool:
        """Whether the same bits must come out: nothing differs, and both runs are deterministic."""
        return not self.changes and are_deterministic(self.recorded.environment, self.reproduced.environment)

    @property
    def agreement(self) -> Agreement:
        """How it came out."""
        if not self._has_same_end:
            return Agreement.DIFFERENT
        if self._is_exact:
            return Agreement.EXACT
        error = self.reproduced.error_percent
        if self.is_exact_expected or self.tolerance is None or error is None:
            return Agreement.DIFFERENT
        return Agreement.WITHIN if self.tolerance.interval.contains(error) else Agreement.DIFFERENT

    @property
    def _epoch_counts(self) -> tuple[int, int]:
        return len(self.recorded.history), len(self.reproduced.history)

    @property
    def _has_same_end(self) -> bool:
        """Whether it failed for the same cause, or was trained as far."""
        if _is_reproducible_failure(self.recorded):
            return (self.recorded.state, self.recorded.cause) == (self.reproduced.state, self.reproduced.cause)
        return (
            self.reproduced.state in (State.COMPLETE, State.PAUSED) and self._epoch_counts[0] == self._epoch_counts[1]
        )

    @property
    def _is_exact(self) -> bool:
        return (
            self._epoch_counts[0] == self._epoch_counts[1] == self.equal_epochs
            and self.recorded.error_percent == self.reproduced.error_percent
            and (
                not self.recorded.predicted_classes
                or self._misclassified(self.recorded) == self._misclassified(self.reproduced)
            )
        )

    @staticmethod
    def _misclassified(outcome: Outcome) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return outcome.misclassified, outcome.predicted_classes


def find_target(record: StudyRecord, selector: str, *, is_test: bool = False, seeds: int = 1) -> ReproductionTarget:
    """Returns the runs that a person means.

    Args:
        record: The study.
        selector: A search trial's number, or a row as ``search.leaderboard.row_selector`` knows them.
        is_test: Whether a number stands for the test runs of its row.
        seeds: How many of a row's test runs.

    Raises:
        UserError: There is no such trial or row, or it holds nothing that could be compared.
    """
    search_records = {trial_record.trial.number: trial_record for trial_record in record.trials_in_phase(Phase.SEARCH)}
    if selector.isdecimal() and int(selector) in search_records and not is_test:
        known = search_records[int(selector)]
        return ReproductionTarget(
            label=f"search trial {known.trial.number}, {known.trial.origin}", runs=(_require_comparable(known),)
        )
    selected = select_row(record, selector)
    phase = Phase.REPRODUCTION if selected.row.trial is None else Phase.VERIFICATION
    numbers = {selected.row.trial, *(step.trial for step in selected.row.segments)} if selected.row.segments else {None}
    runs = [
        known for known in record.trials_in_phase(phase) if known.trial.source_trial in numbers and _is_complete(known)
    ]
    if not runs:
        if is_test or selected.row.trial is None:
            raise UserError(f"{selected.row.name} of study {record.header.name!r} has no complete test run to repeat.")
        target = find_target(record, str(selected.row.trial))
        note = (
            selected.note or f"{selected.row.name} was not verified on the test images; its search trial is repeated."
        )
        return dataclasses.replace(target, note=note)
    return ReproductionTarget(
        label=f"{selected.row.name}, test runs", runs=tuple(runs[:seeds]), recorded_count=len(runs), note=selected.note
    )


def reproduce(
    record: StudyRecord,
    target: ReproductionTarget,
    options: ReproductionOptions,
    on_epoch: EpochCallback = lambda trial, report: None,
) -> list[ReproducedRun]:
    """Trains the runs again and returns each beside what was recorded of it.

    Args:
        record: The study.
        target: What to run again.
        options: What the user says of this machine.
        on_epoch: Hears of each epoch.

    Raises:
        UserError: The data set or the space is gone or another one.
        FatalError: No worker can be started.
    """
    task = restore_task(record, target.runs[0], options)
    trials = [_trial_to_repeat(known) for known in target.runs]
    outcomes = retrain(task, trials, on_epoch)
    return [_compare_run(record, *each) for each in zip(target.runs, trials, outcomes, strict=True)]


def _compare_run(record: StudyRecord, trial_record: TrialRecord, trial: Trial, reproduced: Outcome) -> ReproducedRun:
    assert trial_record.outcome is not None, "only what ended is compared"
    recorded = dataclasses.replace(trial_record.outcome, environment=trial_environment(record, trial_record))
    return ReproducedRun(
        trial=trial,
        recorded=recorded,
        reproduced=reproduced,
        changes=_run_changes(record, recorded, reproduced),
        tolerance=error_tolerance(record, trial_record, reproduced),
    )


def _run_changes(record: StudyRecord, recorded: Outcome, reproduced: Outcome) -> tuple[EnvironmentChange, ...]:
    """Returns what the run ran on that is another here: machine and versions, rules, and the network's size."""
    if not reproduced.environment:
        return ()  # its worker died without telling
    recorded_values = {
        **recorded.environment,
        "protocol": record.header.protocol.version,
        "parameters": recorded.parameter_count,
    }
    current_values = {**reproduced.environment, "protocol": PROTOCOL_VERSION, "parameters": reproduced.parameter_count}
    return environment_changes(recorded_values, current_values)


def _require_comparable(trial_record: TrialRecord) -> TrialRecord:
    """Returns a trial that has something to be compared with.

    Raises:
        UserError: It has not ended, or ended before its first epoch for a reason outside it.
    """
    number, outcome = trial_record.trial.number, trial_record.outcome
    if outcome is None:
        raise UserError(f"Search trial {number} has not ended; there is nothing to compare with yet.")
    if not outcome.history and not _is_reproducible_failure(outcome):
        cause = f": {outcome.cause.value}" if outcome.cause else ""
        raise UserError(f"Search trial {number} finished no epoch ({outcome.state.value}{cause}); nothing can agree.")
    return trial_record


def _trial_to_repeat(trial_record: TrialRecord) -> Trial:
    """Returns the trial, to be trained as far as it was; one that failed by itself goes on until it fails again."""
    assert trial_record.outcome is not None, "only what ended is compared"
    if _is_reproducible_failure(trial_record.outcome):
        return trial_record.trial
    return dataclasses.replace(trial_record.trial, target_epoch=len(trial_record.outcome.history))


def _is_reproducible_failure(outcome: Outcome) -> bool:
    return outcome.state is State.FAILED and outcome.cause in REPRODUCIBLE_FAILURES


def _is_complete(trial_record: TrialRecord) -> bool:
    return trial_record.outcome is not None and trial_record.outcome.state is State.COMPLETE


def _epoch_metrics(outcome: Outcome) -> Sequence[tuple[float | None, ...]]:
    return [(report.training_loss, report.loss, report.error_percent) for report in outcome.history]
