"""The formats of the board by the name that ``--format`` takes, and its files.

Called by the command line and ``search.report.files``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from search.errors import SearchError
from search.files import write_atomic
from search.leaderboard import formatting, render_data, render_markdown, render_text
from search.leaderboard.board import Board

FORMATS: Mapping[str, Callable[[Board], str]] = MappingProxyType(
    {
        "table": render_text.to_text,
        "details": render_text.to_details,
        "markdown": render_markdown.to_markdown,
        "csv": render_data.to_csv,
        "json": render_data.to_json,
    }
)
REPORT_FORMATS: Mapping[str, str] = MappingProxyType(
    {"leaderboard.md": "markdown", "leaderboard.csv": "csv", "leaderboard.json": "json"}
)
"""Formats of the files of a report, by file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFiles:
    """What writers of reports left.

    Args:
        paths: The files that were written.
        messages: A line for each file that could not be made, and other messages for the user.
    """

    paths: tuple[Path, ...] = ()
    messages: tuple[str, ...] = ()


def report_contents(board: Board) -> dict[str, Callable[[], str]]:
    """Returns what makes each file of ``REPORT_FORMATS``, by file name."""
    return {name: partial(FORMATS[form], board) for name, form in REPORT_FORMATS.items()}


def write_each(folder: Path, contents: Mapping[str, Callable[[], str | bytes | None]]) -> WrittenFiles:
    """Makes and writes each file by itself, so that an error in one costs none of the others.

    Args:
        folder: The folder.
        contents: What makes each file, by its name; a file without content is not written.

    Raises:
        UserError: A file cannot be written; the others are.
        FatalError: The disk is full.
    """
    paths: list[Path] = []
    messages: list[str] = []
    failed: list[SearchError] = []
    for name, make in contents.items():
        try:
            if content := make():
                write_atomic(folder / name, content, what="report")
                paths.append(folder / name)
        except SearchError as error:
            failed.append(error)
        except Exception as error:  # noqa: BLE001 - an error in one renderer must not cost what the others render
            messages.append(_failure_message(name, error))
    if failed:
        raise failed[0]
    return WrittenFiles(paths=tuple(paths), messages=tuple(messages))


def _failure_message(name: str, error: Exception) -> str:
    """Returns one line with the file, the error and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    reason = formatting.one_line(f"{type(error).__name__}: {error}")
    return f"{name} could not be made ({reason}; {where}). The others do not need it. Please report this error."
