"""A tournament's folder: its terms, the lock on it, and the studies in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search.comparison.compute import compute
from search.comparison.results import Comparison
from search.comparison.rules import Entry, Rules, study_name
from search.errors import UserError
from search.leaderboard.files import write
from search.records.ledger import read_studies
from search.records.record import StudyRecord

RULES = "tournament.json"


def read_rules(folder: Path) -> Rules | None:
    """Returns the rules recorded in a folder; None where there are none.

    Raises:
        UserError: The folder is a study's, or the file cannot be read.
    """
    if (folder / "ledger.journal").exists():
        raise UserError(f"{folder} is a study, not a tournament.", hint="Choose another name with --name.")
    try:
        return Rules.from_json(json.loads((folder / RULES).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"The tournament's terms cannot be read. Received: {folder / RULES} ({error}).") from error


def write_rules(rules: Rules, folder: Path) -> None:
    """Records the rules, whole or not at all."""
    write(folder / RULES, json.dumps(rules.to_json(), indent=2) + "\n")


def records(folder: Path) -> list[StudyRecord]:
    """Returns the studies in a folder that have begun."""
    return read_studies((), studies_dir=folder)


def compare(folder: Path) -> Comparison:
    """Returns the comparison of what a tournament's folder holds.

    Raises:
        UserError: There is no tournament in it.
    """
    rules = read_rules(folder)
    if rules is None:
        raise UserError(
            f"There is no tournament in {folder}. Received: --name {folder.name}.",
            hint="Run it first, or name another with --name or --studies-dir.",
        )
    names = {
        study_name(engine, repeat): (engine, repeat) for engine in rules.engines for repeat in range(rules.repeats)
    }
    kept = [record for record in records(folder) if record.header.name in names]
    entries = [(*names[record.header.name], record) for record in kept]
    return compute(rules, [Entry(engine=engine, repeat=repeat, record=record) for engine, repeat, record in entries])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
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
