"""``reproduce``: trains a recorded trial or a row of the leaderboard again and compares the results."""

from __future__ import annotations

from typing import Any

import click

from search.cli.options import make_completer, setting_options, study_location
from search.cli.retraining import (
    add_reproduction_options,
    pop_reproduction_options,
    record_test_openings,
    training_bar,
)

DIFFERENT_EXIT_CODE = 1
"""Exit code if a run does not agree."""


@click.command("reproduce")
@click.argument("study", shell_complete=make_completer("study"))
@click.argument("trial", metavar="TRIAL|ROW", shell_complete=make_completer("row"))
@click.option("--test", "is_test", is_flag=True, help="Reproduce the test runs of the trial's row instead.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of a row's test runs to reproduce.",
)
@add_reproduction_options
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@setting_options("studies_dir", "storage")
def command(study: str, trial: str, is_test: bool, seeds: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Train a recorded trial again and compare the results. The study stays as it is.

    TRIAL is the number of a search trial. A row of the leaderboard (winner, baseline or rank:2) stands for its test
    runs, with their recorded seeds. The whole learning curve is compared: bit for bit if the run was deterministic and
    hardware and software are the same, else by the interval in which a run of another seed is expected. Exit code 0 if
    all runs agree, 1 if not. How often the test images were opened is counted beside the study.
    """
    import json

    from search.cli.reproduce_view import format_text, to_document
    from search.records.lookup import find_study
    from search.reproduction.reproduce import Agreement, find_target, reproduce

    reproduction_options = pop_reproduction_options(options)
    record = find_study(study, study_location(options))
    target = find_target(record, trial, is_test=is_test, seeds=seeds)
    is_silent = quiet or as_json
    if target.note and not is_silent:
        click.echo(target.note, err=True)
    with training_bar(len(target.runs), quiet=is_silent) as on_epoch:
        repeats = reproduce(record, target, reproduction_options, on_epoch)
    count = sum(record.evaluations_of(repeat.trial) for repeat in repeats)
    record_test_openings(study, study_location(options), by="reproduce", count=count)
    click.echo(
        json.dumps(to_document(study, target, repeats), indent=2) if as_json else format_text(study, target, repeats)
    )
    if any(repeat.agreement is Agreement.DIFFERENT for repeat in repeats):
        raise SystemExit(DIFFERENT_EXIT_CODE)
