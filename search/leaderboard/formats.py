"""The formats that a board can be shown in, by the name that ``--format`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from search.leaderboard import render_csv, render_json, render_markdown, render_text
from search.leaderboard.board import Board

FORMATS: Mapping[str, Callable[[Board], str]] = MappingProxyType(
    {
        "table": render_text.render,
        "details": render_text.render_details,
        "markdown": render_markdown.render,
        "csv": render_csv.render,
        "json": render_json.render,
    }
)
