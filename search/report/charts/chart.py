"""What the charts share: the chart as a value, traces, axes, labels and numbers.

A figure is Plotly's JSON as plain values. Plotly reads HTML in texts, so names go through ``escape_label``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.leaderboard import formatting
from search.leaderboard.board import Row
from search.report.chart_data import MIN_PLOTTED_ERROR_PERCENT, TrialPoint
from search.report.colors import MUTED_COLOR, TEXT_COLOR

Figure = dict[str, Any]
"""``data`` and ``layout``, as Plotly takes them."""
Trace = dict[str, Any]

HOVER_TEXT_KEY = "hovertext"
MAX_LABEL_CHARS = 30
"""Characters of a name on an axis or in a legend."""
STOPPED_SYMBOL, SHORT_SYMBOL = "x-thin", "cross-thin"
"""Plotly's symbols of trials that were stopped early, and of short trials."""
TICK_STEPS: tuple[tuple[int, ...], ...] = (tuple(range(1, 10)), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Ticks of a decade on a logarithmic axis, from many to few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart, or the reason why there is none.

    Args:
        title: Heading.
        caption: What it shows and how to read it.
        figures: Figures by name; with several, the reader chooses one.
        height: In pixels.
        missing_reason: Why there is no figure; empty where there is one.
        is_wide: Whether it scrolls sideways on a narrow screen.
    """

    title: str
    caption: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    height: int = 340
    missing_reason: str = ""
    is_wide: bool = False


class StringTable:
    """Replaces hover texts in figures by indices into one list, which keeps the page small."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}

    @property
    def strings(self) -> list[str]:
        """The texts by index."""
        return list(self._indices)

    def intern(self, figures: Mapping[str, Figure]) -> dict[str, Figure]:
        """Returns the figures with indices for texts; the page's script reverses it."""
        return {
            name: {**figure, "data": [self._intern_trace(trace) for trace in figure["data"]]}
            for name, figure in figures.items()
        }

    def _intern_trace(self, trace: Trace) -> Trace:
        texts = trace.get(HOVER_TEXT_KEY)
        if texts is None:
            return dict(trace)
        return {**trace, HOVER_TEXT_KEY: self._index(texts) if isinstance(texts, str) else [*map(self._index, texts)]}

    def _index(self, text: str) -> int:
        return self._indices.setdefault(text, len(self._indices))


# Traces.


def trial_trace(
    points: Iterable[TrialPoint], x: Callable[[TrialPoint], float], marker: Mapping[str, Any], **more: Any
) -> Trace:
    """Returns trials as markers, by their validation errors.

    Args:
        points: The trials.
        x: Returns a trial's x value.
        marker: Plotly's marker.
        **more: Further keys of the trace.
    """
    points = list(points)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x(point) for point in points],
        "y": [round_significant(point.plotted_error_percent) for point in points],
        "hovertext": [hover_text(point.row) for point in points],
        "marker": marker,
        **more,
    }


def verified_trace(points: Iterable[TrialPoint], x: Callable[[TrialPoint], float], size: int = 13) -> Trace:
    """Returns circles around the verified trials."""
    trace = trial_trace((point for point in points if point.row.rank is not None), x, verified_marker(size))
    del trace[HOVER_TEXT_KEY]
    return {**trace, "hoverinfo": "skip"}


def verified_marker(size: int = 13) -> dict[str, Any]:
    """Returns the marker around verified trials."""
    return {"symbol": "circle-open", "size": size, "color": TEXT_COLOR, "line": {"width": 1.4}}


def dot_marker(color: str, *, size: float = 7, opacity: float = 0.9) -> dict[str, Any]:
    """Returns the marker of trials that were trained in full."""
    return {"size": size, "color": color, "opacity": opacity}


def cross_marker(color: str, *, symbol: str, size: float = 5.5, width: float = 1.4) -> dict[str, Any]:
    """Returns the marker of other trials: ``STOPPED_SYMBOL`` or ``SHORT_SYMBOL``."""
    return {"size": size, "color": color, "opacity": 0.55, "symbol": symbol, "line": {"width": width, "color": color}}


def step_trace(xs: Sequence[float], ys: Sequence[float], color: str, width: float) -> Trace:
    """Returns a line that falls in steps."""
    line = {"color": color, "width": width, "shape": "hv"}
    return {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": line, "hoverinfo": "skip"}


def legend_entry(name: str, **style: Any) -> Trace:
    """Returns a trace without points, which adds an entry to the legend."""
    return {"type": "scatter", "x": [None], "y": [None], "name": name, "showlegend": True, **style}


def baseline_layout(error_percent: float | None) -> dict[str, Any]:
    """Returns the parts of a layout that draw the baseline across a logarithmic error axis."""
    if not error_percent:
        return {}
    line = {"color": MUTED_COLOR, "width": 1.2, "dash": "dash"}
    label = {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "y": math.log10(error_percent),
        "yanchor": "bottom",
        "text": f"baseline {error_percent:.2f} %",
        "showarrow": False,
        "font": {"color": MUTED_COLOR, "size": 11},
    }
    shape = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": error_percent, "y1": error_percent, "line": line}
    return {"shapes": [shape], "annotations": [label]}


# Axes.


def log_axis(
    title: str, values: Iterable[float], *, span: tuple[float, float] | None = None, is_small: bool = False
) -> dict[str, Any]:
    """Returns a logarithmic axis with a few round ticks.

    Args:
        title: Name with the unit.
        values: The values drawn; those that are not positive are ignored.
        span: The range shown at first; None for all values.
        is_small: Whether to draw fewer ticks.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = span or (min(positive), max(positive))
    ticks = log_ticks(low, high, max_ticks=4 if is_small else 8)
    axis: dict[str, Any] = {
        "type": "log",
        "title": {"text": title},
        "tickvals": ticks,
        "ticktext": [format_tick(tick) for tick in ticks],
    }
    if span:
        axis["range"] = [round(math.log10(low), 4), round(math.log10(high), 4)]
    return axis


def error_range(
    errors: Sequence[float],
    baseline: float | None = None,
    *,
    share: float = 0.75,
    floor: float = MIN_PLOTTED_ERROR_PERCENT,
) -> tuple[float, float]:
    """Returns the range of errors to show at first, without outliers far above the baseline and most trials.

    Args:
        errors: In percent; at least one.
        baseline: The baseline's, in percent.
        share: Share of the trials shown at least, 0 to 1.
        floor: Smallest lower end.
    """
    ordered = sorted(errors)
    low = max(ordered[0], floor)
    upper = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    high = max(upper, baseline or 0.0, low * 1.3)
    return low / 1.15, high * 1.2


def log_ticks(low: float, high: float, *, max_ticks: int) -> list[float]:
    """Returns round figures between two ends, in the finest steps with at most ``max_ticks`` of them.

    Between ends that are more decades apart, as those of a loss that diverges, every so many decades have one.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in TICK_STEPS:
        ticks = [round_significant(step * 10.0**decade) for decade in decades for step in steps]
        inside = [tick for tick in ticks if low / 1.01 <= tick <= high * 1.01]
        if len(inside) <= max_ticks:
            break
    return inside[:: max(1, -(-len(inside) // max_ticks))]


# Texts and numbers.


def hover_text(row: Row) -> str:
    """Returns what is shown of a trial under the pointer."""
    lines = [
        f"<b>{escape_label(row.name, 60)}</b> · {escape_label(row.study.name, 60)}",
        f"{formatting.trial_state(row.state)}, {formatting.epochs(row.epochs)}, {formatting.duration(row.seconds)}",
        *(
            [f"validation error {row.validation_error_percent:.2f} %"]
            if row.validation_error_percent is not None
            else []
        ),
        *([f"test error {formatting.error_estimate(row.test_error)} %"] if row.test_error else []),
        *([f"{row.parameters:,} parameters"] if row.parameters else []),
        *([escape_label(lineage, 120)] if (lineage := formatting.lineage(row)) else []),
    ]
    return "<br>".join(lines)


def escape_label(text: object, longest: int = MAX_LABEL_CHARS) -> str:
    """Returns a name that Plotly shows literally, cut where it is too long."""
    whole = formatting.one_line(text)
    return html.escape(whole if len(whole) <= longest else f"{whole[: longest - 1]}…", quote=False)


def round_significant(value: float, digits: int = 5) -> float:
    """Returns a figure with this many significant digits, which keeps the page small."""
    return float(f"{value:.{digits}g}")


def format_tick(value: float) -> str:
    """Returns a tick's text: "0.5", "20", "2k", "1M"."""
    if value >= 10_000:
        return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k"
    return f"{value:,g}" if value >= 1000 else f"{value:g}"
