"""The formats that a comparison can be shown in, by the name that ``--format`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from search.comparison import render_csv, render_json, render_markdown, render_text
from search.comparison.results import Comparison

FORMATS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {
        "table": render_text.render,
        "markdown": render_markdown.render,
        "csv": render_csv.render,
        "json": render_json.render,
    }
)
