"""Texts: what the pointer shows of a trial, kept once for all the charts that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.report.charts.chart import Figure

KEY = "hovertext"


class Texts:
    """Takes the texts out of figures and puts their places in a common list there instead."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    @property
    def all(self) -> list[str]:
        """The texts by place."""
        return list(self._places)

    def taken_out(self, views: Mapping[str, Figure]) -> dict[str, Figure]:
        """Returns the figures with numbers for texts, to be put back in the browser."""
        return {
            name: {**view, "data": [self._without(trace) for trace in view["data"]]} for name, view in views.items()
        }

    def _without(self, trace: Mapping[str, Any]) -> dict[str, Any]:
        texts = trace.get(KEY)
        if texts is None:
            return dict(trace)
        return {**trace, KEY: self._place(texts) if isinstance(texts, str) else [*map(self._place, texts)]}

    def _place(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))
