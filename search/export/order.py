"""What is exported: a row of a study's board, and how it is to be trained where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from search.errors import UserError
from search.leaderboard.board import Row
from search.leaderboard.picking import select_row
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.restoring import ReproductionOptions
from search.trial import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTarget:
    """A row to be exported.

    Args:
        record: Its study.
        row: The row.
        seed: Of the training; by default that of the row's first test run, else of its search trial.
        trial_record: The recorded run with this seed; where there is none, the first of the row.
        note: What is to be said of the choice of the row; mostly nothing.
        reproduction_options: What the user says of this machine.
    """

    record: StudyRecord
    row: Row
    seed: int
    trial_record: TrialRecord
    note: str = ""
    reproduction_options: ReproductionOptions = field(default_factory=ReproductionOptions)

    @property
    def test_record(self) -> TrialRecord | None:
        """The complete test run with this very seed, if there is one."""
        is_test_of_seed = (
            self.trial_record.trial.phase is not Phase.SEARCH and self.trial_record.trial.seed == self.seed
        )
        return (
            self.trial_record
            if is_test_of_seed and self.trial_record.outcome and self.trial_record.outcome.error_percent is not None
            else None
        )


def make_target(
    record: StudyRecord, text: str, *, seed: int | None = None, reproduction_options: ReproductionOptions | None = None
) -> ExportTarget:
    """Returns the order for a row.

    Args:
        record: The study.
        text: A row as ``search.leaderboard.picking`` knows them.
        seed: See ``ExportTarget``.
        reproduction_options: See ``ExportTarget``.

    Raises:
        UserError: There is no such row, or its configuration was never recorded.
    """
    selected = select_row(record, text)
    trial_records = _recorded_runs(record, selected.row)
    if not trial_records:
        raise UserError(f"{selected.row.name} of study {record.header.name!r} has no recorded run.")
    chosen_seed = trial_records[0].trial.seed if seed is None else seed
    trial_record = next(
        (candidate for candidate in trial_records if candidate.trial.seed == chosen_seed), trial_records[0]
    )
    return ExportTarget(
        record=record,
        row=selected.row,
        seed=chosen_seed,
        trial_record=trial_record,
        note=selected.note,
        reproduction_options=reproduction_options or ReproductionOptions(),
    )


def _recorded_runs(record: StudyRecord, row: Row) -> list[TrialRecord]:
    """Returns a row's recorded runs: those on the test images that were completed, then the others."""
    seeds = [run.seed for run in row.completed_replicates]
    numbers = {row.trial, *(step.trial for step in row.segments)}
    phase = Phase.REPRODUCTION if row.trial is None else Phase.VERIFICATION
    tested = [
        trial_record
        for trial_record in record.trials_in_phase(phase)
        if trial_record.trial.source_trial in numbers or row.trial is None
    ]
    complete = [
        trial_record
        for seed in seeds
        for trial_record in tested
        if trial_record.trial.seed == seed and trial_record.outcome
    ]
    searched = [
        trial_record for trial_record in record.trials_in_phase(Phase.SEARCH) if trial_record.trial.number == row.trial
    ]
    return [*complete, *searched, *tested]
