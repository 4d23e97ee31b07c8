"""Publishing: what is written into a folder that is made to be shown: reports, and beside them the studies themselves.

    report   one study, after a run: the board in every format, and ``study.json.gz``
    joint    several studies: their board in every format, README.md with the best rows, each study in a folder below

Nothing private goes there (``search.records.redact``). Called by the API and the command ``merge``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from search.files import write_atomic
from search.leaderboard import index_page
from search.leaderboard.compute import compute
from search.records import redact, study_json
from search.records.lookup import read_study_json
from search.records.merge import LocatedStudy, MergedStudies, is_copy
from search.records.record import StudyRecord
from search.report.files import write_reports
from search.session.settings import to_study_name


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedReport:
    """What was written for several studies.

    Args:
        paths: Of the files.
        messages: What is to be told.
    """

    paths: tuple[Path, ...]
    messages: tuple[str, ...] = ()


def publish_study(study: StudyRecord, folder: Path, cache_dir: Path | None = None) -> list[Path]:
    """Writes a study's reports and the study itself; returns their paths.

    Args:
        study: The study.
        folder: Where to.
        cache_dir: Where data sets are kept, for pictures; None for the platform's folder.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    shown = redact.redacted(study)
    paths = write_reports(compute([shown]), [shown], folder, cache_dir)
    write_atomic(folder / study_json.FILE_NAME, study_json.dumps(shown), what="study file")
    return [*paths, folder / study_json.FILE_NAME]


def publish_combined(merged: MergedStudies, folder: Path, cache_dir: Path | None = None) -> CombinedReport:
    """Writes the reports of several studies into a folder, and their files below it, unless they lie there already.

    Args:
        merged: The studies.
        folder: Where to.
        cache_dir: Where data sets are kept, for pictures; None for the platform's folder.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    shown = [redact.redacted(record) for record in merged.records]
    board = compute(shown)
    board = replace(board, notes=(*board.notes, *map(redact.redact_text, merged.notes)))
    paths = write_reports(board, shown, folder, cache_dir)
    files = [_write_study_file(found, folder) for found in merged.originals]
    named = {record.header.name: file for record, file in zip(shown, files, strict=True)}
    page = index_page.render_index_page(
        board, folder, files=named, board_files=paths, existing_page=_read_text(folder / index_page.PAGE_FILE)
    )
    if page is None:
        lines = f"{index_page.BEGIN_MARKER!r} and {index_page.END_MARKER!r}"
        note = (
            f"{folder / index_page.PAGE_FILE} was left as it is: it lacks the lines {lines}, between "
            "which the board goes."
        )
        return CombinedReport(paths=(*paths, *files), messages=(note,))
    write_atomic(folder / index_page.PAGE_FILE, page, what="report")
    return CombinedReport(paths=(folder / index_page.PAGE_FILE, *paths, *files))


def _write_study_file(located: LocatedStudy, folder: Path) -> Path:
    """Returns the study's file in the folder; writes it unless it lies there, beside that of another of its name."""
    if located.file is not None and located.file.resolve().is_relative_to(folder.resolve()):
        return folder / located.file.resolve().relative_to(folder.resolve())
    name = to_study_name(
        located.record.header.name
    )  # a file from elsewhere may hold any, one that leads out of the folder too
    for number in count(1):
        file = folder / (name if number == 1 else f"{name}-{number}") / study_json.FILE_NAME
        existing = read_study_json(file) if file.is_file() else None
        if existing is not None and is_copy(located.record, existing):
            return file
        if existing is None or is_copy(existing, located.record):
            write_atomic(file, study_json.dumps(located.record), what="study file")
            return file
    raise AssertionError("every number was taken")


def _read_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
