"""A page for a folder of reports: the best rows of their board, and a line a study with a link to its own report.

What people write around it stays: only what stands between the two marker lines is made anew. Called by
``search.session.publishing``; writes nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from tabulate import tabulate

from search.leaderboard import provenance, words
from search.leaderboard.board import Board, Row, Section, top
from search.leaderboard.formats import FORMATS
from search.leaderboard.render_markdown import escape
from search.records.record import StudyHeader

NAME = "README.md"
BEGIN = "<!-- board: what stands between these two lines is made by python -m search merge -->"
END = "<!-- board ends -->"
ROWS = 10
"""Ranked rows of each section that the page shows; the whole board stands beside it."""
_REPORT = "leaderboard.md"
_HEADERS = ("Study", "Space", "Engine", "Protocol", "Best test error %", "Machine", "Version", "Made with")
_BETWEEN = re.compile(rf"(?s)^{re.escape(BEGIN)}$.*?^{re.escape(END)}$", re.MULTILINE)


def page(
    board: Board, folder: Path, *, files: Mapping[str, Path], beside: Sequence[Path], before: str | None
) -> str | None:
    """Returns the page; None where there is one without the marker lines, which is somebody else's.

    Args:
        board: Of all the studies.
        folder: Where the page will stand.
        files: Each study's file, by the name that the board has for it.
        beside: The board's other files.
        before: The page as it is, or None where there is none.
    """
    made = "\n\n".join([BEGIN, _best(board), "### Reports", _reports(board, folder, files), _all_rows(beside), END])
    if before is None:
        return made + "\n"
    return _BETWEEN.sub(lambda _: made, before, count=1) if _BETWEEN.search(before) else None


def _best(board: Board) -> str:
    """Returns the board as Markdown with its best ranked rows alone."""
    shown = replace(board, sections=tuple(map(_ranked, board.sections)))
    return FORMATS["markdown"](top(shown, ROWS)).rstrip()


def _ranked(section: Section) -> Section:
    return replace(section, rows=section.ranked, failures=(), hidden=section.hidden + len(section.unranked))


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
    judged = study.protocol
    cells = (
        study.space.name,
        provenance.engine(study),
        f"{judged.name.value} {judged.version}",
        _figure(ranked),
        next((found for row in (*ranked, *rows) if (found := provenance.machine(row))), ""),
        provenance.version(study),
    )
    command = f"`{words.one_line(study.command).replace('`', '').replace('|', chr(92) + '|')}`" if study.command else ""
    return (f"[{escape(study.name)}]({quote(target.as_posix())})", *map(escape, cells), command)


def _figure(ranked: list[Row]) -> str:
    return words.estimate(ranked[0].test) if ranked else ""


def _all_rows(beside: Sequence[Path]) -> str:
    """Returns links to the other files of the board."""
    links = ", ".join(f"[{path.name}]({quote(path.name)})" for path in beside)
    return f"All rows: {links}."
