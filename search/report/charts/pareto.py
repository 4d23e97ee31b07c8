"""Pareto fronts: validation error against a configuration's parameters and seconds of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from search.leaderboard import formatting
from search.leaderboard.board import Row
from search.report.chart_data import StudyPoints, TrialPoint, leading_points
from search.report.charts.chart import (
    Chart,
    Figure,
    Trace,
    baseline_layout,
    dot_marker,
    error_range,
    escape_label,
    legend_entry,
    log_axis,
    round_significant,
    step_trace,
    trial_trace,
    verified_marker,
    verified_trace,
)
from search.report.colors import TEXT_COLOR

TITLE = "Error against size and time"
MAX_POINTS = 2000
"""Trials drawn."""
Cost = Callable[[Row], float | None]
FIGURES: Mapping[str, tuple[str, Cost]] = MappingProxyType(
    {
        "parameters": ("Trainable parameters", lambda row: row.parameters),
        "seconds": ("Seconds of training", lambda row: row.seconds),
    }
)
"""Titles of the x axis and costs, by name of the figure."""


def chart(studies: Sequence[StudyPoints], engine_colors: Mapping[str, str]) -> Chart:
    """Returns the chart of a section's studies.

    Args:
        studies: At least one.
        engine_colors: By engine.
    """
    drawn = [point for study in studies for point in leading_points(study, len(studies), MAX_POINTS)]
    points = [point for point in drawn if point.is_complete]
    figures = {
        name: _figure([point for point in points if cost(point.row)], engine_colors, title, cost)
        for name, (title, cost) in FIGURES.items()
        if any(cost(point.row) for point in points)
    }
    if not figures:
        return Chart(title=TITLE, missing_reason="No search trial was trained in full.")
    caption = (
        "Search trials that were trained in full. No other trial is better in both figures than those on the line; a "
        "circle marks verified trials."
    )
    return Chart(title=TITLE, caption=caption, figures=figures, height=380)


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the pairs that no other dominates, by the first figure; of equal ones the first."""
    front: list[tuple[float, float]] = []
    for pair in sorted(costs):
        if not front or pair[1] < front[-1][1]:
            front.append(pair)
    return front


def _figure(points: Sequence[TrialPoint], engine_colors: Mapping[str, str], title: str, cost: Cost) -> Figure:
    def x(point: TrialPoint) -> float:
        return round_significant(cost(point.row) or 0.0, 8)

    front = pareto_front([(x(point), point.plotted_error_percent) for point in points])
    names = sorted({formatting.engine_label(point.row.study) for point in points})
    data = [
        trial_trace(
            (point for point in points if formatting.engine_label(point.row.study) == name),
            x,
            dot_marker(engine_colors[name]),
        )
        for name in names
    ]
    data.append(step_trace([size for size, _ in front], [error for _, error in front], TEXT_COLOR, 1.2))
    data.append(verified_trace(points, x))
    baselines = {point.error_percent for point in points if point.row.is_baseline}
    baseline = baselines.pop() if len(baselines) == 1 else None
    errors = [point.error_percent for point in points]
    layout = {
        "xaxis": log_axis(title, map(x, points)),
        "yaxis": log_axis("Validation error, %", errors, span=error_range(errors, baseline, share=0.9)),
        **baseline_layout(baseline),
    }
    return {"data": [*data, *_legend(names, engine_colors)], "layout": layout}


def _legend(names: Sequence[str], engine_colors: Mapping[str, str]) -> list[Trace]:
    return [
        *(
            legend_entry(escape_label(name), mode="markers", marker={"size": 7, "color": engine_colors[name]})
            for name in names
        ),
        legend_entry("Pareto front", mode="lines", line={"color": TEXT_COLOR, "width": 1.2}),
        legend_entry("verified", mode="markers", marker=verified_marker()),
    ]
