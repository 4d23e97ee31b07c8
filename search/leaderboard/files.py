"""The formats of the board by the name that ``--format`` takes, and its files.

Called by the command line and ``search.report.files``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from search.files import write_atomic
from search.leaderboard import render_data, render_markdown, render_text
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


def write_reports(board: Board, folder: Path) -> list[Path]:
    """Writes the files of ``REPORT_FORMATS`` and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORT_FORMATS]
    for path, form in zip(paths, REPORT_FORMATS.values(), strict=True):
        write_atomic(path, FORMATS[form](board), what="report")
    return paths
