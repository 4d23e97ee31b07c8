"""``ls``: every study of a folder or a database, the one written last first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import place_of, setting_options

if TYPE_CHECKING:
    from search.records.inspection import Status

FIGURES = ("Trials", "Failed", "Val.\nerror %", "Test\nruns", "Written", "Disk")
"""The columns beside the study's name."""
RARE = frozenset({"Failed", "Test\nruns"})
"""Columns that stand there only where they say something."""


@click.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
@setting_options("studies_dir", "storage")
def command(as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List the studies: what they search, how far they are, and what they take of the disk.

    One that cannot be read is listed with the reason.
    """
    import json

    from search.cli.status_json import brief
    from search.records.inspection import START, inspect_all, where

    place = place_of(given)
    found = inspect_all(place)
    if as_json:
        click.echo(json.dumps([brief(status) for status in found], indent=2))
    elif found:
        click.echo(_text(found))
    else:
        click.echo(f"There is no study in {where(place)}. {START}")


def _text(found: list[Status]) -> str:
    """Returns a table that fits standard output, and below it why a study cannot be read."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from search.leaderboard import words

    console = Console(highlight=False)
    cells = [_cells(status) for status in found]
    telling = [at for at, name in enumerate(FIGURES) if name not in RARE or any(line[at] for line in cells)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Study", overflow="fold")
    for at in telling:
        table.add_column(FIGURES[at], justify="right", no_wrap=True)
    for status, line in zip(found, cells, strict=True):
        name = Text.assemble((words.one_line(status.name), "bold"), "\n", words.one_line(_what(status)))
        table.add_row(name, *(Text(line[at]) for at in telling))
    with console.capture() as capture:
        console.print(table)
        for status in found:
            if status.problem:
                console.print(Text("\n" + words.one_line(f"{status.name}: {status.problem}")))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).rstrip()


def _what(status: Status) -> str:
    """Returns what a study searches, and by whose proposals: "cnn on mnist, optuna:tpe"."""
    from search.session.planning import NO_ENGINE

    if status.overview is None:
        return "cannot be read" if status.problem else "starting"
    header = status.overview.header
    what = f"{header.space.name} on {header.protocol.dataset}"
    return what if header.engine == NO_ENGINE else f"{what}, {header.engine}:{header.sampler}"


def _cells(status: Status) -> tuple[str, ...]:
    """Returns the cells beside the study's name."""
    from rich.filesize import decimal

    from search.cli.status_view import ago
    from search.leaderboard import words
    from search.trial import State

    written = "running" if status.coordinator else ago(status.written) if status.written else ""
    disk, seen = decimal(status.usage.bytes), status.overview
    if seen is None:
        return ("", "", "", "", written, disk)
    return (
        str(seen.settled),
        str(seen.states.get(State.FAILED, "")),
        words.percent(seen.best.error_percent if seen.best else None),
        str(sum(one.complete for one in seen.tested) or ""),
        written,
        disk,
    )
