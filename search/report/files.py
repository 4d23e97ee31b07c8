"""Writes a report's files. Called by the command line and ``search.session.publish``.

write_reports   leaderboard.md, .csv, .json and .svg, and report.html
render_html     the page as text
write_plot      the plot of a Markdown report
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.data.dataset import LabeledImages, find_test_images
from search.leaderboard import files
from search.leaderboard.board import Board
from search.leaderboard.files import WrittenFiles, write_each
from search.leaderboard.render_markdown import PLOT_FILE
from search.records.record import StudyRecord
from search.report import page, plot

PAGE_FILE = "report.html"


def write_reports(
    board: Board, records: Sequence[StudyRecord], folder: Path, cache_dir: Path | None = None
) -> WrittenFiles:
    """Writes the board's files, its plot and its page; one that cannot be made leaves the others.

    Args:
        board: The board.
        records: Its studies.
        folder: The folder.
        cache_dir: Folder of data sets; None for the platform's.

    Raises:
        UserError: The folder cannot be made or written to.
        FatalError: The disk is full.
    """
    return write_each(
        folder,
        {
            **files.report_contents(board),
            PLOT_FILE: lambda: plot.render_svg(board, records),
            PAGE_FILE: lambda: render_html(board, records, cache_dir),
        },
    )


def write_plot(board: Board, records: Sequence[StudyRecord], folder: Path) -> WrittenFiles:
    """Writes the plot of the Markdown report; nothing where there is nothing to draw.

    Raises:
        UserError: The folder cannot be made or written to.
        FatalError: The disk is full.
    """
    return write_each(folder, {PLOT_FILE: lambda: plot.render_svg(board, records)})


def render_html(board: Board, records: Sequence[StudyRecord], cache_dir: Path | None = None) -> str:
    """Returns the page, with the chosen rows' misclassified images where the data are available.

    Args:
        board: The board.
        records: Its studies.
        cache_dir: Folder of data sets; None for the platform's.
    """
    return page.render(board, records, _test_images(board, cache_dir))


def _test_images(board: Board, cache_dir: Path | None) -> dict[str, LabeledImages]:
    """Returns test images by the data's hash, for sections whose chosen row lists misclassified images."""
    protocols = [
        section.protocol
        for section in board.sections
        if section.headline is not None and any(run.wrong for run in section.headline.completed_replicates)
    ]
    return {
        protocol.data_sha256: images
        for protocol in protocols
        if (images := find_test_images(protocol.data_sha256, cache_dir)) is not None
    }
