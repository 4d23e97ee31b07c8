"""A tournament's folder: its terms, the lock on it, and the studies in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search.compare.compute import compute
from search.compare.results import Comparison
from search.compare.terms import ComparisonSpec, RepeatRecord, study_name
from search.errors import UserError
from search.files import write_atomic
from search.records.reader import read_studies
from search.records.record import StudyRecord

SPEC_FILE = "tournament.json"


def read_spec(folder: Path) -> ComparisonSpec | None:
    """Returns the rules recorded in a folder; None where there are none.

    Raises:
        UserError: The folder is a study's, or the file cannot be read.
    """
    if (folder / "ledger.journal").exists():
        raise UserError(f"{folder} is a study, not a tournament.", hint="Choose another name with --name.")
    try:
        return ComparisonSpec.from_json(json.loads((folder / SPEC_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"The tournament's terms cannot be read. Received: {folder / SPEC_FILE} ({error}).") from error


def write_spec(spec: ComparisonSpec, folder: Path) -> None:
    """Records the rules, whole or not at all."""
    write_atomic(folder / SPEC_FILE, json.dumps(spec.to_json(), indent=2) + "\n", what="comparison")


def study_records(folder: Path) -> list[StudyRecord]:
    """Returns the studies in a folder that have begun."""
    return read_studies((), studies_dir=folder)


def load_comparison(folder: Path) -> Comparison:
    """Returns the comparison of what a tournament's folder holds.

    Raises:
        UserError: There is no tournament in it.
    """
    spec = read_spec(folder)
    if spec is None:
        raise UserError(
            f"There is no tournament in {folder}. Received: --name {folder.name}.",
            hint="Run it first, or name another with --name or --studies-dir.",
        )
    names = {study_name(engine, repeat): (engine, repeat) for engine in spec.engines for repeat in range(spec.repeats)}
    relevant = [record for record in study_records(folder) if record.header.name in names]
    entries = [(*names[record.header.name], record) for record in relevant]
    return compute(
        spec, [RepeatRecord(engine=engine, repeat=repeat, record=record) for engine, repeat, record in entries]
    )


@contextmanager
def comparison_lock(folder: Path) -> Iterator[None]:
    """Keeps other processes from running the same tournament."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"Tournament {folder.name!r} is being run by another process. Received: a lock held on {folder / 'lock'}.",
            hint="Wait for it to end, or start another one with --name NAME.",
        ) from None
