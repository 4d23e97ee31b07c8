"""Chart: what every chart is, and how its axes, names and numbers are written.

A figure is Plotly's own JSON as plain values. Plotly reads some HTML in texts, so names go through ``label``.

Texts: what the pointer shows of a trial, kept once for all the charts that show it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.leaderboard import formatting
from search.leaderboard.board import UNFINISHED, Row
from search.report.chart_data import MIN_PLOTTED_ERROR_PERCENT
from search.report.colors import MUTED_COLOR, TEXT_COLOR

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


Figure = dict[str, Any]
"""``data`` and ``layout``, as Plotly takes them."""

MAX_LABEL_CHARS = 30
"""Characters of a name that an axis or a legend has room for."""
TICK_STEPS: tuple[tuple[int, ...], ...] = (tuple(range(1, 10)), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Ticks of a decade on a logarithmic axis, from many to few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart, or why there is none.

    Args:
        title: Its heading.
        caption: What it shows and how to read it.
        figures: Its figures by name; several are offered one at a time.
        height: In pixels.
        missing_reason: Why there is no figure; empty where there is one.
        is_wide: Whether it needs room: on a narrow screen it scrolls by itself.
    """

    title: str
    caption: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    height: int = 340
    missing_reason: str = ""
    is_wide: bool = False


def escape_label(text: object, longest: int = MAX_LABEL_CHARS) -> str:
    """Returns a name as Plotly shows it letter by letter, cut where it is long."""
    whole = formatting.one_line(text)
    return html.escape(whole if len(whole) <= longest else f"{whole[: longest - 1]}…", quote=False)


def hover_text(row: Row, *more: str) -> str:
    """Returns what is shown of a trial that the pointer is on.

    Args:
        row: The trial's.
        *more: Further lines, escaped.
    """
    state = row.state.value if row.state else UNFINISHED
    cost = f"{row.epochs} epochs, {formatting.duration(row.seconds)}"
    lines = [
        f"<b>{escape_label(row.name, 60)}</b> · {escape_label(row.study.name, 60)}",
        f"{state} after {cost}",
        *(
            [f"validation error {row.validation_error_percent:.2f} %"]
            if row.validation_error_percent is not None
            else []
        ),
        *([f"test error {formatting.estimate(row.test_error)} %"] if row.test_error else []),
        *([f"{row.parameters:,} parameters"] if row.parameters else []),
        *more,
    ]
    return "<br>".join(lines)


def log_axis(
    title: str, values: Iterable[float], *, span: tuple[float, float] | None = None, is_small: bool = False
) -> dict[str, Any]:
    """Returns a logarithmic axis with a few round ticks.

    Args:
        title: Its name, with the unit.
        values: What is drawn; zero and less cannot be, and are passed over.
        span: The part that is shown at first; None for all of it.
        is_small: Whether there is room for few ticks only.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = span or (min(positive), max(positive))
    marks = log_ticks(low, high, max_ticks=4 if is_small else 8)
    axis: dict[str, Any] = {
        "type": "log",
        "title": {"text": title},
        "tickvals": marks,
        "ticktext": [format_tick(mark) for mark in marks],
    }
    if span:
        axis["range"] = [round(math.log10(low), 4), round(math.log10(high), 4)]
    return axis


def linear_axis(title: str) -> dict[str, Any]:
    """Returns a linear axis that begins at 0."""
    return {"title": {"text": title}, "rangemode": "tozero", "zeroline": False}


def error_range(errors: Sequence[float], baseline: float | None, *, share: float = 0.75) -> tuple[float, float]:
    """Returns the errors to show at first: what lies far above the baseline and most trials would flatten the rest.

    Args:
        errors: In percent; at least one.
        baseline: The baseline's, in percent.
        share: Of the trials that are shown, 0 to 1.
    """
    ordered = sorted(errors)
    low = max(ordered[0], MIN_PLOTTED_ERROR_PERCENT)
    upper = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    high = max(upper, baseline or 0.0, low * 1.3)
    return low / 1.15, high * 1.2


def baseline_layout(error_percent: float | None) -> dict[str, Any]:
    """Returns the parts of a layout that draw the baseline across a logarithmic error axis."""
    if not error_percent:
        return {}
    line = {"color": MUTED_COLOR, "width": 1.2, "dash": "dash"}
    return {
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": error_percent, "y1": error_percent, "line": line}
        ],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": math.log10(error_percent),
                "yanchor": "bottom",
                "text": f"baseline {error_percent:.2f} %",
                "showarrow": False,
                "font": {"color": MUTED_COLOR, "size": 11},
            }
        ],
    }


def legend_entry(name: str, **style: Any) -> dict[str, Any]:
    """Returns a trace without points that stands in the legend alone."""
    return {"type": "scatter", "x": [None], "y": [None], "name": name, "showlegend": True, **style}


def verified_marker(size: int = 13) -> dict[str, Any]:
    """Returns the marker around verified trials."""
    return {"symbol": "circle-open", "size": size, "color": TEXT_COLOR, "line": {"width": 1.4}}


def round_significant(value: float, digits: int = 5) -> float:
    """Returns a figure with so many significant digits; a page that holds thousands stays small by it."""
    return float(f"{value:.{digits}g}")


def format_tick(value: float) -> str:
    """Returns a tick's text: "0.5", "20", "2k", "1M"."""
    if value >= 10_000:
        return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k"
    return f"{value:,g}" if value >= 1000 else f"{value:g}"


def log_ticks(low: float, high: float, *, max_ticks: int) -> list[float]:
    """Returns the round figures between two ends, in the finest steps that give no more than ``max_ticks`` of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in TICK_STEPS:
        every = [round_significant(step * 10.0**decade) for decade in decades for step in steps]
        inside = [tick for tick in every if low / 1.01 <= tick <= high * 1.01]
        if len(inside) <= max_ticks:
            break
    return inside
