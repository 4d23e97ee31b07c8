"""``data``: shows a data set and how a split divides it. Opens the labels of the test images only."""

from __future__ import annotations

from pathlib import Path

import click

from search.protocol import Split


@click.group()
def command() -> None:
    """Inspect a data set before searching on it."""


@command.command()
@click.option(
    "--dataset",
    default="mnist",
    show_default=True,
    metavar="NAME|PATH",
    help="mnist, fashion_mnist, cifar10, or the path of a file or folder.",
)
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    help="How validation images are drawn.  [default: by data set]",
)
@click.option("--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of that draw.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Folder of decompressed data sets.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the first four training images as a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(
    dataset: str, split: str | None, split_seed: int, cache_dir: Path | None, out: Path | None, as_json: bool
) -> None:
    """Show a data set: size, classes, first images, and which images train, validate and test."""
    import json

    from rich.console import Console

    from search.cli.data_view import print_images, print_summary, save_grid, summarize_dataset
    from search.data.dataset import open_training, prepare
    from search.data.split import default_split

    info = prepare(dataset, cache_dir)
    training = open_training(info)
    summary = summarize_dataset(info, training, split=Split(split) if split else default_split(info), seed=split_seed)
    if out:
        save_grid(training, out)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    console = Console(highlight=False)
    print_summary(summary, console)
    print_images(training, console)
