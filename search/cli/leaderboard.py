"""``python -m search leaderboard``: what the studies found, ranked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from search.cli.options import completer, place_of, setting_options


@click.command("leaderboard")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=completer("study"))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "details", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to write it; details: every search trial, with its part of a training and what the engine noted.",
)
@click.option("--top", type=click.IntRange(min=1), help="Show only the first rows; the baseline stays.  [default: all]")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of standard output."
)
@setting_options("studies_dir", "storage")
def command(
    studies: tuple[str, ...],
    form: str,
    top: int | None,
    out: Path | None,
    **given: Any,  # noqa: ANN401
) -> None:
    """Rank what the studies found; all studies here unless some are named.

    STUDY is a study's name, its folder, a report's folder or the study.json.gz in it, or a folder of such folders; a
    study given twice, or an earlier copy of it, counts once.
    """
    from search.catalog import find
    from search.leaderboard import board as values
    from search.leaderboard.files import write
    from search.leaderboard.formats import FORMATS
    from search.leaderboard.rows import compute
    from search.merging import merge

    merged = merge(find(studies, place_of(given)))
    board = compute(merged.records)
    board = replace(board, notes=(*board.notes, *merged.notes))
    text = FORMATS[form](values.top(board, top) if top else board)
    if out:
        write(out, click.unstyle(text))
        click.echo(f"Wrote {out}", err=True)
    else:
        click.echo(text, nl=False)
