"""``data``: shows a data set, how it is read and how a split divides it; and converts it into one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import READ_OPTIONS, FilePath, setting_options
from search.protocol import Split

if TYPE_CHECKING:
    from search.session.settings import Settings


@click.group()
def command() -> None:
    """Inspect or convert a data set before searching on it."""


@command.command()
@click.argument("path", required=False, metavar="[NAME|PATH]")
@click.option(
    "--dataset",
    metavar="NAME|PATH",
    help="The same as an option: mnist, fashion_mnist, cifar10, or the path of a file or folder.  [default: mnist]",
)
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    help="How validation images are drawn.  [default: by data set]",
)
@click.option("--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of that draw.")
@setting_options("folds", *READ_OPTIONS)
@click.option("--cache-dir", type=FilePath(), help="Folder of decompressed data sets.")
@click.option("--out", type=FilePath(), help="Also write the first four training images as a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(
    path: str | None,
    dataset: str | None,
    split: str | None,
    split_seed: int,
    cache_dir: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show a data set: how it is read, its classes, first images, and which images train, validate and test.

    Says how many test images equal training images, the error of always predicting the largest class, how much one
    validation image counts, and which classes have fewer images than there are folds.
    """
    import json

    from rich.console import Console

    from search.cli.data_view import print_images, print_summary, save_grid, summarize_dataset
    from search.data.dataset import open_training, prepare
    from search.data.split import default_split
    from search.errors import UserError

    if path is not None and dataset is not None:
        raise UserError(f"One data set is shown at a time. Received: {path!r} and --dataset {dataset!r}.")
    settings = _settings(options)
    info, folds = prepare(path or dataset or "mnist", cache_dir, settings.read_options), settings.folds or 1
    training = open_training(info)
    chosen = Split(split) if split else default_split(info, folds)
    summary = summarize_dataset(info, training, split=chosen, seed=split_seed, folds=folds)
    if out:
        save_grid(info, training, out)
        click.echo(f"Wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    console = Console(highlight=False)
    print_summary(summary, console)
    print_images(info, training, console)


@command.command()
@click.argument("source", metavar="NAME|PATH")
@click.argument("out", type=FilePath(), metavar="OUT.npz")
@setting_options(*READ_OPTIONS)
def convert(source: str, out: Path, **options: Any) -> None:
    """Write a data set of any form as one .npz file, in the form in which it would be searched on.

    The file is the same data set: studies of both have one hash and are ranked together.
    """
    from search.data.convert import convert as convert_dataset

    converted = convert_dataset(source, out, _settings(options).read_options)
    for line in converted.reading:
        click.echo(line)
    click.echo(f"Written: {out}, sha256 {converted.sha256}")


def _settings(options: dict[str, Any]) -> Settings:
    from search.cli.options import merge_options
    from search.session.settings import from_mapping

    return from_mapping(merge_options(options))
