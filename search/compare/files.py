"""The comparison as files: what the command line writes to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from search.compare import plot
from search.compare.formats import FORMATS
from search.compare.render import PLOT_FILE
from search.compare.results import Comparison
from search.files import write_atomic

REPORTS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {
        "comparison.md": FORMATS["markdown"],
        "comparison.csv": FORMATS["csv"],
        "comparison.json": FORMATS["json"],
        PLOT_FILE: plot.to_svg,
    }
)
"""File names to what fills them."""


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the comparison in every format made for files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORTS]
    for path, render_comparison in zip(paths, REPORTS.values(), strict=True):
        write_atomic(path, render_comparison(comparison), what="comparison")
    return paths
