"""``python -m search merge``: one board over studies from anywhere, as a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from search.cli.options import completer, place_of, setting_options


@click.command("merge")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=completer("study"))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the reports into."
)
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where data sets are kept, for pictures.")
@setting_options("studies_dir", "storage")
def command(studies: tuple[str, ...], out: Path, cache_dir: Path | None, **given: Any) -> None:  # noqa: ANN401
    """Write one board over several studies, from any machine and engine; all studies here unless some are named.

    STUDY is a study's name, its folder, a report's folder or the study.json.gz in it, or a folder of such folders. A
    study given twice, or an earlier copy of it, counts once. The folder then holds the board in every format, each
    study's own file, and README.md with the best rows; what you write around them there is kept.
    """
    from search.records.catalog import find
    from search.records.merging import merge
    from search.session.publishing import joint

    merged = merge(find(studies, place_of(given)))
    written = joint(merged, out, cache_dir)
    for note in (*merged.notes, *written.notes):
        click.echo(note, err=True)
    click.echo(f"Written: {', '.join(map(str, written.paths))}", err=True)
