"""``dashboard``: shows a study in the browser with optuna-dashboard, while it runs or after. Read-only."""

from __future__ import annotations

from typing import Any

import click

from search.cli.options import make_completer, setting_options, study_location


@click.command("dashboard")
@click.argument("study", required=False, shell_complete=make_completer("study"))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port; 0 for a free one.",
)
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@setting_options("studies_dir", "storage")
def command(study: str | None, port: int, opens: bool, **options: Any) -> None:
    """Show a study in the browser with optuna-dashboard.

    Shows live trials, curves, importances and slices until Ctrl-C. STUDY is a study's name or its folder; by default
    the study written last. Only this machine can reach the page, and nothing can be changed there. Needs the extra
    dashboard.
    """
    import importlib.util
    import webbrowser

    from search.errors import missing_extra
    from search.records.lookup import locate_ledger
    from search.records.status import latest_study_name

    if importlib.util.find_spec("optuna_dashboard") is None:
        raise missing_extra("The dashboard", "dashboard")
    from search.dashboard.server import open_server, open_storage, serve

    location = study_location(options)
    location, name = locate_ledger(study, location) if study else (location, latest_study_name(location))
    storage, note = open_storage(location, name)
    if note:
        click.echo(note, err=True)
    server, address = open_server(storage, port)

    def print_address() -> None:
        click.echo(f"Study {name} at {address} (Ctrl-C ends it)")
        if opens:
            webbrowser.open(address)

    serve(server, print_address)
    click.echo("The dashboard has ended.")
