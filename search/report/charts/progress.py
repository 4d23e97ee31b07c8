"""Error against cost: every search trial when it ended, and the best so far, by minutes and by epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.records.curves import CurvePoint as Best
from search.records.curves import best_error_curve
from search.report import colors
from search.report.chart_data import MIN_PLOTTED_ERROR_PERCENT, StudyPoints, TrialPoint, leading_points
from search.report.charts.chart import (
    Chart,
    Figure,
    baseline_layout,
    error_range,
    escape_label,
    hover_text,
    legend_entry,
    linear_axis,
    log_axis,
    round_significant,
    verified_marker,
)

TITLE = "Error against cost"
MAX_POINTS = 2000
"""Trials that are drawn; the lines tell of all."""


def chart(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> Chart:
    """Returns the chart of the studies of a section.

    Args:
        studies: At least one.
        colours: By engine.
    """
    if not any(study.points for study in studies):
        return Chart(title=TITLE, missing_reason="No search trial has a validation error.")
    views = {}
    if all(point.minutes is not None for study in studies for point in study.points):
        views["minutes"] = _figure(
            studies, colours, "Minutes of search", lambda one: one.minutes or 0.0, lambda best: best.seconds / 60
        )
    views["epochs"] = _figure(
        studies, colours, "Epochs trained", lambda one: float(one.epochs), lambda best: float(best.epochs)
    )
    return Chart(title=TITLE, caption=_caption(studies), figures=views, height=380)


def _caption(studies: Sequence[StudyPoints]) -> str:
    high = _span(studies)[1]
    drawn = [point for study in studies for point in leading_points(study, len(studies), MAX_POINTS)]
    above = sum(point.error_percent > high for point in drawn)
    above_note = f" {above:,} of them lie above; a double click shows all." if above else ""
    left_out = sum(len(study.points) for study in studies) - len(drawn)
    more = f" {left_out:,} trials further down the board are left out." if left_out else ""
    return (
        "Every search trial with a validation error, at the moment it ended. The line is the least error so far of the "
        "trials that were trained in full; a circle marks those that were then verified on the test "
        f"images.{above_note}{more}"
    )


def _span(studies: Sequence[StudyPoints]) -> tuple[float, float]:
    errors = [point.error_percent for study in studies for point in study.points]
    return error_range(errors, _baseline(studies))


def _baseline(studies: Sequence[StudyPoints]) -> float | None:
    """Returns the studies' baseline where they share one; several lines would say nothing."""
    baselines = {study.baseline_error_percent for study in studies if study.baseline_error_percent is not None}
    return baselines.pop() if len(baselines) == 1 else None


def _figure(
    studies: Sequence[StudyPoints],
    colours: Mapping[str, str],
    title: str,
    cost: Callable[[TrialPoint], float],
    best_cost: Callable[[Best], float],
) -> Figure:
    points = [point for study in studies for point in study.points]
    data: list[dict[str, Any]] = []
    for study in studies:
        colour = colours[colors.engine_key(study.header)]
        data += _scatter_traces(leading_points(study, len(studies), MAX_POINTS), colour, cost)
        best = best_error_curve(study.record)
        line = {"color": colour, "width": 2, "shape": "hv"}
        xs, ys = (
            [round_significant(best_cost(one)) for one in best],
            [max(one.error_percent, MIN_PLOTTED_ERROR_PERCENT) for one in best],
        )
        data.append({"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": line, "hoverinfo": "skip"})
    verified = [point for point in points if point.row.rank is not None]
    data.append(_verified(verified, cost))
    data += _legend(studies, colours)
    span = _span(studies)
    layout = {
        "xaxis": linear_axis(title),
        "yaxis": log_axis("Validation error, %", [point.error_percent for point in points], span=span),
        **baseline_layout(_baseline(studies)),
    }
    return {"data": data, "layout": layout}


def _scatter_traces(
    points: Sequence[TrialPoint], colour: str, cost: Callable[[TrialPoint], float]
) -> list[dict[str, Any]]:
    markers = {
        True: {"size": 7, "color": colour, "opacity": 0.9},
        False: {
            "size": 5.5,
            "color": colour,
            "opacity": 0.55,
            "symbol": "x-thin",
            "line": {"width": 1.4, "color": colour},
        },
    }
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [round_significant(cost(point)) for point in shown],
            "y": [round_significant(point.plotted_error_percent) for point in shown],
            "hovertext": [hover_text(point.row) for point in shown],
            "marker": marker,
        }
        for is_complete, marker in markers.items()
        if (shown := [point for point in points if point.is_complete is is_complete])
    ]


def _verified(points: Sequence[TrialPoint], cost: Callable[[TrialPoint], float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round_significant(cost(point)) for point in points],
        "y": [round_significant(point.plotted_error_percent) for point in points],
        "hoverinfo": "skip",
        "marker": verified_marker(),
    }


def _legend(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    names = sorted({colors.engine_key(study.header) for study in studies})
    lines = [
        legend_entry(f"{escape_label(name)}, best so far", mode="lines", line={"color": colours[name], "width": 2})
        for name in names
    ]
    colour = colours[names[0]] if len(names) == 1 else colors.MUTED_COLOR
    thin = {"symbol": "x-thin", "size": 6, "color": colour, "line": {"width": 1.4, "color": colour}}
    return [
        *lines,
        legend_entry("trained in full", mode="markers", marker={"size": 7, "color": colour}),
        legend_entry("stopped early", mode="markers", marker=thin),
        legend_entry("verified", mode="markers", marker=verified_marker()),
    ]
