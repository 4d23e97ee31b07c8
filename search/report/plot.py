"""The plot beside the Markdown report: error against cost with the best so far, as SVG.

One panel for each section that searched. It stands on its own white ground, so that it reads the same on a code host's
light and dark pages.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search.leaderboard import formatting, tables
from search.leaderboard.board import Board
from search.records.curves import best_error_curve
from search.records.record import StudyRecord
from search.report import colors
from search.report.chart_data import MIN_PLOTTED_ERROR_PERCENT, StudyPoints, TrialPoint, leading_points, study_points
from search.report.charts.chart import error_range, format_tick, log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 600
"""Trials that are drawn; the lines tell of all."""
Panel = tuple[str, Sequence[StudyPoints]]
_VERIFIED_MARKER = {"marker": "o", "s": 70, "facecolors": "none", "edgecolors": colors.TEXT_COLOR}


def render_svg(board: Board, records: Sequence[StudyRecord]) -> str:
    """Returns the plot, the same text for the same record; empty where no trial has a validation error."""
    from matplotlib import rc_context

    panels = _panels(board, records)
    if not panels:
        return ""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "leaderboard", "svg.fonttype": "path"}):
        _draw(panels, colors.engine_colors(board)).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _panels(board: Board, records: Sequence[StudyRecord]) -> list[Panel]:
    """Returns the sections that searched, by their titles."""
    panels: list[Panel] = []
    for section in board.sections:
        studies = [study_points(record, section.rows) for record in records if record.header in section.studies]
        if any(study.points for study in studies):
            panels.append((tables.section_title(section), [study for study in studies if study.points]))
    return panels


def _draw(panels: Sequence[Panel], colours: Mapping[str, str]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.7 * len(panels)), layout="constrained", facecolor="white")
    for axes, (title, studies) in zip(figure.subplots(len(panels), 1, squeeze=False).flat, panels, strict=True):
        has_clock = all(point.minutes is not None for study in studies for point in study.points)
        for study in studies:
            shown = leading_points(study, len(studies), MAX_POINTS)
            _draw_study(
                axes, replace(study, points=shown), colours[colors.engine_key(study.header)], has_clock=has_clock
            )
        axes.set_xlabel("Minutes of search" if has_clock else "Epochs trained")
        _format_axes(axes, studies)
        if len(panels) > 1:
            axes.set_title(title, fontsize="small", loc="left")
    _legend(figure, [study for _, studies in panels for study in studies], colours)
    return figure


def _draw_study(axes: Axes, study: StudyPoints, colour: str, *, has_clock: bool) -> None:
    styles: Mapping[str, tuple[Callable[[TrialPoint], bool], dict[str, Any]]] = {
        "stopped": (lambda point: not point.is_complete, {"marker": "x", "s": 14, "c": colour, "alpha": 0.5}),
        "full": (lambda point: point.is_complete, {"marker": "o", "s": 18, "c": colour}),
        "verified": (lambda point: point.row.rank is not None, _VERIFIED_MARKER),
    }
    for chosen, look in styles.values():
        shown = [point for point in study.points if chosen(point)]
        costs = [(point.minutes or 0.0) if has_clock else float(point.epochs) for point in shown]
        axes.scatter(costs, [point.plotted_error_percent for point in shown], linewidths=1, zorder=3, **look)
    best = best_error_curve(study.record)
    costs = [one.seconds / 60 if has_clock else float(one.epochs) for one in best]
    axes.step(
        costs,
        [max(one.error_percent, MIN_PLOTTED_ERROR_PERCENT) for one in best],
        where="post",
        color=colour,
        linewidth=1.8,
    )


def _format_axes(axes: Axes, studies: Sequence[StudyPoints]) -> None:
    baselines = {study.baseline_error_percent for study in studies if study.baseline_error_percent is not None}
    baseline = max(baselines, default=None)
    low, high = error_range([point.error_percent for study in studies for point in study.points], baseline)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(
        log_ticks(low, high, max_ticks=8), labels=[format_tick(tick) for tick in log_ticks(low, high, max_ticks=8)]
    )
    axes.minorticks_off()
    axes.set_xlim(left=0)
    axes.set_ylabel("Validation error, %")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for error in baselines:
        axes.axhline(error, color="0.35", linewidth=1, linestyle="--", zorder=1)


def _legend(figure: Figure, studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    names = sorted({colors.engine_key(study.header) for study in studies})
    colour = colours[names[0]] if len(names) == 1 else "0.4"
    handles = [
        *(
            Line2D([], [], color=colours[name], linewidth=1.8, label=f"{_escape_mathtext(name)}, best so far")
            for name in names
        ),
        Line2D([], [], linestyle="none", marker="o", markersize=4, color=colour, label="trained in full"),
        Line2D([], [], linestyle="none", marker="x", markersize=4, color=colour, label="stopped early"),
        Line2D([], [], linestyle="none", marker="o", markersize=8, color=colors.TEXT_COLOR, fillstyle="none",
               label="verified"),
        Line2D([], [], color="0.35", linestyle="--", linewidth=1, label="baseline"),
    ]  # fmt: skip
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=5 if len(names) == 1 else 4,
        frameon=False,
        fontsize="small",
        columnspacing=1.4,
        handletextpad=0.5,
    )


def _escape_mathtext(name: str) -> str:
    """Returns a name on one line; Matplotlib would read what stands between dollars as a formula."""
    return formatting.one_line(name).replace("$", r"\$")
