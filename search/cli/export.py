"""``export``: a row of the leaderboard as a model, a script, a configuration file or a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.means import means_of, means_options
from search.cli.options import completer, place_of, setting_options

if TYPE_CHECKING:
    from search.export.order import Order


@click.command("export")
@click.argument("study", shell_complete=completer("study"))
@click.argument("row", default="winner", shell_complete=completer("row"))
@click.option(
    "--as",
    "form",
    type=click.Choice(["model", "script", "config", "card"]),
    required=True,
    help="A trained .keras file; a Python script that needs Keras and NumPy alone; a file for run --config; a short "
    "Markdown text to post.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file; a model goes to STUDY-ROW.keras by default, everything else to standard output.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Of the training; the row's first one by default."
)
@click.option("--score", is_flag=True, help="Of a model: open the test images once more and say its own error.")
@means_options
@click.option("--quiet", is_flag=True, help="No progress.")
@setting_options("studies_dir", "storage")
def command(study: str, row: str, form: str, out: Path | None, seed: int | None, **given: Any) -> None:  # noqa: ANN401
    """Carry a row of the leaderboard out: winner (default), baseline, rank:2, or a search trial's number.

    A model is trained on all training images, with the row's first recorded seed; its test error is told as recorded.
    """
    from search.cli.training_bar import announce
    from search.export.order import make_order
    from search.records.catalog import one

    score, quiet = given.pop("score"), given.pop("quiet")
    means, rest = means_of(given)
    if score and form != "model":
        raise click.UsageError("--score goes with --as model; nothing else is trained.")
    record = one(study, place_of(rest))
    order = make_order(record, row, seed=seed, means=means)
    name = f"{record.header.name}-{row.replace(':', '-')}"
    announce((order.note,))
    if form == "model":
        _model(order, out or Path(f"{name}.keras"), score=score, quiet=quiet)
    else:
        _text(order, form, out, fallback=f"{name}.py")


def _model(order: Order, out: Path, *, score: bool, quiet: bool) -> None:
    from search.cli.training_bar import training_bar
    from search.export.model import export_model

    with training_bar(1, quiet=quiet) as hear:
        exported = export_model(order, out, is_scored=score, hear=hear)
    click.echo(f"Wrote {exported.path}: {order.row.name}, seed {order.seed}, trained on all training images.")
    click.echo(exported.error)
    if exported.foreign:
        click.echo(f"To load it takes the file that defines {', '.join(exported.foreign)}; Keras does not know them.")


def _text(order: Order, form: str, out: Path | None, *, fallback: str) -> None:
    from search.export.forms import FORMS
    from search.leaderboard.files import write

    text = FORMS[form](order, out.name if out else fallback)
    if out:
        write(out, text)
        click.echo(f"Wrote {out}", err=True)
    else:
        click.echo(text, nl=False)
