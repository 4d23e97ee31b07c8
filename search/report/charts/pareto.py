"""Pareto fronts: validation error against what a configuration costs, in parameters and in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from search.leaderboard.board import Row
from search.report import colors
from search.report.chart_data import StudyPoints, TrialPoint, leading_points
from search.report.charts.chart import (
    Chart,
    Figure,
    baseline_layout,
    error_range,
    escape_label,
    hover_text,
    legend_entry,
    log_axis,
    round_significant,
    verified_marker,
)

TITLE = "Error against size and time"
MAX_POINTS = 2000
"""Trials that are drawn."""
Cost = Callable[[Row], float | None]
FIGURES: Mapping[str, tuple[str, Cost]] = MappingProxyType(
    {
        "parameters": ("Trainable parameters", lambda row: row.parameters),
        "seconds": ("Seconds of training", lambda row: row.seconds),
    }
)
"""What can be drawn: the axis, and what a row says of it."""


def chart(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> Chart:
    """Returns the chart of the studies of a section.

    Args:
        studies: At least one.
        colours: By engine.
    """
    drawn = [point for study in studies for point in leading_points(study, len(studies), MAX_POINTS)]
    points = [point for point in drawn if point.is_complete]
    views = {
        name: _figure(points, colours, title, cost)
        for name, (title, cost) in FIGURES.items()
        if any(cost(point.row) for point in points)
    }
    if not views:
        return Chart(title=TITLE, missing_reason="No search trial was trained in full.")
    caption = (
        "Search trials that were trained in full. Those on the line are the ones that no other beats in both; a circle "
        "marks those that were then verified on the test images."
    )
    return Chart(title=TITLE, caption=caption, figures=views, height=380)


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the pairs that no other is at most equal to in both figures, by the first; of equal ones the first."""
    best: list[tuple[float, float]] = []
    for pair in sorted(costs):
        if not best or pair[1] < best[-1][1]:
            best.append(pair)
    return best


def _figure(points: Sequence[TrialPoint], colours: Mapping[str, str], title: str, cost: Cost) -> Figure:
    costed = [(point, float(cost_value)) for point in points if (cost_value := cost(point.row))]
    line = pareto_front([(known, point.plotted_error_percent) for point, known in costed])
    names = sorted({colors.engine_key(point.row.study) for point, _ in costed})
    data: list[dict[str, Any]] = [
        _scatter([pair for pair in costed if colors.engine_key(pair[0].row.study) == name], colours[name])
        for name in names
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [round_significant(known, 8) for known, _ in line],
            "y": [error for _, error in line],
            "line": {"color": colors.TEXT_COLOR, "width": 1.2, "shape": "hv"},
            "hoverinfo": "skip",
        }
    )
    verified = [pair for pair in costed if pair[0].row.rank is not None]
    data.append({**_scatter(verified, colors.TEXT_COLOR), "hoverinfo": "skip", "marker": verified_marker()})
    baselines = {point.error_percent for point, _ in costed if point.row.is_baseline}
    baseline = baselines.pop() if len(baselines) == 1 else None
    errors = [point.error_percent for point, _ in costed]
    layout = {
        "xaxis": log_axis(title, [known for _, known in costed]),
        "yaxis": log_axis("Validation error, %", errors, span=error_range(errors, baseline, share=0.9)),
        **baseline_layout(baseline),
    }
    return {"data": [*data, *_legend(names, colours)], "layout": layout}


def _scatter(costed: Sequence[tuple[TrialPoint, float]], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round_significant(known, 8) for _, known in costed],
        "y": [round_significant(point.plotted_error_percent) for point, _ in costed],
        "hovertext": [hover_text(point.row) for point, _ in costed],
        "marker": {"size": 7, "color": colour, "opacity": 0.9},
    }


def _legend(names: Sequence[str], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        *(
            legend_entry(escape_label(name), mode="markers", marker={"size": 7, "color": colours[name]})
            for name in names
        ),
        legend_entry("not beaten in both", mode="lines", line={"color": colors.TEXT_COLOR, "width": 1.2}),
        legend_entry("verified", mode="markers", marker=verified_marker()),
    ]
