"""Pareto fronts: validation error against what a configuration costs, in parameters and in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from search.leaderboard.board import Row
from search.report import palette
from search.report.charts.chart import (
    Chart,
    Figure,
    baseline_line,
    error_span,
    hover,
    label,
    legend_entry,
    log_axis,
    ring,
    rounded,
)
from search.report.points import Point, Searched, first

TITLE = "Error against size and time"
MOST = 2000
"""Trials that are drawn."""
Cost = Callable[[Row], float | None]
VIEWS: Mapping[str, tuple[str, Cost]] = MappingProxyType(
    {
        "parameters": ("Trainable parameters", lambda row: row.parameters),
        "seconds": ("Seconds of training", lambda row: row.seconds),
    }
)
"""What can be drawn: the axis, and what a row says of it."""


def chart(studies: Sequence[Searched], colours: Mapping[str, str]) -> Chart:
    """Returns the chart of the studies of a section.

    Args:
        studies: At least one.
        colours: By engine.
    """
    drawn = [point for study in studies for point in first(study, len(studies), MOST)]
    points = [point for point in drawn if point.is_complete]
    views = {
        name: _figure(points, colours, title, cost)
        for name, (title, cost) in VIEWS.items()
        if any(cost(point.row) for point in points)
    }
    if not views:
        return Chart(title=TITLE, missing="No search trial was trained in full.")
    caption = (
        "Search trials that were trained in full. Those on the line are the ones that no other beats in both; a circle "
        "marks those that were then verified on the test images."
    )
    return Chart(title=TITLE, caption=caption, views=views, height=380)


def front(costs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the pairs that no other is at most equal to in both figures, by the first; of equal ones the first."""
    best: list[tuple[float, float]] = []
    for pair in sorted(costs):
        if not best or pair[1] < best[-1][1]:
            best.append(pair)
    return best


def _figure(points: Sequence[Point], colours: Mapping[str, str], title: str, cost: Cost) -> Figure:
    costed = [(point, float(known)) for point in points if (known := cost(point.row))]
    line = front([(known, point.height) for point, known in costed])
    names = sorted({palette.engine(point.row.study) for point, _ in costed})
    data: list[dict[str, Any]] = [
        _dots([pair for pair in costed if palette.engine(pair[0].row.study) == name], colours[name]) for name in names
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [rounded(known, 8) for known, _ in line],
            "y": [error for _, error in line],
            "line": {"color": palette.INK, "width": 1.2, "shape": "hv"},
            "hoverinfo": "skip",
        }
    )
    verified = [pair for pair in costed if pair[0].row.rank is not None]
    data.append({**_dots(verified, palette.INK), "hoverinfo": "skip", "marker": ring()})
    baselines = {point.error_percent for point, _ in costed if point.row.is_baseline}
    baseline = baselines.pop() if len(baselines) == 1 else None
    errors = [point.error_percent for point, _ in costed]
    layout = {
        "xaxis": log_axis(title, [known for _, known in costed]),
        "yaxis": log_axis("Validation error, %", errors, span=error_span(errors, baseline, share=0.9)),
        **baseline_line(baseline),
    }
    return {"data": [*data, *_legend(names, colours)], "layout": layout}


def _dots(costed: Sequence[tuple[Point, float]], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(known, 8) for _, known in costed],
        "y": [rounded(point.height) for point, _ in costed],
        "hovertext": [hover(point.row) for point, _ in costed],
        "marker": {"size": 7, "color": colour, "opacity": 0.9},
    }


def _legend(names: Sequence[str], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        *(legend_entry(label(name), mode="markers", marker={"size": 7, "color": colours[name]}) for name in names),
        legend_entry("not beaten in both", mode="lines", line={"color": palette.INK, "width": 1.2}),
        legend_entry("verified", mode="markers", marker=ring()),
    ]
