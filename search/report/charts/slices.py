"""Slices: validation error against each parameter, a small chart each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.report.chart_data import StudyPoints, TrialPoint
from search.report.charts.axis import ParameterAxis, jitter, searched_axes
from search.report.charts.chart import (
    SHORT_SYMBOL,
    STOPPED_SYMBOL,
    Chart,
    Figure,
    cross_marker,
    dot_marker,
    error_range,
    escape_label,
    log_axis,
    trial_trace,
    verified_trace,
)

TITLE = "Error against each parameter"
CAPTION = (
    "Validation error, %, of every search trial in which the parameter is active: a dot for trials that were trained "
    "in full, a cross (x) for those that were stopped early, a plus (+) for short ones, whose errors compare with "
    "each other alone, a circle around verified ones."
)
HEIGHT = 200


def charts(
    study: StudyPoints, points: Sequence[TrialPoint], shares: Mapping[str, float], color: str
) -> tuple[Chart, ...]:
    """Returns a chart for each parameter that was searched, the important ones first.

    Args:
        study: The study.
        points: The trials to draw.
        shares: Importances of the parameters, the largest first; empty where they are not known.
        color: Of the dots.
    """
    return tuple(
        Chart(title=axis.name, figures={"trials": _figure(axis, study, points, color)}, height=HEIGHT)
        for axis in searched_axes(study, tuple(shares))
    )


def _figure(axis: ParameterAxis, study: StudyPoints, points: Sequence[TrialPoint], color: str) -> Figure:
    def x(point: TrialPoint) -> float:
        """Returns the value, or the index of one of few values, there a little beside its neighbours."""
        value = axis.value(point.row)
        if not axis.discrete_values:
            return float(value)
        return round(axis.discrete_values.index(value) + 0.36 * jitter(point), 3)

    span = error_range([point.error_percent for point in points], study.baseline_error_percent)
    active = [point for point in points if axis.value(point.row) is not None]
    groups = (
        (
            [point for point in active if point.row.is_short],
            cross_marker(color, symbol=SHORT_SYMBOL, size=5, width=1.2),
        ),
        (
            [point for point in active if point.is_stopped_early],
            cross_marker(color, symbol=STOPPED_SYMBOL, size=5, width=1.2),
        ),
        ([point for point in active if point.is_complete], dot_marker(color, size=6, opacity=0.85)),
    )
    template = f"%{{hovertext}}<br>{escape_label(axis.name)}: %{{customdata}}<extra></extra>"
    data = []
    for shown, marker in groups:
        values = [axis.format_value(axis.value(point.row)) for point in shown]
        data.append(trial_trace(shown, x, marker, hovertemplate=template, customdata=values))
    layout = {
        "xaxis": _value_axis(axis),
        "yaxis": {**log_axis("", [], span=span, is_small=True), "title": None},
        "showlegend": False,
        "margin": {"l": 30, "r": 8, "t": 6, "b": 24},
    }
    return {"data": [*data, verified_trace(active, x, size=11)], "layout": layout}


def _value_axis(axis: ParameterAxis) -> dict[str, Any]:
    low, high = axis.bounds
    if axis.discrete_values:
        names = [axis.format_value(value, longest=9).replace("_", "<br>") for value in axis.discrete_values]
        font = {"size": 10.5 if len(names) > 3 else 11.5}
        ends = [-0.5, len(names) - 0.5]
        return {"tickvals": [*range(len(names))], "ticktext": names, "range": ends, "zeroline": False, "tickfont": font}
    if axis.is_log:
        return log_axis("", (low, high), span=(low / 1.15, high * 1.15), is_small=True) | {"title": None}
    margin = 0.04 * (high - low)
    return {"nticks": 6, "zeroline": False, "range": [low - margin, high + margin]}
