"""``data``: look at a data set, and at what a split makes of it, before anything is searched.

Opens the labels of the test images to count them, never the images.
"""

from __future__ import annotations

from pathlib import Path

import click

from search.protocol import Split


@click.group()
def command() -> None:
    """Look at a data set before searching on it."""


@command.command()
@click.option(
    "--dataset",
    default="mnist",
    show_default=True,
    metavar="NAME|PATH",
    help="mnist, fashion_mnist, cifar10, a .npz file, or a folder of IDX files.",
)
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    help="How validation images are drawn.  [default: the most honest that the data allow]",
)
@click.option("--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of that draw.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where decompressed data sets are kept.")
@click.option("--out", type=click.Path(path_type=Path), help="Also draw the first four training images as a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(
    dataset: str, split: str | None, split_seed: int, cache_dir: Path | None, out: Path | None, as_json: bool
) -> None:
    """Show a data set: its size, its classes, its first images, and which image trains and which judges."""
    import json

    from rich.console import Console

    from search.cli import data_view, image_grid
    from search.data.dataset import open_training, prepare
    from search.data.split import default_split

    info = prepare(dataset, cache_dir)
    training = open_training(info)
    view = data_view.summarize_dataset(
        info, training, split=Split(split) if split else default_split(info), seed=split_seed
    )
    if out:
        image_grid.save_grid(training, out)
    if as_json:
        click.echo(json.dumps(view.to_json(), indent=2))
        return
    console = Console(highlight=False)
    data_view.print_summary(view, console)
    image_grid.print_images(training, console)
