"""The formats that a comparison can be shown in, by the name that ``--format`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from search.comparison import render_csv, render_json, render_markdown, render_text
from search.comparison.results import Comparison

FORMATS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {
        "table": render_text.to_text,
        "markdown": render_markdown.to_markdown,
        "csv": render_csv.to_csv,
        "json": render_json.to_json,
    }
)
