"""Publishing: writes studies with their reports into a folder, without private data (``search.records.redact``).

``publish_study`` follows every run; ``publish_combined`` is the command ``merge``.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from search.files import write_atomic
from search.leaderboard import index_page
from search.leaderboard.compute import compute
from search.leaderboard.files import WrittenFiles, write_each
from search.leaderboard.statistics import EQUIVALENCE_POINTS
from search.records import redact, study_json
from search.records.lookup import read_study_json
from search.records.merge import LocatedStudy, MergedStudies, is_copy
from search.records.record import StudyRecord
from search.report.files import write_reports
from search.session.settings import to_study_name


def publish_study(
    study: StudyRecord, folder: Path, cache_dir: Path | None = None, equivalence_points: float = EQUIVALENCE_POINTS
) -> WrittenFiles:
    """Writes a study's ``study.json.gz`` and its reports.

    Args:
        study: The study.
        folder: Folder to write into.
        cache_dir: Folder of the data sets, for images in the report; None for the platform's.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    redacted = redact.redacted(study)
    file = write_each(folder, {study_json.FILE_NAME: lambda: study_json.dumps(redacted)})
    reports = write_reports(compute([redacted], equivalence_points), [redacted], folder, cache_dir)
    return WrittenFiles(paths=(*reports.paths, *file.paths), messages=(*file.messages, *reports.messages))


def publish_combined(
    merged: MergedStudies, folder: Path, cache_dir: Path | None = None, equivalence_points: float = EQUIVALENCE_POINTS
) -> WrittenFiles:
    """Writes the board of several studies, README.md with its best rows, and each study's file in a subfolder.

    Args:
        merged: The studies; one whose file is below the folder already is not written again.
        folder: Folder to write into.
        cache_dir: Folder of the data sets, for images in the report; None for the platform's.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.

    Raises:
        UserError: The folder cannot be written to.
        FatalError: The disk is full.
    """
    redacted = [redact.redacted(record) for record in merged.records]
    board = compute(redacted, equivalence_points)
    board = replace(board, notes=(*board.notes, *map(redact.redact_text, merged.notes)))
    files = [_write_study_file(study, folder) for study in merged.originals]
    reports = write_reports(board, redacted, folder, cache_dir)
    files_by_name = {record.header.name: file for record, file in zip(redacted, files, strict=True)}
    page_file = folder / index_page.PAGE_FILE
    existing_page = page_file.read_text(encoding="utf-8") if page_file.is_file() else None
    page = write_each(
        folder,
        {
            index_page.PAGE_FILE: lambda: index_page.render_index_page(
                board, folder, files=files_by_name, board_files=reports.paths, existing_page=existing_page
            )
        },
    )
    messages = (*reports.messages, *page.messages)
    if not page.paths and not page.messages:
        lines = f"{index_page.BEGIN_MARKER!r} and {index_page.END_MARKER!r}"
        messages += (f"{page_file} was left as it is: it lacks the lines {lines}, between which the board goes.",)
    return WrittenFiles(paths=(*page.paths, *reports.paths, *files), messages=messages)


def _write_study_file(study: LocatedStudy, folder: Path) -> Path:
    """Returns the path of a study's file below a folder, after writing it if it is new or longer than a copy there.

    A different study of the same name gets a numbered subfolder.
    """
    if study.file is not None and study.file.resolve().is_relative_to(folder.resolve()):
        return folder / study.file.resolve().relative_to(folder.resolve())
    name = to_study_name(study.record.header.name)  # a received file may hold any name, also "../../outside"
    for number in count(1):
        file = folder / (name if number == 1 else f"{name}-{number}") / study_json.FILE_NAME
        existing = read_study_json(file) if file.is_file() else None
        if existing is not None and is_copy(study.record, existing):
            return file
        if existing is None or is_copy(existing, study.record):
            write_atomic(file, study_json.dumps(study.record), what="study file")
            return file
    raise AssertionError("count has no end")
