"""Renders the README.md of a folder of reports: the best rows, and a link to each study's report.

Only the text between the two marker lines is replaced. Called by ``search.session.publish``, which writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from tabulate import tabulate

from search.leaderboard import formatting
from search.leaderboard.board import Board, Section, top_rows
from search.leaderboard.files import FORMATS
from search.leaderboard.render_markdown import escape
from search.records.record import StudyHeader

PAGE_FILE = "README.md"
BEGIN_MARKER = "<!-- board: what stands between these two lines is made by python -m search merge -->"
END_MARKER = "<!-- board ends -->"
MAX_RANKED_ROWS = 10
"""Ranked rows of each section; the other files of the board hold all."""
_REPORT = "leaderboard.md"
_HEADERS = ("Study", "Space", "Engine", "Protocol", "Chosen row's test error %", "Machine", "Version", "Made with")
_GENERATED_BLOCK = re.compile(rf"(?s)^{re.escape(BEGIN_MARKER)}$.*?^{re.escape(END_MARKER)}$", re.MULTILINE)


def render_index_page(
    board: Board, folder: Path, *, files: Mapping[str, Path], board_files: Sequence[Path], existing_page: str | None
) -> str | None:
    """Returns the page; None where one exists without the marker lines.

    Args:
        board: Of all the studies.
        folder: Folder of the page.
        files: Each study's file, by the study's name on the board.
        board_files: The board's other files.
        existing_page: The page as it is; None without one.
    """
    links = ", ".join(f"[{path.name}]({quote(path.name)})" for path in board_files)
    generated = "\n\n".join(
        [BEGIN_MARKER, _best(board), "### Reports", _reports(board, folder, files), f"All rows: {links}.", END_MARKER]
    )
    if existing_page is None:
        return generated + "\n"
    page, count = _GENERATED_BLOCK.subn(lambda _: generated, existing_page, count=1)
    return page if count else None


def _best(board: Board) -> str:
    """Returns the board's best ranked rows as Markdown."""
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
    chosen = next((row for row in section.chosen if study.name in row.chosen_in), None)
    rows = [row for row in section.study_rows if row.study.name == study.name]
    report = file.with_name(_REPORT)
    target = (report if report.is_file() else file).relative_to(folder)
    protocol = study.protocol
    cells = (
        study.space.name,
        formatting.engine_label(study),
        f"{protocol.name.value} {protocol.version}",
        formatting.error_estimate(chosen.test_error) if chosen else "",
        next((machine for row in rows if (machine := formatting.machine_label(row))), ""),
        formatting.package_version(study),
    )
    command = (
        f"`{formatting.one_line(study.command).replace('`', '').replace('|', chr(92) + '|')}`" if study.command else ""
    )
    return (f"[{escape(study.name)}]({quote(target.as_posix())})", *map(escape, cells), command)
