"""``run``: searches a space, verifies the best configurations, and reports them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from search.cli.options import FilePath, GroupedCommand, merge_options, setting_options

INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C, as in shells."""


@click.command("run", cls=GroupedCommand, context_settings={"ignore_unknown_options": True})
@setting_options()
@click.option("--config", type=FilePath(), help="TOML file of the options above; flags override it.")
@click.option(
    "--dry-run", is_flag=True, help="Print the plan and an estimate of its duration; train and write nothing."
)
@click.option("--quiet", is_flag=True, help="Print only the leaderboard.")
@click.option("--json", "as_json", is_flag=True, help="Print events and the leaderboard as JSON lines.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def command(
    config: Path | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    extra: tuple[str, ...],
    **options: Any,
) -> None:
    """Search a space, verify the best, and rank the results.

    The best configurations and the baseline are retrained and scored on the test images. The leaderboard is printed and
    written to the reports. Any parameter of the space can be fixed by an option of its name, such as --batch-size 64.
    Running the same command again continues the study; --trials and --timeout are totals of the study.
    """
    started_at = time.monotonic()  # a time budget counts from here
    from search.cli.display import IMPORTING_KERAS_TUNER, LiveLine, leaderboard_event, make_display
    from search.leaderboard.files import FORMATS
    from search.leaderboard.summary import summary_sentences
    from search.session.plan import make_plan
    from search.session.run import run_plan
    from search.session.settings import from_mapping
    from search.trial import State

    settings = from_mapping(merge_options(options, config=config, extra=extra))
    if settings.engine.startswith("keras-tuner") and not quiet and not as_json:
        click.echo(IMPORTING_KERAS_TUNER, err=True)
    plan = make_plan(settings)
    if dry_run:
        from search.cli.dry_run import describe_dry_run

        click.echo(describe_dry_run(plan, as_json=as_json))
        return
    study = run_plan(plan, make_display(quiet=quiet, as_json=as_json), started_at=started_at)
    board = study.board
    lines = LiveLine()
    if not quiet and not as_json and board.sections and board.sections[0].headline is not None:
        lines.print(summary_sentences(board.sections[0])[0], "bold")
    click.echo(leaderboard_event(board) if as_json else FORMATS["table"](board).rstrip())
    for message in study.messages:
        click.echo(message, err=True)
    if not quiet and not as_json:
        names = ", ".join(path.name for path in study.reports)
        lines.print(f"Written to {study.reports[0].parent if study.reports else 'no folder'}: {names}")
    if study.missing and quiet:
        click.echo(f"Verification is incomplete: {study.missing} of its runs are missing.", err=True)
    if study.interrupted:
        if not quiet:
            click.echo("Interrupted; run the same command again to continue.", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE)
    states = board.sections[0].states if board.sections else {}
    if State.FAILED in states and not states.keys() - {State.FAILED, State.INTERRUPTED}:
        click.echo(
            f"Error: No trial was trained; {states[State.FAILED]} failed.\n"
            f"python -m search status {study.name} --traceback prints why.",
            err=True,
        )
        raise SystemExit(1)
