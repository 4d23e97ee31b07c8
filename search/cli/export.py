"""``export``: writes a row of the leaderboard as a model, a script, a configuration file or a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import FilePath, make_completer, setting_options, study_location
from search.cli.retraining import (
    add_reproduction_options,
    pop_reproduction_options,
    record_test_openings,
    training_bar,
)

if TYPE_CHECKING:
    from search.export.target import ExportTarget


@click.command("export")
@click.argument("study", shell_complete=make_completer("study"))
@click.argument("row", default="winner", shell_complete=make_completer("row"))
@click.option(
    "--as",
    "form",
    type=click.Choice(["model", "script", "config", "card"]),
    default="model",
    show_default=True,
    help="model: a trained .keras file; script: a Python script that needs only Keras and NumPy, and for Keras "
    "Tuner's models that too; config: a file for run --config; card: a short Markdown text to post.",
)
@click.option(
    "--out",
    type=FilePath(dir_okay=False),
    help="File to write.  [default: STUDY-ROW.keras for a model, else standard output]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of the training.  [default: the row's first]"
)
@click.option("--score", is_flag=True, help="Score the model on the test images and print its own error.")
@add_reproduction_options
@click.option("--quiet", is_flag=True, help="No progress.")
@setting_options("studies_dir", "storage")
def command(study: str, row: str, form: str, out: Path | None, seed: int | None, **options: Any) -> None:
    """Export a row of the leaderboard as a model or a text.

    ROW is winner (default), baseline, rank:2, or a search trial's number. A model is trained on all training images,
    with the row's first recorded seed. Its test error is the recorded one.
    """
    from search.export.target import make_target
    from search.records.lookup import find_study

    score, quiet = options.pop("score"), options.pop("quiet")
    reproduction_options = pop_reproduction_options(options)
    if score and form != "model":
        raise click.UsageError("--score needs --as model.")
    record = find_study(study, study_location(options))
    target = make_target(record, row, seed=seed, reproduction_options=reproduction_options)
    name = f"{record.header.name}-{row.replace(':', '-')}"
    if target.note:
        click.echo(target.note, err=True)
    if form == "model":
        _model(target, out or Path(f"{name}.keras"), score=score, quiet=quiet)
        record_test_openings(study, study_location(options), by="export", count=int(score))
    else:
        _text(target, form, out, fallback=f"{name}.py")


def _model(target: ExportTarget, out: Path, *, score: bool, quiet: bool) -> None:
    from search.export.model import export_model

    with training_bar(1, quiet=quiet) as on_epoch:
        exported = export_model(target, out, is_scored=score, on_epoch=on_epoch)
    click.echo(f"Wrote {exported.path}: {target.row.name}, seed {target.seed}, trained on all training images.")
    click.echo(exported.error_sentence)
    if exported.custom_layers:
        click.echo(
            f"Loading it needs the file that defines {', '.join(exported.custom_layers)}, which Keras does not have."
        )
    if exported.holds_lambda:
        click.echo(
            "It holds a Python lambda, so loading it needs keras.saving.load_model(FILE, safe_mode=False), and predict "
            "refuses it. A layer of Keras in its place needs neither."
        )


def _text(target: ExportTarget, form: str, out: Path | None, *, fallback: str) -> None:
    from search.export.card import TEXT_FORMATS
    from search.export.script import usage
    from search.files import write_atomic

    text = TEXT_FORMATS[form](target, out.name if out else fallback)
    if out:
        write_atomic(out, text, what=form)
        click.echo(f"Wrote {out}", err=True)
        if form == "script":
            click.echo(usage(target, str(out)), err=True)
    else:
        click.echo(text, nl=False)
