"""``reproduce``: a recorded trial or a row of the leaderboard, trained again and compared."""

from __future__ import annotations

from typing import Any

import click

from search.cli.options import make_completer, setting_options, study_location
from search.cli.reproduction_options import add_reproduction_options, split_reproduction_options

DIFFERENT_EXIT_CODE = 1
"""Exit code where a run does not agree."""


@click.command("reproduce")
@click.argument("study", shell_complete=make_completer("study"))
@click.argument("trial", metavar="TRIAL|ROW", shell_complete=make_completer("row"))
@click.option("--test", "is_test", is_flag=True, help="Of a search trial's number: its row's test runs instead.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many test runs of a row.",
)
@add_reproduction_options
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@setting_options("studies_dir", "storage")
def command(study: str, trial: str, is_test: bool, seeds: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Train a recorded trial again and say whether it comes out the same; writes nothing into the study.

    TRIAL is the number of a search trial. A row of the leaderboard, winner, baseline or rank:2, stands for its test
    runs, with their recorded seeds. The whole learning curve is compared: bit for bit where the run was deterministic
    and nothing that it ran on differs, else by the interval that a run of another seed falls into. Exit code 0 where
    it agrees, 1 where not.
    """
    import json

    from search.cli.reproduce_view import format_text, to_document
    from search.cli.training_bar import print_notes, training_bar
    from search.records.lookup import find_study
    from search.reproduction.reproduce import Agreement, find_target, reproduce

    reproduction_options, rest = split_reproduction_options(options)
    record = find_study(study, study_location(rest))
    target = find_target(record, trial, is_test=is_test, seeds=seeds)
    is_silent = quiet or as_json
    print_notes(() if is_silent else (target.note,))
    with training_bar(len(target.runs), quiet=is_silent) as on_epoch:
        repeats = reproduce(record, target, reproduction_options, on_epoch)
    click.echo(
        json.dumps(to_document(study, target, repeats), indent=2) if as_json else format_text(study, target, repeats)
    )
    if any(repeat.agreement is Agreement.DIFFERENT for repeat in repeats):
        raise SystemExit(DIFFERENT_EXIT_CODE)
