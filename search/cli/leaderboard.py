"""``python -m search leaderboard``: what the studies found, ranked."""

from __future__ import annotations

from pathlib import Path

import click

from search.cli.options import completer


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
    "--studies-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Folder that holds the studies.",
)
@click.option("--storage", metavar="URL", help="Storage to read instead of the folder.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of standard output."
)
def command(
    studies: tuple[str, ...], form: str, top: int | None, studies_dir: Path, storage: str | None, out: Path | None
) -> None:
    """Rank what the studies found; all studies unless some are named."""
    from search.leaderboard import board as values
    from search.leaderboard.files import write
    from search.leaderboard.formats import FORMATS
    from search.leaderboard.rows import compute
    from search.ledger import read_studies

    board = compute(read_studies(studies, studies_dir=studies_dir, storage=storage))
    text = FORMATS[form](values.top(board, top) if top else board)
    if out:
        write(out, click.unstyle(text))
        click.echo(f"Wrote {out}", err=True)
    else:
        click.echo(text, nl=False)
