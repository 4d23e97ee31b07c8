"""``status``: where a study stands, read while it runs or after. Takes no lock and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import completer, place_of, setting_options

if TYPE_CHECKING:
    from search.records.storage import Place

WATCH_SECONDS = 5.0
"""Time between two looks; a running study writes its account of time as often."""


@click.command("status")
@click.argument("study", required=False, shell_complete=completer("study"))
@click.option("--watch", is_flag=True, help=f"Look again every {WATCH_SECONDS:.0f} seconds, while the study runs.")
@click.option("--traceback", "tracebacks", is_flag=True, help="Show also the last traceback of each cause of failure.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@setting_options("studies_dir", "storage")
def command(study: str | None, watch: bool, tracebacks: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Show where a study stands: what runs, what failed and why, the best so far, time and disk.

    STUDY is a study's name or its folder; without it, the study that was written last. Only reads, so it can be asked
    at any time.
    """
    import json

    from search.cli.status_json import full
    from search.cli.status_view import text
    from search.records.catalog import locate
    from search.records.inspection import inspect, latest

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other.")
    place = place_of(given)
    place, name = locate(study, place) if study else (place, latest(place))
    if watch:
        _watch(place, name, tracebacks=tracebacks)
        return
    status = inspect(place, name)
    click.echo(json.dumps(full(status), indent=2) if as_json else text(status, tracebacks=tracebacks))


def _watch(place: Place, name: str, *, tracebacks: bool) -> None:
    """Shows the study again and again until nobody runs it, or Ctrl-C; off a terminal, one account after the other."""
    import time
    from contextlib import nullcontext, suppress

    from rich.console import Console
    from rich.live import Live

    from search.cli.status_view import text, view
    from search.records.inspection import inspect

    console, status = Console(highlight=False), inspect(place, name)
    live = Live(view(status, tracebacks=tracebacks), console=console, auto_refresh=False)
    with suppress(KeyboardInterrupt), live if console.is_terminal else nullcontext():
        while True:
            if console.is_terminal:
                live.update(view(status, tracebacks=tracebacks), refresh=True)
            else:
                click.echo(f"{text(status, tracebacks=tracebacks)}\n")
            if status.coordinator is None:
                return
            time.sleep(WATCH_SECONDS)
            status = inspect(place, name)
