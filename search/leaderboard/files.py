"""The board as files: what the command line writes to disk.

The formats that a board can be shown in, by the name that ``--format`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from search.files import write_atomic
from search.leaderboard import render_json, render_markdown, render_text, tabular
from search.leaderboard.board import Board

FORMATS: Mapping[str, Callable[[Board], str]] = MappingProxyType(
    {
        "table": render_text.render,
        "details": render_text.render_details,
        "markdown": render_markdown.render,
        "csv": tabular.render,
        "json": render_json.render,
    }
)


REPORT_FORMATS: Mapping[str, str] = MappingProxyType(
    {"leaderboard.md": "markdown", "leaderboard.csv": "csv", "leaderboard.json": "json"}
)
"""File names to formats."""


def write_reports(board: Board, folder: Path) -> list[Path]:
    """Writes the board in every format made for files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORT_FORMATS]
    for path, form in zip(paths, REPORT_FORMATS.values(), strict=True):
        write_atomic(path, FORMATS[form](board), what="report")
    return paths
