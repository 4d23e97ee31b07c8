"""Texts: what the pointer shows of a trial, kept once for all the charts that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.report.charts.chart import Figure

HOVER_TEXT_KEY = "hovertext"


class StringTable:
    """Takes the texts out of figures and puts their places in a common list there instead."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}

    @property
    def strings(self) -> list[str]:
        """The texts by place."""
        return list(self._indices)

    def intern(self, views: Mapping[str, Figure]) -> dict[str, Figure]:
        """Returns the figures with numbers for texts, to be put back in the browser."""
        return {
            name: {**view, "data": [self._intern_trace(trace) for trace in view["data"]]}
            for name, view in views.items()
        }

    def _intern_trace(self, trace: Mapping[str, Any]) -> dict[str, Any]:
        texts = trace.get(HOVER_TEXT_KEY)
        if texts is None:
            return dict(trace)
        return {**trace, HOVER_TEXT_KEY: self._index(texts) if isinstance(texts, str) else [*map(self._index, texts)]}

    def _index(self, text: str) -> int:
        return self._indices.setdefault(text, len(self._indices))
