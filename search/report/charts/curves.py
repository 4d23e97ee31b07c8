"""Learning curves: what each search trial's error and loss were after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from search.leaderboard.board import Row
from search.records.record import TrialRecord
from search.report import colors
from search.report.chart_data import MAX_POINTS, MIN_PLOTTED_ERROR_PERCENT, MIN_POINTS_PER_STUDY, StudyPoints
from search.report.charts.chart import (
    Chart,
    Figure,
    escape_label,
    hover_text,
    legend_entry,
    log_axis,
    round_significant,
)
from search.trial import EpochReport, Phase, State

TITLE = "Learning curves"
Curve = tuple[Row, tuple[EpochReport, ...]]
Metric = Callable[[EpochReport], float | None]
FIGURES: Mapping[str, tuple[str, Metric]] = MappingProxyType(
    {
        "validation error": ("Validation error, %", lambda report: _shown(report.error_percent)),
        "validation loss": ("Validation cross-entropy", lambda report: report.loss),
        "training loss": ("Training loss", lambda report: report.training_loss),
    }
)
"""What can be drawn: the axis, and what an epoch's report says of it."""


def chart(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> Chart:
    """Returns the chart of the studies of a section.

    Args:
        studies: At least one.
        colours: By engine.
    """
    curves = [_curves(study) for study in studies]
    max_curves = max(MIN_POINTS_PER_STUDY, MAX_POINTS // len(studies))
    shown = [curve for some in curves for curve in some[:max_curves]]
    if not shown:
        return Chart(title=TITLE, missing_reason="No search trial has finished an epoch.")
    views = {
        name: _figure(shown, colours, title, value)
        for name, (title, value) in FIGURES.items()
        if any(value(report) is not None for _, reports in shown for report in reports)
    }
    left_out = sum(map(len, curves)) - len(shown)
    more = f" {left_out:,} trials further down the board are left out." if left_out else ""
    caption = (
        "A line a search trial: bold where it was then verified on the test images, dashed for the baseline, faint "
        f"where it was stopped early.{more}"
    )
    return Chart(title=TITLE, caption=caption, figures=views, height=380)


def _curves(study: StudyPoints) -> list[Curve]:
    """Returns the rows with their histories, in the board's order."""
    records: dict[int, TrialRecord] = {
        record.trial.number: record for record in study.record.trials_in_phase(Phase.SEARCH)
    }
    curves = []
    for row in study.rows:
        known = records.get(row.trial) if row.trial is not None else None
        if known and known.outcome and known.outcome.history:
            curves.append((row, known.outcome.history))
    return curves


def _figure(curves: Sequence[Curve], colours: Mapping[str, str], title: str, value: Metric) -> Figure:
    values = [known for _, reports in curves for report in reports if (known := value(report)) is not None]
    # Those drawn last lie on top, and are found by the pointer first.
    data = [trace for curve in reversed(curves) if (trace := _line(*curve, colours, value))]
    layout = {
        "xaxis": _epochs(max(reports[-1].epoch for _, reports in curves)),
        "yaxis": log_axis(title, values, span=_span(values)),
    }
    return {"data": [*data, *_legend(curves, colours)], "layout": layout}


def _line(row: Row, reports: Sequence[EpochReport], colours: Mapping[str, str], value: Metric) -> dict[str, Any] | None:
    points = [(report.epoch, known) for report in reports if (known := value(report)) is not None]
    if not points:
        return None
    epochs = [epoch for epoch, _ in points]
    is_whole = epochs == [*range(epochs[0], epochs[0] + len(epochs))]
    colour = colours[colors.engine_key(row.study)]
    style = {"line": _line_style(row, colour)} if len(points) > 1 else {"marker": {"size": 4, "color": colour}}
    return {
        "type": "scatter",
        "mode": "lines" if len(points) > 1 else "markers",
        **({"x0": epochs[0]} if is_whole else {"x": epochs}),
        "y": [round_significant(known, 4) for _, known in points],
        **style,
        "opacity": 1.0 if row.rank is not None or row.is_baseline else 0.6 if row.state is State.COMPLETE else 0.3,
        "hovertext": hover_text(row),
    }


def _line_style(row: Row, colour: str) -> dict[str, Any]:
    if row.is_baseline:
        return {"color": colors.MUTED_COLOR, "width": 2, "dash": "dash"}
    return {"color": colour, "width": 2.4 if row.rank is not None else 1.2}


def _span(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the part to show: without the first epochs of the worst, which would flatten the rest."""
    ordered = sorted(value for value in values if value > 0)
    if not ordered:
        return None
    return ordered[0] / 1.15, max(ordered[int(0.95 * (len(ordered) - 1))], ordered[0] * 1.3) * 1.1


def _shown(error_percent: float | None) -> float | None:
    return None if error_percent is None else max(error_percent, MIN_PLOTTED_ERROR_PERCENT)


def _epochs(last: int) -> dict[str, Any]:
    step = -(-last // 12)
    return {
        "title": {"text": "Epoch"},
        "range": [1 - 0.03 * last, last * 1.03],
        "tickvals": [*range(1 if step == 1 else step, last + 1, step)],
        "zeroline": False,
    }


def _legend(curves: Sequence[Curve], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    names = sorted({colors.engine_key(row.study) for row, _ in curves})
    return [
        *(legend_entry(escape_label(name), mode="lines", line={"color": colours[name], "width": 2}) for name in names),
        legend_entry("baseline", mode="lines", line={"color": colors.MUTED_COLOR, "width": 2, "dash": "dash"}),
    ]
