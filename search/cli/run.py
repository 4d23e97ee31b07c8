"""``run``: search, verify, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from search.cli.options import merge_options, setting_options

INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C, as shells use it."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@setting_options()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of options above; flags win.")
@click.option("--dry-run", is_flag=True, help="Print the plan, time one epoch of the baseline, and write nothing.")
@click.option("--quiet", is_flag=True, help="No progress; only the leaderboard.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: what happens, then the leaderboard.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def command(
    config: Path | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    extra: tuple[str, ...],
    **options: Any,
) -> None:
    """Search a space, verify the best on the test images, print and write the leaderboard.

    Any parameter of the space can be fixed by an option of its name, such as --batch-size 64. Running the same command
    again goes on where the study stopped; --trials and --timeout are totals of the study.
    """
    started_at = time.monotonic()  # a time budget counts from here
    from search.cli.display import leaderboard_event, make_display
    from search.leaderboard.files import FORMATS
    from search.session.plan import make_plan
    from search.session.run import run_plan
    from search.session.settings import from_mapping

    plan = make_plan(from_mapping(merge_options(options, config=config, extra=extra)))
    if dry_run:
        from search.cli.dry_run import describe_dry_run

        click.echo(describe_dry_run(plan))
        return
    study = run_plan(plan, make_display(quiet=quiet, as_json=as_json), started_at=started_at)
    click.echo(leaderboard_event(study.board) if as_json else FORMATS["table"](study.board).rstrip())
    if not quiet and not as_json:
        click.echo(f"Written: {', '.join(str(path) for path in study.reports)}", err=True)
    if study.missing and quiet:
        click.echo(f"The time did not suffice for verification: {study.missing} of its runs are missing.", err=True)
    if study.interrupted:
        if not quiet:
            click.echo("Interrupted; run the same command again to go on.", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE)
