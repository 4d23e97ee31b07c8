"""The report as files: what the command line and the API write to disk.

write_reports   leaderboard.md, .csv, .json and .svg, and report.html: what a run leaves
html            the page alone
write_plot      the plot beside a Markdown report written elsewhere
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.data.dataset import LabeledImages, find_test_images
from search.files import write_atomic
from search.leaderboard import files
from search.leaderboard.board import Board
from search.leaderboard.render_markdown import PLOT_FILE
from search.records.record import StudyRecord
from search.report import page, plot

PAGE_FILE = "report.html"


def write_reports(
    board: Board, records: Sequence[StudyRecord], folder: Path, cache_dir: Path | None = None
) -> list[Path]:
    """Writes the board in every format made for files, with plot and page, and returns their paths.

    Args:
        board: The board.
        records: Its studies.
        folder: Where to.
        cache_dir: Where data sets are kept; None for the platform's folder.

    Raises:
        UserError: The folder cannot be made or written to.
        FatalError: The disk is full.
    """
    paths = [*files.write_reports(board, folder), *write_plot(board, records, folder)]
    write_atomic(folder / PAGE_FILE, render_html(board, records, cache_dir), what="report")
    return [*paths, folder / PAGE_FILE]


def write_plot(board: Board, records: Sequence[StudyRecord], folder: Path) -> list[Path]:
    """Writes the plot that the Markdown report shows, and returns its path; none where there is nothing to draw.

    Raises:
        UserError: The folder cannot be made or written to.
        FatalError: The disk is full.
    """
    drawn = plot.render_svg(board, records)
    if not drawn:
        return []
    write_atomic(folder / PLOT_FILE, drawn, what="plot")
    return [folder / PLOT_FILE]


def render_html(board: Board, records: Sequence[StudyRecord], cache_dir: Path | None = None) -> str:
    """Returns the page, with pictures of what the winners get wrong where the data are at hand.

    Args:
        board: The board.
        records: Its studies.
        cache_dir: Where data sets are kept; None for the platform's folder.
    """
    return page.render(board, records, _test_images(board, cache_dir))


def _test_images(board: Board, cache_dir: Path | None) -> dict[str, LabeledImages]:
    """Returns the test images by the data's hash, of sections whose first row says what it gets wrong."""
    protocols = [
        section.protocol
        for section in board.sections
        if any(run.wrong for row in section.ranked[:1] for run in row.completed_replicates)
    ]
    found = {one.data_sha256: find_test_images(one.dataset, one.data_sha256, cache_dir) for one in protocols}
    return {sha256: images for sha256, images in found.items() if images is not None}
