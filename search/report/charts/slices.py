"""Slices: validation error against each parameter by itself, a small chart each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.report.chart_data import StudyPoints, TrialPoint
from search.report.charts.axis import ParameterAxis, searched_axes
from search.report.charts.chart import (
    Chart,
    Figure,
    error_range,
    escape_label,
    hover_text,
    log_axis,
    round_significant,
    verified_marker,
)

TITLE = "Error against each parameter"
CAPTION = (
    "Validation error, %, of every search trial in which the parameter counts: a dot where it was trained in full, "
    "a cross where it was stopped early, a circle around those that were then verified."
)
HEIGHT = 200


def charts(
    study: StudyPoints, points: Sequence[TrialPoint], shares: Mapping[str, float], colour: str
) -> tuple[Chart, ...]:
    """Returns a chart for each parameter that was searched, the important ones first.

    Args:
        study: The study.
        points: Those of its trials that are drawn.
        shares: Importances of its parameters, the largest first; empty where none are known.
        colour: Of the dots.
    """
    return tuple(
        Chart(title=axis.name, figures={"trials": _figure(axis, study, points, colour)}, height=HEIGHT)
        for axis in searched_axes(study, tuple(shares))
    )


def _figure(axis: ParameterAxis, study: StudyPoints, points: Sequence[TrialPoint], colour: str) -> Figure:
    span = error_range([point.error_percent for point in points], study.baseline_error_percent)
    counting = [point for point in points if axis.value(point.row) is not None]
    markers: tuple[tuple[bool, dict[str, Any]], ...] = (
        (False, {"size": 5, "symbol": "x-thin", "opacity": 0.6, "line": {"width": 1.2, "color": colour}}),
        (True, {"size": 6, "color": colour, "opacity": 0.85}),
    )
    data = [_scatter(axis, [one for one in counting if one.is_complete is full], marker) for full, marker in markers]
    verified = _scatter(axis, [point for point in counting if point.row.rank is not None], verified_marker(11))
    verified = {name: value for name, value in verified.items() if not name.startswith("hover")}
    layout = {
        "xaxis": _value_axis(axis),
        "yaxis": {**log_axis("", [], span=span, is_small=True), "title": None},
        "showlegend": False,
        "margin": {"l": 30, "r": 8, "t": 6, "b": 24},
    }
    return {"data": [*data, {**verified, "hoverinfo": "skip"}], "layout": layout}


def _scatter(axis: ParameterAxis, points: list[TrialPoint], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_x_position(axis, point) for point in points],
        "y": [round_significant(point.plotted_error_percent) for point in points],
        "hovertext": [hover_text(point.row) for point in points],
        "hovertemplate": f"%{{hovertext}}<br>{escape_label(axis.name)}: %{{customdata}}<extra></extra>",
        "customdata": [axis.format_value(axis.value(point.row)) for point in points],
        "marker": marker,
    }


def _x_position(axis: ParameterAxis, point: TrialPoint) -> float:
    """Returns where a point lies: the value, or which one of few it is, there a little aside of its neighbours."""
    value = axis.value(point.row)
    if not axis.discrete_values:
        return float(value)
    jitter = (point.row.trial or 0) * 0.618034 % 1 - 0.5
    return round(axis.discrete_values.index(value) + 0.36 * jitter, 3)


def _value_axis(axis: ParameterAxis) -> dict[str, Any]:
    low, high = axis.bounds
    if axis.discrete_values:
        names = [axis.format_value(value, longest=9).replace("_", "<br>") for value in axis.discrete_values]
        font = {"size": 10.5 if len(names) > 3 else 11.5}
        ends = [-0.5, len(names) - 0.5]
        return {"tickvals": [*range(len(names))], "ticktext": names, "range": ends, "zeroline": False, "tickfont": font}
    if axis.is_log:
        return log_axis("", (low, high), span=(low / 1.15, high * 1.15), is_small=True) | {"title": None}
    room = 0.04 * (high - low)
    return {"nticks": 6, "zeroline": False, "range": [low - room, high + room]}
