"""A page for a folder of reports: the best rows of their board, and a line a study with a link to its own report.

What people write around it stays: only what stands between the two marker lines is made anew. Called by
``search.session.publish``; writes nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from tabulate import tabulate

from search.leaderboard import formatting
from search.leaderboard.board import Board, Row, Section, top_rows
from search.leaderboard.files import FORMATS
from search.leaderboard.render_markdown import escape
from search.records.record import StudyHeader

PAGE_FILE = "README.md"
BEGIN_MARKER = "<!-- board: what stands between these two lines is made by python -m search merge -->"
END_MARKER = "<!-- board ends -->"
MAX_RANKED_ROWS = 10
"""Ranked rows of each section that the page shows; the whole board stands beside it."""
_REPORT = "leaderboard.md"
_HEADERS = ("Study", "Space", "Engine", "Protocol", "Best test error %", "Machine", "Version", "Made with")
_GENERATED_BLOCK = re.compile(rf"(?s)^{re.escape(BEGIN_MARKER)}$.*?^{re.escape(END_MARKER)}$", re.MULTILINE)


def render_index_page(
    board: Board, folder: Path, *, files: Mapping[str, Path], board_files: Sequence[Path], existing_page: str | None
) -> str | None:
    """Returns the page; None where there is one without the marker lines, which is somebody else's.

    Args:
        board: Of all the studies.
        folder: Where the page will stand.
        files: Each study's file, by the name that the board has for it.
        board_files: The board's other files.
        existing_page: The page as it is, or None where there is none.
    """
    made = "\n\n".join(
        [BEGIN_MARKER, _best(board), "### Reports", _reports(board, folder, files), _all_rows(board_files), END_MARKER]
    )
    if existing_page is None:
        return made + "\n"
    return (
        _GENERATED_BLOCK.sub(lambda _: made, existing_page, count=1) if _GENERATED_BLOCK.search(existing_page) else None
    )


def _best(board: Board) -> str:
    """Returns the board as Markdown with its best ranked rows alone."""
    shown = replace(board, sections=tuple(map(_ranked, board.sections)))
    return FORMATS["markdown"](top_rows(shown, MAX_RANKED_ROWS)).rstrip()


def _ranked(section: Section) -> Section:
    return replace(section, rows=section.ranked, failures=(), hidden_rows=section.hidden_rows + len(section.unverified))


def _reports(board: Board, folder: Path, files: Mapping[str, Path]) -> str:
    lines = [
        _line(study, section, folder, files[study.name]) for section in board.sections for study in section.studies
    ]
    return tabulate(lines, _HEADERS, tablefmt="pipe", disable_numparse=True)


def _line(study: StudyHeader, section: Section, folder: Path, file: Path) -> tuple[str, ...]:
    rows = [row for row in section.rows if row.study.name == study.name]
    ranked = [row for row in rows if row.rank is not None]
    report = file.with_name(_REPORT)
    target = (report if report.is_file() else file).relative_to(folder)
    protocol = study.protocol
    cells = (
        study.space.name,
        formatting.engine_label(study),
        f"{protocol.name.value} {protocol.version}",
        _figure(ranked),
        next((found for row in (*ranked, *rows) if (found := formatting.machine_label(row))), ""),
        formatting.package_version(study),
    )
    command = (
        f"`{formatting.one_line(study.command).replace('`', '').replace('|', chr(92) + '|')}`" if study.command else ""
    )
    return (f"[{escape(study.name)}]({quote(target.as_posix())})", *map(escape, cells), command)


def _figure(ranked: list[Row]) -> str:
    return formatting.estimate(ranked[0].test_error) if ranked else ""


def _all_rows(board_files: Sequence[Path]) -> str:
    """Returns links to the other files of the board."""
    links = ", ".join(f"[{path.name}]({quote(path.name)})" for path in board_files)
    return f"All rows: {links}."
