"""Reproduces recorded runs from the ledger alone, and compares the results.

    find_target  the runs of a selector: a search trial, or the test runs of a row
    reproduce    trains them here and compares each with the recorded run

The results must be equal bit for bit if both runs are deterministic and their environments are equal; otherwise the
error must be in the interval for another seed. Writes nothing into the study. Called by the command line.
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
"""Failures caused by the configuration, in which the same training ends again."""


class Agreement(StrEnum):
    """Result of the comparison of a run with its reproduction."""

    EXACT = "bit for bit"
    WITHIN = "within the interval"
    DIFFERENT = "not the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproductionTarget:
    """Recorded runs to reproduce.

    Args:
        label: Name of the runs, such as "baseline #0".
        runs: At least one run, all of one phase.
        recorded_count: Number of such runs that are recorded.
        note: A note about the selection; usually empty.
    """

    label: str
    runs: tuple[TrialRecord, ...]
    recorded_count: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproducedRun:
    """A recorded run and its reproduction.

    Args:
        trial: The trial that was repeated.
        recorded: The recorded outcome.
        reproduced: The outcome here.
        changes: Differences of the environments.
        tolerance: Interval for the error of another seed; None if no error is recorded.
    """

    trial: Trial
    recorded: Outcome
    reproduced: Outcome
    changes: tuple[EnvironmentChange, ...]
    tolerance: Tolerance | None

    @property
    def equal_epochs(self) -> int:
        """Number of epochs, from the first, whose losses and errors are equal bit for bit."""
        pairs = zip(_epoch_metrics(self.recorded), _epoch_metrics(self.reproduced), strict=False)
        return next((place for place, (first, second) in enumerate(pairs) if first != second), min(self._epoch_counts))

    @property
    def is_exact_expected(self) -> bool:
        """Whether equal bits are expected: equal environments, and both runs deterministic."""
        return not self.changes and are_deterministic(self.recorded.environment, self.reproduced.environment)

    @property
    def agreement(self) -> Agreement:
        """Result of the comparison."""
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
        """Whether both failed for the same cause, or were trained for the same epochs."""
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
    """Returns the runs of a selector.

    Args:
        record: The study.
        selector: A search trial's number, or a row selector of ``search.leaderboard.row_selector``.
        is_test: Whether a number selects the test runs of its row.
        seeds: Number of a row's test runs to select.

    Raises:
        UserError: There is no such trial or row, or it has no result to compare.
    """
    search_records = {trial_record.trial.number: trial_record for trial_record in record.trials_in_phase(Phase.SEARCH)}
    if selector.isdecimal() and int(selector) in search_records and not is_test:
        trial_record = search_records[int(selector)]
        return ReproductionTarget(
            label=f"search trial {trial_record.trial.number}, {trial_record.trial.origin}",
            runs=(_require_comparable(trial_record),),
        )
    selected = select_row(record, selector)
    phase = Phase.REPRODUCTION if selected.row.trial is None else Phase.VERIFICATION
    numbers = {selected.row.trial, *(step.trial for step in selected.row.segments)} if selected.row.segments else {None}
    runs = [
        run
        for run in record.trials_in_phase(phase)
        if run.trial.source_trial in numbers and run.state is State.COMPLETE
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
    """Trains the runs again and compares each with its record.

    Args:
        record: The study.
        target: What to run again.
        options: Settings of this machine.
        on_epoch: Called after each epoch.

    Raises:
        UserError: The data set or the space is missing or has changed.
        FatalError: No worker can be started.
    """
    task = restore_task(record, target.runs[0], options)
    trials = [_trial_to_repeat(run) for run in target.runs]
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
    """Returns the differences of environment, protocol version and number of parameters."""
    if not reproduced.environment:
        return ()  # its worker died without reporting its environment
    recorded_values = {
        **recorded.environment,
        "protocol": record.header.protocol.version,
        "parameters": recorded.parameter_count,
    }
    current_values = {**reproduced.environment, "protocol": PROTOCOL_VERSION, "parameters": reproduced.parameter_count}
    return environment_changes(recorded_values, current_values)


def _require_comparable(trial_record: TrialRecord) -> TrialRecord:
    """Returns the trial.

    Raises:
        UserError: It has not ended, or ended before its first epoch for a reason outside the configuration.
    """
    number, outcome = trial_record.trial.number, trial_record.outcome
    if outcome is None:
        raise UserError(f"Search trial {number} has not ended; there is nothing to compare with yet.")
    if not outcome.history and not _is_reproducible_failure(outcome):
        cause = f": {outcome.cause.value}" if outcome.cause else ""
        raise UserError(f"Search trial {number} finished no epoch ({outcome.state.value}{cause}); nothing can agree.")
    return trial_record


def _trial_to_repeat(trial_record: TrialRecord) -> Trial:
    """Returns the trial with the recorded number of epochs; one with a reproducible failure keeps its target."""
    assert trial_record.outcome is not None, "only what ended is compared"
    if _is_reproducible_failure(trial_record.outcome):
        return trial_record.trial
    return dataclasses.replace(trial_record.trial, target_epoch=len(trial_record.outcome.history))


def _is_reproducible_failure(outcome: Outcome) -> bool:
    return outcome.state is State.FAILED and outcome.cause in REPRODUCIBLE_FAILURES


def _epoch_metrics(outcome: Outcome) -> Sequence[tuple[float | None, ...]]:
    return [(report.training_loss, report.loss, report.error_percent) for report in outcome.history]
