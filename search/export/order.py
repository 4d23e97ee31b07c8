"""What is exported: a row of a study's board, and how it is to be trained where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from search.errors import UserError
from search.leaderboard.board import Row
from search.leaderboard.picking import pick
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.restoring import Means
from search.trial import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A row to be exported.

    Args:
        record: Its study.
        row: The row.
        seed: Of the training; by default that of the row's first test run, else of its search trial.
        run: The recorded run with this seed; where there is none, the first of the row.
        note: What is to be said of the choice of the row; mostly nothing.
        means: What the user says of this machine.
    """

    record: StudyRecord
    row: Row
    seed: int
    run: TrialRecord
    note: str = ""
    means: Means = field(default_factory=Means)

    @property
    def recorded_run(self) -> TrialRecord | None:
        """The complete test run with this very seed, if there is one."""
        is_it = self.run.trial.phase is not Phase.SEARCH and self.run.trial.seed == self.seed
        return self.run if is_it and self.run.outcome and self.run.outcome.error_percent is not None else None


def make_order(record: StudyRecord, text: str, *, seed: int | None = None, means: Means | None = None) -> Order:
    """Returns the order for a row.

    Args:
        record: The study.
        text: A row as ``search.leaderboard.picking`` knows them.
        seed: See ``Order``.
        means: See ``Order``.

    Raises:
        UserError: There is no such row, or its configuration was never recorded.
    """
    picked = pick(record, text)
    runs = _runs(record, picked.row)
    if not runs:
        raise UserError(f"{picked.row.name} of study {record.header.name!r} has no recorded run.")
    wanted = runs[0].trial.seed if seed is None else seed
    run = next((one for one in runs if one.trial.seed == wanted), runs[0])
    return Order(record=record, row=picked.row, seed=wanted, run=run, note=picked.note, means=means or Means())


def _runs(record: StudyRecord, row: Row) -> list[TrialRecord]:
    """Returns a row's recorded runs: those on the test images that were completed, then the others."""
    seeds = [run.seed for run in row.complete]
    numbers = {row.trial, *(step.trial for step in row.steps)}
    phase = Phase.REPRODUCTION if row.trial is None else Phase.VERIFICATION
    tested = [one for one in record.phase(phase) if one.trial.of in numbers or row.trial is None]
    complete = [one for seed in seeds for one in tested if one.trial.seed == seed and one.outcome]
    searched = [one for one in record.phase(Phase.SEARCH) if one.trial.number == row.trial]
    return [*complete, *searched, *tested]
