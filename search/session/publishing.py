"""Publishing: what is written into a folder that is made to be shown: reports, and beside them the studies themselves.

    report   one study, after a run: the board in every format, and ``study.json.gz``
    joint    several studies: their board in every format, README.md with the best rows, each study in a folder below

Nothing private goes there (``search.records.privacy``). Called by the API and the command ``merge``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from search.leaderboard import readme
from search.leaderboard.files import write
from search.leaderboard.rows import compute
from search.records import privacy, study_file
from search.records.catalog import read_file
from search.records.merging import Found, Merged, is_copy
from search.records.record import StudyRecord
from search.report.files import write_reports
from search.session.settings import as_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """What was written for several studies.

    Args:
        paths: Of the files.
        notes: What is to be told.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def report(study: StudyRecord, folder: Path, cache_dir: Path | None = None) -> list[Path]:
    """Writes a study's reports and the study itself; returns their paths.

    Args:
        study: The study.
        folder: Where to.
        cache_dir: Where data sets are kept, for pictures; None for the platform's folder.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    shown = privacy.published(study)
    paths = write_reports(compute([shown]), [shown], folder, cache_dir)
    write(folder / study_file.NAME, study_file.dumps(shown))
    return [*paths, folder / study_file.NAME]


def joint(merged: Merged, folder: Path, cache_dir: Path | None = None) -> Joint:
    """Writes the reports of several studies into a folder, and their files below it, unless they lie there already.

    Args:
        merged: The studies.
        folder: Where to.
        cache_dir: Where data sets are kept, for pictures; None for the platform's folder.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    shown = [privacy.published(record) for record in merged.records]
    board = compute(shown)
    board = replace(board, notes=(*board.notes, *map(privacy.text, merged.notes)))
    paths = write_reports(board, shown, folder, cache_dir)
    files = [_keep(found, folder) for found in merged.originals]
    named = {record.header.name: file for record, file in zip(shown, files, strict=True)}
    page = readme.page(board, folder, files=named, beside=paths, before=_text(folder / readme.NAME))
    if page is None:
        lines = f"{readme.BEGIN!r} and {readme.END!r}"
        note = f"{folder / readme.NAME} was left as it is: it lacks the lines {lines}, between which the board goes."
        return Joint(paths=(*paths, *files), notes=(note,))
    write(folder / readme.NAME, page)
    return Joint(paths=(folder / readme.NAME, *paths, *files))


def _keep(found: Found, folder: Path) -> Path:
    """Returns the study's file in the folder; writes it unless it lies there, beside that of another of its name."""
    if found.file is not None and found.file.resolve().is_relative_to(folder.resolve()):
        return folder / found.file.resolve().relative_to(folder.resolve())
    name = as_name(found.record.header.name)  # a file from elsewhere may hold any, one that leads out of the folder too
    for number in count(1):
        file = folder / (name if number == 1 else f"{name}-{number}") / study_file.NAME
        known = read_file(file) if file.is_file() else None
        if known is not None and is_copy(found.record, known):
            return file
        if known is None or is_copy(known, found.record):
            write(file, study_file.dumps(found.record))
            return file
    raise AssertionError("every number was taken")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
