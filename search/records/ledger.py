"""The ledger: the one record of a study, written while it runs.

``search.records.opening`` opens it in a journal file in the study's folder, or in a database by an Optuna storage URL;
``search.records.reader`` reads it without writing. Called by the session and the search loop.

Layout of a study's folder::

    ledger.journal   the record (absent with a storage URL); damaged ends are moved to .damaged-N beside it
    lock             held while a coordinator runs (absent on a database server)
    coordinator.json the coordinator's process (absent on a database server, which records it)
    logs/            output of worker processes; on a database server one folder per coordinator
    checkpoints/     states of unfinished trials
    openings.jsonl   how often commands have opened the test images; see ``search.records.openings``
    predictions/     predictions of the scored images; see ``search.training.predictions``
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from search.errors import FatalError
from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord
from search.trial import EpochReport, Outcome, Phase, Trial

if TYPE_CHECKING:
    pass

T = TypeVar("T")


class TransactionLostError(FatalError):
    """The database connection was lost during a transaction, which may or may not be recorded."""


class Ledger(ABC):
    """Records one study. Use it in a ``with`` statement.

    Attributes:
        header: What the study is, as recorded.
        folder: The study's folder.
        log_dir: Folder for the output of this coordinator's workers.
        is_shared: Whether several coordinators may write at the same time.
    """

    header: StudyHeader
    folder: Path
    log_dir: Path
    is_shared: bool

    def __enter__(self) -> Self:
        """Returns the ledger."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Closes the ledger; an error of the ``with`` block takes precedence over one of closing."""
        with contextlib.suppress(*(() if kind is None else (OSError, FatalError))):
            self.close()

    @abstractmethod
    def close(self) -> None:
        """Writes everything to the disk and lets other processes write."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[None]:
        """Excludes other coordinators while the next trial is chosen and recorded. It can be nested.

        Raises:
            TransactionLostError: The connection was lost; ``has_begun`` says whether a trial was recorded.
        """

    def run_exclusive(self, action: Callable[[], T]) -> T:
        """Returns the result of an action run in ``exclusive``, which is repeated if the transaction is lost."""
        while True:
            with contextlib.suppress(TransactionLostError), self.exclusive():
                return action()

    @abstractmethod
    def begin(self, trial: Trial) -> None:
        """Records that a trial starts; its number must be the next of its phase.

        Raises:
            FatalError: Another process has added trials outside the study's own coordinators.
        """

    @abstractmethod
    def has_begun(self, trial: Trial) -> bool:
        """Returns whether this coordinator's ``begin`` of the trial is recorded, after a lost transaction."""

    @abstractmethod
    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Records an epoch; returns whether the trial still belongs to this coordinator."""

    @abstractmethod
    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, and the epochs of its history that were not reported.

        Returns:
            The recorded outcome; that of another coordinator if it ended the trial before.
        """

    @abstractmethod
    def record_ensemble(self, ensemble: EnsembleRecord) -> None:
        """Records an ensemble; the time is the present."""

    @abstractmethod
    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns other coordinators' trials that began, reported or ended since the last call, by number."""

    @abstractmethod
    def orphans(self) -> list[TrialRecord]:
        """Returns the unfinished trials whose coordinators are dead."""

    @abstractmethod
    def flush(self) -> None:
        """Writes buffered records to the disk if they have waited long enough; called regularly by the loop."""

    @abstractmethod
    def record_spent_seconds(self, seconds: float) -> None:
        """Records the wall-clock seconds of all sessions; concurrent sessions count once."""

    @abstractmethod
    def record_arithmetic(self, values: Mapping[str, Any]) -> None:
        """Records what the trials compute with, if coordinators may choose it at the same time; the first call counts.

        Args:
            values: Fields of ``search.records.arithmetic.Arithmetic`` as plain values.
        """

    @abstractmethod
    def record_test_images(self, labels: Sequence[int], groups: Sequence[int] | None) -> None:
        """Records the class and, if known, the group of each test image, unless they are recorded."""

    @abstractmethod
    def record_exhausted_seconds(self, seconds: float) -> None:
        """Records that a time budget of this many seconds was used up, verification included."""

    @abstractmethod
    def read(self) -> StudyRecord:
        """Returns the study as recorded so far."""


def concurrent_writer_error(name: str) -> FatalError:
    """Returns the error for a study to which another program adds trials."""
    return FatalError(
        f"Another process adds trials to study {name!r}.",
        hint="Let this program alone write it; run the same command again when the other has ended.",
    )
