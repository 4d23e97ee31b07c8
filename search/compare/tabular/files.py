"""The result of a tournament as files: what the command line writes to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from search.compare.tabular import plot, render
from search.compare.tabular.results import TabularComparison
from search.files import write_atomic

REPORTS: Mapping[str, Callable[[TabularComparison], str]] = MappingProxyType(
    {
        "arena.md": render.to_markdown,
        "arena.csv": render.to_csv,
        "arena.json": render.to_json,
        render.PLOT_FILE: plot.to_svg,
    }
)
"""File names to what writes them."""


def write_reports(result: TabularComparison, folder: Path) -> list[Path]:
    """Writes the result in every format made for files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORTS]
    for path, render_result in zip(paths, REPORTS.values(), strict=True):
        write_atomic(path, render_result(result), what="comparison")
    return paths
