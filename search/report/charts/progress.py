"""Error against cost: every search trial when it ended, and the best error so far, by minutes and by epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.leaderboard import formatting
from search.report.chart_data import Clock, StudyPoints, available_clocks, common_baseline, leading_points
from search.report.charts.chart import (
    SHORT_SYMBOL,
    STOPPED_SYMBOL,
    Chart,
    Figure,
    Trace,
    baseline_layout,
    cross_marker,
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
from search.report.colors import MUTED_COLOR

TITLE = "Error against cost"
MAX_POINTS = 2000
"""Trials drawn; the lines are over all."""


def chart(studies: Sequence[StudyPoints], engine_colors: Mapping[str, str]) -> Chart:
    """Returns the chart of a section's studies.

    Args:
        studies: At least one.
        engine_colors: By engine.
    """
    if not any(study.points for study in studies):
        return Chart(title=TITLE, missing_reason="No search trial has a validation error.")
    figures = {clock.name: _figure(studies, engine_colors, clock) for clock in available_clocks(studies)}
    return Chart(title=TITLE, caption=_caption(studies), figures=figures, height=380)


def _caption(studies: Sequence[StudyPoints]) -> str:
    high = _error_range(studies)[1]
    drawn = [point for study in studies for point in leading_points(study, len(studies), MAX_POINTS)]
    above = sum(point.error_percent > high for point in drawn)
    above_note = f" {above:,} of them lie above; a double click shows all." if above else ""
    left_out = sum(len(study.points) for study in studies) - len(drawn)
    more = f" {left_out:,} trials further down the board are left out." if left_out else ""
    return (
        "Every search trial with a validation error, when it ended. The line is the lowest error so far of the trials "
        "that were trained in full: the error of a short trial is not comparable with theirs. A circle marks verified "
        f"trials.{above_note}{more}"
    )


def _error_range(studies: Sequence[StudyPoints]) -> tuple[float, float]:
    return error_range([point.error_percent for study in studies for point in study.points], common_baseline(studies))


def _figure(studies: Sequence[StudyPoints], engine_colors: Mapping[str, str], clock: Clock) -> Figure:
    points = [point for study in studies for point in study.points]
    data: list[Trace] = []
    for study in studies:
        color = engine_colors[formatting.engine_label(study.header)]
        shown = leading_points(study, len(studies), MAX_POINTS)
        groups = (
            ([point for point in shown if point.is_complete], dot_marker(color)),
            ([point for point in shown if point.row.is_short], cross_marker(color, symbol=SHORT_SYMBOL)),
            ([point for point in shown if point.is_stopped_early], cross_marker(color, symbol=STOPPED_SYMBOL)),
        )
        for chosen, marker in groups:
            if chosen:
                data.append(trial_trace(chosen, lambda point: round_significant(clock.of_trial(point)), marker))
        costs, errors = study.best_curve(clock)
        data.append(step_trace([*map(round_significant, costs)], errors, color, 2))
    data.append(verified_trace(points, lambda point: round_significant(clock.of_trial(point))))
    errors = [point.error_percent for point in points]
    layout = {
        "xaxis": {"title": {"text": clock.title}, "rangemode": "tozero", "zeroline": False},
        "yaxis": log_axis("Validation error, %", errors, span=_error_range(studies)),
        **baseline_layout(common_baseline(studies)),
    }
    return {"data": [*data, *_legend(studies, engine_colors)], "layout": layout}


def _legend(studies: Sequence[StudyPoints], engine_colors: Mapping[str, str]) -> list[Trace]:
    names = sorted({formatting.engine_label(study.header) for study in studies})
    color = engine_colors[names[0]] if len(names) == 1 else MUTED_COLOR
    points = [point for study in studies for point in study.points]
    crosses = (
        ("short", SHORT_SYMBOL, any(point.row.is_short for point in points)),
        ("stopped early", STOPPED_SYMBOL, any(point.is_stopped_early for point in points)),
    )
    return [
        *(
            legend_entry(
                f"{escape_label(name)}, best so far", mode="lines", line={"color": engine_colors[name], "width": 2}
            )
            for name in names
        ),
        legend_entry("trained in full", mode="markers", marker={"size": 7, "color": color}),
        *(
            legend_entry(name, mode="markers", marker={**cross_marker(color, symbol=symbol, size=6), "opacity": 1.0})
            for name, symbol, is_used in crosses
            if is_used
        ),
        legend_entry("verified", mode="markers", marker=verified_marker()),
    ]
