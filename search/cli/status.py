"""``status``: shows the state of a study while it runs or after. Takes no lock and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import make_completer, setting_options, study_location

if TYPE_CHECKING:
    from search.records.storage.locations import StudyLocation

WATCH_INTERVAL_SECONDS = 5.0
"""Time between two readings; a running study records its elapsed time as often."""


@click.command("status")
@click.argument("study", required=False, shell_complete=make_completer("study"))
@click.option("--watch", is_flag=True, help=f"Update every {WATCH_INTERVAL_SECONDS:.0f} seconds while the study runs.")
@click.option("--traceback", "tracebacks", is_flag=True, help="Also show the last traceback of each cause of failure.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@setting_options("studies_dir", "storage")
def command(study: str | None, watch: bool, tracebacks: bool, as_json: bool, **options: Any) -> None:
    """Show the state of a study.

    Shows running trials, failures and their causes, the best so far, time and disk usage. STUDY is a study's name or
    its folder; by default the study written last. Read-only, so safe at any time.
    """
    import json

    from search.cli.status_json import full_json
    from search.cli.status_view import status_text
    from search.records.lookup import locate_ledger
    from search.records.status import START_HINT, describe_location, latest_study_name, study_status

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other.")
    location = study_location(options)
    if study is None and not location.study_names():
        click.echo("null" if as_json else f"There is no study in {describe_location(location)}. {START_HINT}")
        return
    location, name = locate_ledger(study, location) if study else (location, latest_study_name(location))
    if watch:
        _watch(location, name, tracebacks=tracebacks)
        return
    status = study_status(location, name)
    click.echo(json.dumps(full_json(status), indent=2) if as_json else status_text(status, tracebacks=tracebacks))


def _watch(location: StudyLocation, name: str, *, tracebacks: bool) -> None:
    """Shows the status again and again until the study stops running, or Ctrl-C."""
    import time
    from contextlib import nullcontext, suppress

    from rich.console import Console
    from rich.live import Live

    from search.cli.status_view import render_status, status_text
    from search.records.status import study_status

    console, status = Console(highlight=False), study_status(location, name)
    live = Live(render_status(status, tracebacks=tracebacks), console=console, auto_refresh=False)
    with suppress(KeyboardInterrupt), live if console.is_terminal else nullcontext():
        while True:
            if console.is_terminal:
                live.update(render_status(status, tracebacks=tracebacks), refresh=True)
            else:
                click.echo(f"{status_text(status, tracebacks=tracebacks)}\n")
            if status.coordinator is None:
                return
            time.sleep(WATCH_INTERVAL_SECONDS)
            status = study_status(location, name)
