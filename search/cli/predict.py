"""``predict``: classifies image files with an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.cli.options import FilePath

if TYPE_CHECKING:
    from search.export.predict import ImagePrediction, ImagePredictions

UNREADABLE_EXIT_CODE = 2
"""Exit code if a file could not be read; the predictions for the others are still printed."""


@click.command("predict")
@click.argument("model", type=FilePath())
@click.argument("images", nargs=-1, required=True, type=FilePath(), metavar="IMAGE...")
@click.option(
    "--fit",
    "resize_mode",
    type=click.Choice(["digit", "whole"]),
    help="How a grey image is resized: digit scales and centres its ink as in MNIST; whole resizes all of it.  "
    "[default: digit for models of MNIST, whole for others]",
)
@click.option(
    "--unsure",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    metavar="P",
    help="Probability below which a class is marked as unsure.",
)
@click.option("--json", "form", flag_value="json", help="Print a JSON list instead, with every class's probability.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV instead.")
def command(model: Path, images: tuple[Path, ...], resize_mode: str | None, unsure: float, form: str | None) -> None:
    """Classify image files with an exported model.

    IMAGE is a file or a folder of files, whose hidden files are left out. Images may have any format that Pillow reads
    and any size, and be dark on light or light on dark; the border decides which. A probability is the model's own,
    also for an image of another kind than its training images. Exit code 2 if an image cannot be read.
    """
    from search.export.predict import list_names, predict_images
    from search.leaderboard import formatting

    predictions = predict_images(model, images, resize_mode=resize_mode)
    if text := _FORMATS[form or "table"](predictions, unsure):
        click.echo(text)
    if predictions.skipped:
        names = formatting.one_line(list_names(predictions.skipped))
        click.echo(f"Not read, since Pillow reads no such format: {names}", err=True)
    for file, reason in predictions.unreadable.items():
        click.secho(formatting.one_line(f"Cannot be read: {file} ({reason})"), err=True, fg="red")
    if predictions.unreadable:
        raise SystemExit(UNREADABLE_EXIT_CODE)


def _is_unsure(prediction: ImagePrediction, limit: float) -> bool:
    return prediction.probability < limit


def _table(predictions: ImagePredictions, limit: float) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from search.leaderboard import formatting
    from search.leaderboard.render_text import printed

    if not predictions.classified:
        return ""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Image", overflow="fold")
    table.add_column("Class", justify="right", no_wrap=True)
    table.add_column("Probability", justify="right", no_wrap=True)
    for prediction in predictions.classified:
        file = Text(formatting.one_line(prediction.file))
        name = Text(formatting.one_line(predictions.class_name(prediction.label)))
        name = Text("unsure: ").append(name) if _is_unsure(prediction, limit) else name
        table.add_row(file, name, _percent(prediction.probability))
    return printed(Console(highlight=False), [table]).rstrip()


def _percent(probability: float) -> str:
    """Returns a probability in percent; one below 1 is never shown as 100 %."""
    return "> 99.9 %" if 0.9995 <= probability < 1 else f"{100 * probability:.1f} %"


def _json(predictions: ImagePredictions, limit: float) -> str:
    import json

    entries = [
        {
            "file": prediction.file,
            "class": prediction.label,
            **({"name": predictions.class_name(prediction.label)} if predictions.class_names else {}),
            "probability": prediction.probability,
            "unsure": _is_unsure(prediction, limit),
            "probabilities": prediction.probabilities,
        }
        for prediction in predictions.classified
    ]
    return json.dumps(
        [*entries, *({"file": file, "error": reason} for file, reason in predictions.unreadable.items())], indent=2
    )


def _csv(predictions: ImagePredictions, limit: float) -> str:
    import csv
    import io

    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    has_names = bool(predictions.class_names)
    writer.writerow(["file", "class", "probability", *(["name"] if has_names else []), "unsure"])
    files = (
        prediction.file.encode(errors="backslashreplace").decode() for prediction in predictions.classified
    )  # names need not be UTF-8
    writer.writerows(
        [
            file,
            prediction.label,
            f"{prediction.probability:.6f}",
            *([predictions.class_name(prediction.label)] if has_names else []),
            "yes" if _is_unsure(prediction, limit) else "no",
        ]
        for file, prediction in zip(files, predictions.classified, strict=True)
    )
    return lines.getvalue().rstrip("\n")


_FORMATS = {"table": _table, "json": _json, "csv": _csv}
