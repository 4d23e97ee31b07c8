"""Learning curves: every search trial's error and losses after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from search.leaderboard import formatting
from search.leaderboard.board import Row
from search.report.chart_data import MAX_POINTS, MIN_PLOTTED_ERROR_PERCENT, MIN_POINTS_PER_STUDY, StudyPoints
from search.report.charts.chart import (
    Chart,
    Figure,
    Trace,
    error_range,
    escape_label,
    hover_text,
    legend_entry,
    log_axis,
    round_significant,
)
from search.report.colors import MUTED_COLOR
from search.trial import EpochReport, Phase, State

TITLE = "Learning curves"
BASELINE_LINE = MappingProxyType({"color": MUTED_COLOR, "width": 2, "dash": "dash"})
Curve = tuple[Row, tuple[EpochReport, ...]]
Metric = Callable[[EpochReport], float | None]
FIGURES: Mapping[str, tuple[str, Metric]] = MappingProxyType(
    {
        "validation error": ("Validation error, %", lambda report: _plotted_error(report.error_percent)),
        "validation loss": ("Validation cross-entropy", lambda report: report.loss),
        "training loss": ("Training loss", lambda report: report.training_loss),
    }
)
"""Titles of the y axis and metrics, by name of the figure."""


def chart(studies: Sequence[StudyPoints], engine_colors: Mapping[str, str]) -> Chart:
    """Returns the chart of a section's studies.

    Args:
        studies: At least one.
        engine_colors: By engine.
    """
    curves = [_curves(study) for study in studies]
    max_curves = max(MIN_POINTS_PER_STUDY, MAX_POINTS // len(studies))
    shown = [curve for study_curves in curves for curve in study_curves[:max_curves]]
    if not shown:
        return Chart(title=TITLE, missing_reason="No search trial has finished an epoch.")
    figures = {
        name: _figure(shown, engine_colors, title, metric)
        for name, (title, metric) in FIGURES.items()
        if any(metric(report) is not None for _, reports in shown for report in reports)
    }
    left_out = sum(map(len, curves)) - len(shown)
    more = f" {left_out:,} trials further down the board are left out." if left_out else ""
    caption = (
        "A line for each search trial: thick for verified trials, dashed for the baseline, faint for trials that were "
        f"short or stopped early.{more}"
    )
    return Chart(title=TITLE, caption=caption, figures=figures, height=380)


def _curves(study: StudyPoints) -> list[Curve]:
    """Returns the rows with the epochs of their trials, in the board's order."""
    histories = {record.trial.number: record.history for record in study.record.trials_in_phase(Phase.SEARCH)}
    return [(row, histories[row.trial]) for row in study.rows if row.trial is not None and histories.get(row.trial)]


def _figure(curves: Sequence[Curve], engine_colors: Mapping[str, str], title: str, metric: Metric) -> Figure:
    values = [value for _, reports in curves for _, value in _finite_points(reports, metric)]
    # The curves drawn last lie on top, and the pointer finds them first.
    data = [trace for curve in reversed(curves) if (trace := _curve_trace(*curve, engine_colors, metric))]
    positive = [value for value in values if value > 0]
    layout = {
        "xaxis": _epoch_axis(max(reports[-1].epoch for _, reports in curves)),
        "yaxis": log_axis(title, values, span=error_range(positive, share=0.95, floor=0.0) if positive else None),
    }
    return {"data": [*data, *_legend(curves, engine_colors)], "layout": layout}


def _curve_trace(
    row: Row, reports: Sequence[EpochReport], engine_colors: Mapping[str, str], metric: Metric
) -> Trace | None:
    points = _finite_points(reports, metric)
    if not points:
        return None
    epochs = [epoch for epoch, _ in points]
    is_contiguous = epochs == [*range(epochs[0], epochs[0] + len(epochs))]
    color = engine_colors[formatting.engine_label(row.study)]
    line = BASELINE_LINE if row.is_baseline else {"color": color, "width": 2.4 if row.rank is not None else 1.2}
    style = {"line": dict(line)} if len(points) > 1 else {"marker": {"size": 4, "color": color}}
    return {
        "type": "scatter",
        "mode": "lines" if len(points) > 1 else "markers",
        **({"x0": epochs[0]} if is_contiguous else {"x": epochs}),
        "y": [round_significant(value, 4) for _, value in points],
        **style,
        "opacity": 1.0 if row.rank is not None or row.is_baseline else 0.6 if row.state is State.COMPLETE else 0.3,
        "hovertext": hover_text(row),
    }


def _finite_points(reports: Sequence[EpochReport], metric: Metric) -> list[tuple[int, float]]:
    """Returns epochs and values; the page's JSON has no numbers that are not finite."""
    values = ((report.epoch, metric(report)) for report in reports)
    return [(epoch, value) for epoch, value in values if value is not None and math.isfinite(value)]


def _plotted_error(error_percent: float | None) -> float | None:
    return None if error_percent is None else max(error_percent, MIN_PLOTTED_ERROR_PERCENT)


def _epoch_axis(last: int) -> dict[str, Any]:
    step = -(-last // 12)
    return {
        "title": {"text": "Epoch"},
        "range": [1 - 0.03 * last, last * 1.03],
        "tickvals": [*range(1 if step == 1 else step, last + 1, step)],
        "zeroline": False,
    }


def _legend(curves: Sequence[Curve], engine_colors: Mapping[str, str]) -> list[Trace]:
    names = sorted({formatting.engine_label(row.study) for row, _ in curves})
    return [
        *(
            legend_entry(escape_label(name), mode="lines", line={"color": engine_colors[name], "width": 2})
            for name in names
        ),
        legend_entry("baseline", mode="lines", line=dict(BASELINE_LINE)),
    ]
