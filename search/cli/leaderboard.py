"""``python -m search leaderboard``: what the studies found, ranked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import make_completer, setting_options, study_location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.leaderboard.board import Board
    from search.records.record import StudyRecord

HTML = "html"
"""The one format that is made from the records and not from the board alone."""


@click.command("leaderboard")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=make_completer("study"))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "details", "markdown", "csv", "json", HTML]),
    default="table",
    show_default=True,
    help="How to write it; details: every search trial, with its part of a training and what the engine noted; "
    "html: a page with charts, in one file.",
)
@click.option("--top", type=click.IntRange(min=1), help="Show only the first rows; the baseline stays.  [default: all]")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of standard output."
)
@click.option("--open", "is_opened", is_flag=True, help="Show the page in the browser: --format html.")
@click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="Where data sets are kept, for pictures on the page."
)
@setting_options("studies_dir", "storage")
def command(
    studies: tuple[str, ...],
    form: str,
    top: int | None,
    out: Path | None,
    is_opened: bool,
    cache_dir: Path | None,
    **options: Any,
) -> None:
    """Rank what the studies found; all studies here unless some are named.

    STUDY is a study's name, its folder, a report's folder or the study.json.gz in it, or a folder of such folders; a
    study given twice, or an earlier copy of it, counts once.
    """
    from search.files import write_atomic
    from search.leaderboard import board as values
    from search.leaderboard.compute import compute
    from search.records.lookup import find_studies
    from search.records.merge import merge_studies

    if is_opened and form not in ("table", HTML):
        raise click.UsageError("--open shows the page, so it goes with --format html alone.")
    merged = merge_studies(find_studies(studies, study_location(options)))
    records = merged.records
    board = compute(records)
    board = replace(board, notes=(*board.notes, *merged.notes))
    board = values.top_rows(board, top) if top else board
    form = HTML if is_opened else form
    text = _text(form, board, records, cache_dir)
    if is_opened:
        out = out or _temporary()
    if out is None:
        click.echo(text, nl=False)
        return
    write_atomic(out, text if form == HTML else click.unstyle(text), what="report")
    click.echo(f"Wrote {', '.join(map(str, (out, *_write_plot_beside(form, board, records, out))))}", err=True)
    if is_opened:
        _open(out)


def _text(form: str, board: Board, records: Sequence[StudyRecord], cache_dir: Path | None) -> str:
    if form == HTML:
        from search.report.files import render_html

        return render_html(board, records, cache_dir)
    from search.leaderboard.files import FORMATS

    return FORMATS[form](board)


def _write_plot_beside(form: str, board: Board, records: Sequence[StudyRecord], out: Path) -> list[Path]:
    """Writes what a file of this format shows from beside it."""
    if form != "markdown":
        return []
    from search.report.files import write_plot

    return write_plot(board, records, out.parent)


def _temporary() -> Path:
    """Returns where a page goes that nobody gave a name; it stays there for the browser."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix="leaderboard-")) / "report.html"


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.absolute().as_uri()):
        click.echo(f"No browser was found here. Open {page} in one.", err=True)
