"""``merge``: writes one board over several studies, as a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from search.cli.options import FilePath, equivalence_points, make_completer, setting_options, study_location


@click.command("merge")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=make_completer("study"))
@click.option("--out", type=FilePath(file_okay=False), required=True, help="Folder to write the reports into.")
@click.option("--cache-dir", type=FilePath(), help="Folder of decompressed data sets, for images.")
@setting_options("equivalence", "studies_dir", "storage")
def command(studies: tuple[str, ...], out: Path, cache_dir: Path | None, **options: Any) -> None:
    """Rank several studies in one board, as a folder of files.

    The studies may come from any machine and engine; by default all studies here. STUDY is a study's name, its folder,
    a report's folder or the study.json.gz in it, or a folder of such folders. A study given twice, or an earlier copy
    of it, counts once. The output folder holds the board in every format, each study's own file, and README.md with the
    best rows; your own text in README.md is kept.
    """
    from search.records.lookup import find_studies
    from search.records.merge import merge_studies
    from search.session.publish import publish_combined

    merged = merge_studies(find_studies(studies, study_location(options)))
    written = publish_combined(merged, out, cache_dir, equivalence_points(options))
    for note in (*merged.notes, *written.messages):
        click.echo(note, err=True)
    click.echo(f"Written: {', '.join(map(str, written.paths))}", err=True)
