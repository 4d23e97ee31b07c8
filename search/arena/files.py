"""The result of a tournament as files: what the command line writes to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from search.arena import plot, render
from search.arena.results import Result
from search.leaderboard.files import write

REPORTS: Mapping[str, Callable[[Result], str]] = MappingProxyType(
    {
        "arena.md": render.markdown,
        "arena.csv": render.to_csv,
        "arena.json": render.to_json,
        render.PICTURE: plot.svg,
    }
)
"""File names to what writes them."""


def write_reports(result: Result, folder: Path) -> list[Path]:
    """Writes the result in every format made for files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORTS]
    for path, draw in zip(paths, REPORTS.values(), strict=True):
        write(path, draw(result))
    return paths
