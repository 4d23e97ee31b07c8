"""The row to export with its recorded run, and the sentences about it that all export formats share."""

from __future__ import annotations

from dataclasses import dataclass, field

from search.errors import UserError
from search.leaderboard import formatting
from search.leaderboard.board import Row
from search.leaderboard.row_selector import select_row
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.restore import ReproductionOptions
from search.trial import Phase


def title(target: ExportTarget) -> str:
    """Returns the title: "mnist with Keras: found #12 of study mnist-cnn-tpe"."""
    header = target.record.header
    return formatting.one_line(f"{header.protocol.dataset} with Keras: {target.row.name} of study {header.name}")


def error_sentence(target: ExportTarget) -> str:
    """Returns the row's recorded error as a sentence."""
    row = target.row
    if row.test_error is None:
        return (
            f"Validation error {formatting.percent(row.validation_error_percent)} %; not verified on the test images."
        )
    return f"Test error {format_test_error(row)}."


def seed_error_sentence(target: ExportTarget) -> str:
    """Returns the error of the recorded run with the target's seed as a sentence, or "" if there is none."""
    trial_record = target.test_record
    if trial_record is None or trial_record.outcome is None:
        return ""
    return f"With seed {target.seed}: {formatting.percent(trial_record.outcome.error_percent)} %."


def format_test_error(row: Row) -> str:
    """Returns a verified row's test error: "0.48 % (mean of 3 seeds, 95 % interval 0.43 to 0.54 %)"."""
    assert row.test_error is not None, "the row is verified"
    count = row.test_error.n
    mean, seeds = formatting.percent(row.test_error.mean), "one seed" if count == 1 else f"mean of {count} seeds"
    if row.test_error.interval is None:
        return f"{mean} % ({seeds})"
    return f"{mean} % ({seeds}, 95 % interval {formatting.interval_bounds(row.test_error.interval)} %)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTarget:
    """A row to export.

    Args:
        record: Its study.
        row: The row.
        seed: Seed of the training.
        trial_record: The recorded run with this seed, or else the row's first run.
        note: A note on the choice of the row; mostly empty.
        reproduction_options: The user's options for data, space and runtime.
    """

    record: StudyRecord
    row: Row
    seed: int
    trial_record: TrialRecord
    note: str = ""
    reproduction_options: ReproductionOptions = field(default_factory=ReproductionOptions)

    @property
    def test_record(self) -> TrialRecord | None:
        """The complete test run with this seed, if there is one."""
        trial, outcome = self.trial_record.trial, self.trial_record.outcome
        if trial.phase is Phase.SEARCH or trial.seed != self.seed or outcome is None or outcome.error_percent is None:
            return None
        return self.trial_record


def make_target(
    record: StudyRecord, text: str, *, seed: int | None = None, reproduction_options: ReproductionOptions | None = None
) -> ExportTarget:
    """Returns the target for a row.

    Args:
        record: The study.
        text: A row as ``search.leaderboard.row_selector`` reads it.
        seed: Seed of the training; None for that of the row's first test run, else of its search trial.
        reproduction_options: See ``ExportTarget``.

    Raises:
        UserError: There is no such row, or it has no recorded run.
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
    """Returns a row's recorded runs: the complete test runs, the search trial, then all test runs."""
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
