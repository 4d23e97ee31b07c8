"""``leaderboard``: ranks the results of studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import FilePath, equivalence_points, make_completer, setting_options, study_location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.leaderboard.board import Board
    from search.records.record import StudyRecord

HTML = "html"
"""The format that is rendered from the records as well as the board."""


@click.command("leaderboard")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=make_completer("study"))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "details", "markdown", "csv", "json", HTML]),
    default="table",
    show_default=True,
    help="Output format. details: every search trial with its epochs and the engine's metadata; html: a page with "
    "charts, in one file.",
)
@click.option("--top", type=click.IntRange(min=1), help="Show only the first N rows and the baseline.  [default: all]")
@click.option("--out", type=FilePath(dir_okay=False), help="File to write instead of standard output.")
@click.option("--open", "is_opened", is_flag=True, help="Show the page in the browser; implies --format html.")
@click.option("--cache-dir", type=FilePath(), help="Folder of decompressed data sets, for images on the page.")
@setting_options("equivalence", "studies_dir", "storage")
def command(
    studies: tuple[str, ...],
    form: str,
    top: int | None,
    out: Path | None,
    is_opened: bool,
    cache_dir: Path | None,
    **options: Any,
) -> None:
    """Rank the results of studies; by default of all studies here.

    STUDY is a study's name, its folder, a report's folder or the study.json.gz in it, or a folder of such folders. A
    study given twice, or an earlier copy of it, counts once.
    """
    import tempfile
    import webbrowser

    from search.files import write_atomic
    from search.garbage import paused_collection
    from search.leaderboard.board import MAX_SHOWN_ROWS, top_rows
    from search.leaderboard.compute import compute
    from search.records.lookup import find_studies
    from search.records.merge import merge_studies

    if is_opened and form not in ("table", HTML):
        raise click.UsageError("--open needs --format html.")
    form = HTML if is_opened else form
    with paused_collection():  # nothing of what is read can be freed before the board is written
        merged = merge_studies(find_studies(studies, study_location(options)))
        records = merged.records
        is_short = form == "table" or (form == "markdown" and out is None)  # a file of Markdown has a plot of all rows
        shown = MAX_SHOWN_ROWS if is_short else None
        board = compute(records, equivalence_points(options), max_unverified=top or shown)
        board = replace(board, notes=(*board.notes, *merged.notes))
        board = top_rows(board, top) if top else board
        text = _render(form, board, records, cache_dir)
    if is_opened and out is None:
        out = Path(tempfile.mkdtemp(prefix="leaderboard-")) / "report.html"  # stays there for the browser
    if out is None:
        click.echo(text, nl=False)
        return
    write_atomic(out, text if form == HTML else click.unstyle(text), what="report")
    written = [out]
    if form == "markdown":
        from search.report.files import write_plot

        plot = write_plot(board, records, out.parent)
        written += plot.paths
        for message in plot.messages:
            click.echo(message, err=True)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=True)
    if is_opened and not webbrowser.open(out.absolute().as_uri()):
        click.echo(f"No browser was found. Open {out} in a browser.", err=True)


def _render(form: str, board: Board, records: Sequence[StudyRecord], cache_dir: Path | None) -> str:
    if form == HTML:
        from search.report.files import render_html

        return render_html(board, records, cache_dir)
    from search.leaderboard.files import FORMATS

    return FORMATS[form](board)
