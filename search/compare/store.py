"""The recorded runs of a comparison: the interface, its folder of studies, and what every store's folder needs.

``search.compare.tabular.store`` holds simulated runs behind the same interface.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from search.compare.compute import TrainedComparison, compute
from search.compare.spec import ComparisonSpec, RunKey, schedule, study_name
from search.errors import UserError
from search.files import write_atomic
from search.records.reader import read_studies
from search.records.record import JOURNAL_NAME, StudyRecord, describe_differences
from search.records.storage.locations import StudyLocation
from search.study.verification import verification_trials
from search.trial import Phase

SPEC_FILE = "tournament.json"
T = TypeVar("T")


class RunStore(ABC, Generic[T]):
    """What is recorded of a comparison's runs."""

    @abstractmethod
    def runs(self) -> Mapping[RunKey, T]:
        """Returns the runs that have begun."""

    @abstractmethod
    def finished(self) -> Collection[RunKey]:
        """Returns the runs that need not be run again."""


class StudyStore(RunStore[StudyRecord]):
    """A folder with ``tournament.json`` and a study for each run.

    Args:
        folder: The comparison's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_spec(self) -> ComparisonSpec | None:
        """Returns what is recorded; None for a new folder.

        Raises:
            UserError: The folder is a study's, or the file cannot be read.
        """
        path = self.folder / SPEC_FILE
        if (self.folder / JOURNAL_NAME).exists():
            raise UserError(f"{self.folder} is a study, not a comparison.", hint="Choose another name with --name.")
        try:
            return ComparisonSpec.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"The comparison's terms cannot be read. Received: {path} ({error}).") from error

    def write_spec(self, spec: ComparisonSpec) -> None:
        """Records the spec atomically."""
        write_atomic(self.folder / SPEC_FILE, json.dumps(spec.to_json(), indent=2) + "\n", what="comparison's terms")

    def studies(self) -> list[StudyRecord]:
        """Returns all studies in the folder that have begun."""
        return read_studies(StudyLocation(studies_dir=self.folder))

    def runs(self) -> dict[RunKey, StudyRecord]:
        """Returns the studies of the recorded engines and repeats."""
        spec = self.read_spec()
        keys = {study_name(key): key for key in schedule(spec.engines, spec.repeats)} if spec else {}
        return {keys[record.header.name]: record for record in self.studies() if record.header.name in keys}

    def finished(self) -> list[RunKey]:
        """Returns the studies whose verification, which follows the search, has ended."""
        spec = self.read_spec()
        return [key for key, record in self.runs().items() if spec and _is_finished(record, spec.replicates)]

    def load(self) -> TrainedComparison:
        """Returns the result of what is recorded.

        Raises:
            UserError: No comparison is recorded in the folder.
        """
        spec = self.read_spec()
        if spec is None:
            raise UserError(
                f"There is no comparison in {self.folder}. Received: --name {self.folder.name}.",
                hint="Run it first, or name another with --name or --studies-dir.",
            )
        return compute(spec, self.runs())


def is_search_finished(record: StudyRecord) -> bool:
    """Returns whether verification has begun."""
    return bool(record.trials_in_phase(Phase.VERIFICATION))


def _is_finished(record: StudyRecord, replicates: int) -> bool:
    return is_search_finished(record) and not verification_trials(record, count=1, replicates=replicates)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keeps other processes from running a comparison in the same folder, which is made if needed.

    Raises:
        UserError: Another process holds the lock, or the folder cannot be written.
    """
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Comparison {folder.name!r} is being run by another process. Received: a lock held on {folder / 'lock'}.",
            hint="Wait for it to end, or start another one with --name NAME.",
        ) from None
    except OSError as error:
        raise UserError(
            f"The comparison's folder cannot be written. Received: {folder} ({error.strerror}).",
            hint="Name another folder.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def raise_if_different(folder: Path, recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
    """Refuses to add runs to a comparison of other terms.

    Args:
        folder: The comparison's folder.
        recorded: Its terms, by dotted names.
        requested: The terms asked for.

    Raises:
        UserError: They differ; the message names the differences.
    """
    if differences := describe_differences(recorded, requested):
        raise UserError(
            f"Comparison {folder.name!r} exists with other terms. It differs in {'; '.join(differences[:4])}.",
            hint="Name this one with --name NAME, or repeat the recorded options. Engines and repeats can be added.",
        )
