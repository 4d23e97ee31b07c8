"""The formats that a comparison can be shown in, by the name that ``--format`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from search.compare import export, render, render_csv, render_text
from search.compare.results import Comparison

FORMATS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {
        "table": render_text.to_text,
        "markdown": render.to_markdown,
        "csv": render_csv.to_csv,
        "json": export.to_json,
    }
)
