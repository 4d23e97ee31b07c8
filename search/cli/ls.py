"""``ls``: lists the studies of a folder or a database, the most recently written first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import setting_options, study_location

if TYPE_CHECKING:
    from search.records.status import StudyStatus

COLUMNS = ("Trials", "Failed", "Val.\nerror %", "Test\nruns", "Written", "Disk")
"""The columns after the study's name."""
OPTIONAL_COLUMNS = frozenset({"Failed", "Test\nruns"})
"""Columns that are left out if they are empty."""


@click.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
@setting_options("studies_dir", "storage")
def command(as_json: bool, **options: Any) -> None:
    """List the studies with their progress and size on disk.

    A study that cannot be read is listed with the reason.
    """
    import json

    from search.cli.status_json import brief_json
    from search.records.status import START_HINT, all_statuses, describe_location

    location = study_location(options)
    statuses = all_statuses(location)
    if as_json:
        click.echo(json.dumps([brief_json(status) for status in statuses], indent=2))
    elif statuses:
        click.echo(_text(statuses))
    else:
        click.echo(f"There is no study in {describe_location(location)}. {START_HINT}")


def _text(statuses: list[StudyStatus]) -> str:
    """Returns a table that fits standard output, and below it the problems of unreadable studies."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from search.leaderboard import formatting
    from search.leaderboard.render_text import printed

    rows = [_cells(status) for status in statuses]
    columns = [name for name in COLUMNS if name not in OPTIONAL_COLUMNS or any(row[name] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Study", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for status, row in zip(statuses, rows, strict=True):
        title, description = (formatting.one_line(text) for text in (status.name, _describe_study(status)))
        table.add_row(Text.assemble((title, "bold"), "\n", description), *(Text(row[name]) for name in columns))
    problems = (formatting.one_line(f"{status.name}: {status.problem}") for status in statuses if status.problem)
    return printed(Console(highlight=False), [table, *(Text(f"\n{problem}") for problem in problems)]).rstrip()


def _describe_study(status: StudyStatus) -> str:
    """Returns a study's space, data set and engine: "cnn on mnist, optuna:tpe"."""
    from search.records.record import NO_ENGINE

    if status.summary is None:
        return "cannot be read" if status.problem else "starting"
    header = status.summary.header
    what = f"{header.space.name} on {header.protocol.dataset}"
    return what if header.engine == NO_ENGINE else f"{what}, {header.engine}:{header.sampler}"


def _cells(status: StudyStatus) -> dict[str, str]:
    """Returns the cells after the study's name, by column."""
    from rich.filesize import decimal

    from search.cli.status_view import time_ago
    from search.leaderboard import formatting
    from search.trial import State

    cells = dict.fromkeys(COLUMNS, "")
    cells["Disk"] = decimal(status.usage.total_bytes)
    if status.coordinator:
        cells["Written"] = "running"
    elif status.last_written:
        cells["Written"] = time_ago(status.last_written)
    if (summary := status.summary) is not None:
        cells["Trials"] = str(summary.finished)
        cells["Failed"] = str(summary.states.get(State.FAILED, ""))
        cells["Val.\nerror %"] = formatting.percent(summary.best.error_percent if summary.best else None)
        cells["Test\nruns"] = str(sum(verified.complete for verified in summary.verified_runs) or "")
    return cells
