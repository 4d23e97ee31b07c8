"""Parallel coordinates: a line for each trial through its values, darker for lower errors.

Optuna's plot leaves out every trial in which a conditional parameter is inactive; here its line passes below the axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.leaderboard import formatting
from search.report.chart_data import StudyPoints, TrialPoint
from search.report.charts.axis import ParameterAxis, jitter, searched_axes
from search.report.charts.chart import Chart, Trace, error_range, escape_label, format_tick, hover_text
from search.report.colors import BACKGROUND_COLOR, ERROR_RAMP, MUTED_COLOR, TEXT_COLOR
from spaces.domains import Choice

TITLE = "Parallel coordinates"
MAX_AXES = 9
"""Parameters with an axis; more do not fit a page."""
INACTIVE_POSITION = -0.13
"""Position of an inactive parameter."""
MIN_TRIALS = 2
"""Trials needed for a chart."""


def chart(study: StudyPoints, points: Sequence[TrialPoint], shares: Mapping[str, float]) -> Chart:
    """Returns the chart of a study.

    Args:
        study: The study.
        points: The trials to draw; short ones are left out, since their errors are not comparable with the others'.
        shares: Importances of the parameters, the largest first; empty where they are not known.
    """
    shown = searched_axes(study, tuple(shares))[:MAX_AXES]
    points = [point for point in points if not point.row.is_short]
    if len(points) < MIN_TRIALS or not shown:
        return Chart(title=TITLE, missing_reason="This needs two different full trials with validation errors.")
    scale = _ErrorScale([point.error_percent for point in points], study.baseline_error_percent)
    shades = zip(_groups(points), ERROR_RAMP, strict=False)
    lines = [_shade_trace(group, shown, scale, {"color": color, "width": 1.2}) for group, color in shades]
    layout = {
        "xaxis": {
            "range": [-0.35, len(shown) + 0.35],
            "tickvals": [*range(len(shown) + 1)],
            "ticktext": [*(_heading(axis.name) for axis in shown), "<b>validation<br>error, %</b>"],
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "ticks": "",
            "showline": False,
            "fixedrange": True,
        },
        "yaxis": {"range": [INACTIVE_POSITION - 0.06, 1.05], "visible": False, "fixedrange": True},
        "shapes": [_rule(place) for place in range(len(shown) + 1)],
        "annotations": [*_texts(shown), *scale.tick_annotations(len(shown))],
        "margin": {"l": 16, "r": 44, "t": 64, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
    }
    figure = {"data": [*lines[::-1], *_best(points, shown, scale)], "layout": layout}
    return Chart(
        title=TITLE, caption=_caption(study, shown, shares), figures={"trials": figure}, height=430, is_wide=True
    )


def _caption(study: StudyPoints, shown: Sequence[ParameterAxis], shares: Mapping[str, float]) -> str:
    trials = "search trial but the short ones" if any(row.is_short for row in study.rows) else "search trial"
    others = len(searched_axes(study)) - len(shown)
    which = f" The {len(shown)} most important parameters; {others} others are left out." if others and shares else ""
    which = which or (f" The first {len(shown)} parameters; {others} others are left out." if others else "")
    return (
        f"A line for each {trials}: the stronger its colour, the lower its validation error; the best is thick. "
        f"Where a parameter is inactive, the line passes below the axis.{which}"
    )


def _heading(name: str) -> str:
    """Returns a parameter's name, broken into lines that fit above its axis."""
    lines: list[str] = [""]
    for word in name.split("_"):
        if lines[-1] and len(lines[-1]) + len(word) > 10:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]}_{word}" if lines[-1] else word
    return "<br>".join(escape_label(line, 12) for line in lines[:3])


class _ErrorScale:
    """A logarithmic scale from 0 to 1; errors beyond its ends are drawn at the ends."""

    def __init__(self, errors: Sequence[float], baseline: float | None) -> None:
        self.low, self.high = error_range(errors, baseline)

    def position(self, error: float) -> float:
        inside = min(max(error, self.low), self.high)
        return round(math.log(inside / self.low) / math.log(self.high / self.low), 4)

    def tick_annotations(self, place: int) -> Iterator[dict[str, Any]]:
        steps = [step * 10.0**decade for decade in range(-3, 3) for step in (1, 2, 3, 5, 7)]
        for tick in steps:
            if self.low <= tick <= self.high:
                yield _text(place, self.position(tick), format_tick(round(tick, 4)))


def _groups(points: Sequence[TrialPoint]) -> list[list[TrialPoint]]:
    """Returns the trials in one group for each shade, the best first."""
    ordered = sorted(points, key=lambda point: (not point.is_complete, point.error_percent))
    size = max(1, -(-len(ordered) // len(ERROR_RAMP)))
    return [ordered[first : first + size] for first in range(0, len(ordered), size)]


def _shade_trace(
    points: Sequence[TrialPoint], shown: Sequence[ParameterAxis], scale: _ErrorScale, line: dict[str, Any]
) -> Trace:
    """Returns the lines of one shade as one trace, separated by gaps."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    values: list[str] = []
    for point in points:
        xs += [*range(len(shown) + 1), None]
        ys += [*_line(point, shown, scale), None]
        texts += [hover_text(point.row)] * (len(shown) + 2)
        values += [*_values(point, shown), ""]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": line,
        "opacity": 0.85,
        "hovertext": texts,
        "customdata": values,
        "hovertemplate": "%{hovertext}%{customdata}<extra></extra>",
    }


def _best(points: Sequence[TrialPoint], shown: Sequence[ParameterAxis], scale: _ErrorScale) -> Iterator[Trace]:
    complete = [point for point in points if point.is_complete]
    if complete:
        best = min(complete, key=lambda point: point.error_percent)
        yield {**_shade_trace([best], shown, scale, {"color": TEXT_COLOR, "width": 3}), "opacity": 1.0}


def _line(point: TrialPoint, shown: Sequence[ParameterAxis], scale: _ErrorScale) -> list[float]:
    places = []
    for axis in shown:
        value = axis.value(point.row)
        if value is None:
            places.append(INACTIVE_POSITION)
        else:
            shift = round(0.05 * jitter(point), 4) if isinstance(axis.domain, Choice) else 0.0
            places.append(axis.position(value) + shift)
    return [*places, scale.position(point.error_percent)]


def _values(point: TrialPoint, shown: Sequence[ParameterAxis]) -> list[str]:
    """Returns the texts where a trial's line crosses the axes."""
    values = [axis.value(point.row) for axis in shown]
    texts = ["inactive" if value is None else escape_label(formatting.parameter_value(value)) for value in values]
    return [*(f"<br>{escape_label(axis.name)}: {text}" for axis, text in zip(shown, texts, strict=True)), ""]


def _rule(place: int) -> dict[str, Any]:
    line = {"color": MUTED_COLOR, "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def _texts(shown: Sequence[ParameterAxis]) -> Iterator[dict[str, Any]]:
    for place, axis in enumerate(shown):
        for height, text in axis.ticks():
            yield _text(place, height, text)


def _text(place: int, height: float, text: str) -> dict[str, Any]:
    return {
        "x": place,
        "y": height,
        "xanchor": "left",
        "xshift": 3,
        "text": text,
        "showarrow": False,
        "font": {"size": 10.5, "color": TEXT_COLOR},
        "bgcolor": BACKGROUND_COLOR,
        "opacity": 0.9,
        "borderpad": 1,
    }
