"""The plot of the Markdown report: error against cost with the best error so far, as SVG.

One panel for each section with a search. The ground is white, so that it looks the same on a code host's light and dark
pages. ``svg_text`` serves the plots of comparisons too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.leaderboard import formatting
from search.leaderboard.board import Board
from search.leaderboard.summary import section_title
from search.records.record import StudyRecord
from search.report.chart_data import Clock, StudyPoints, TrialPoint, available_clocks, leading_points, section_points
from search.report.charts.chart import error_range, format_tick, log_ticks
from search.report.colors import TEXT_COLOR, engine_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 600
"""Trials drawn; the lines are over all."""
Panel = tuple[str, Sequence[StudyPoints]]


def render_svg(board: Board, records: Sequence[StudyRecord]) -> str:
    """Returns the plot, the same text for the same records; empty where no trial has a validation error."""
    panels = _panels(board, records)
    return svg_text(_draw(panels, engine_colors(board)), salt="leaderboard") if panels else ""


def svg_text(figure: Figure, *, salt: str) -> str:
    """Returns a figure as SVG, the same text for the same figure.

    Args:
        figure: Of Matplotlib.
        salt: From which the identifiers in the SVG are derived.
    """
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _panels(board: Board, records: Sequence[StudyRecord]) -> list[Panel]:
    """Returns the title and the studies of each section with a search."""
    panels: list[Panel] = []
    for section in board.sections:
        studies = section_points(section, records)
        if any(study.points for study in studies):
            panels.append((section_title(section), [study for study in studies if study.points]))
    return panels


def _draw(panels: Sequence[Panel], colors: Mapping[str, str]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.7 * len(panels)), layout="constrained", facecolor="white")
    for axes, (title, studies) in zip(figure.subplots(len(panels), 1, squeeze=False).flat, panels, strict=True):
        clock, *_ = available_clocks(studies)
        for study in studies:
            color = colors[formatting.engine_label(study.header)]
            _draw_study(axes, study, leading_points(study, len(studies), MAX_POINTS), color, clock)
        axes.set_xlabel(clock.title)
        _format_axes(axes, studies)
        if len(panels) > 1:
            axes.set_title(title, fontsize="small", loc="left")
    _legend(figure, [study for _, studies in panels for study in studies], colors)
    return figure


def _draw_study(axes: Axes, study: StudyPoints, points: Sequence[TrialPoint], color: str, clock: Clock) -> None:
    groups: tuple[tuple[list[TrialPoint], dict[str, Any]], ...] = (
        ([point for point in points if point.is_stopped_early], {"marker": "x", "s": 14, "c": color, "alpha": 0.5}),
        ([point for point in points if point.row.is_short], {"marker": "+", "s": 18, "c": color, "alpha": 0.5}),
        ([point for point in points if point.is_complete], {"marker": "o", "s": 18, "c": color}),
        (
            [point for point in points if point.row.rank is not None],
            {"marker": "o", "s": 70, "facecolors": "none", "edgecolors": TEXT_COLOR},
        ),
    )
    for shown, style in groups:
        errors = [point.plotted_error_percent for point in shown]
        axes.scatter([*map(clock.of_trial, shown)], errors, linewidths=1, zorder=3, **style)
    axes.step(*study.best_curve(clock), where="post", color=color, linewidth=1.8)


def _format_axes(axes: Axes, studies: Sequence[StudyPoints]) -> None:
    baselines = {study.baseline_error_percent for study in studies if study.baseline_error_percent is not None}
    errors = [point.error_percent for study in studies for point in study.points]
    low, high = error_range(errors, max(baselines, default=None))
    ticks = log_ticks(low, high, max_ticks=8)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, labels=[*map(format_tick, ticks)])
    axes.minorticks_off()
    axes.set_xlim(left=0)
    axes.set_ylabel("Validation error, %")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for error in baselines:
        axes.axhline(error, color="0.35", linewidth=1, linestyle="--", zorder=1)


def _legend(figure: Figure, studies: Sequence[StudyPoints], colors: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    names = sorted({formatting.engine_label(study.header) for study in studies})
    color = colors[names[0]] if len(names) == 1 else "0.4"
    points = [point for study in studies for point in study.points]
    crosses = (
        ("short", "+", any(point.row.is_short for point in points)),
        ("stopped early", "x", any(point.is_stopped_early for point in points)),
    )
    handles = [
        *(
            Line2D([], [], color=colors[name], linewidth=1.8, label=f"{_escape_mathtext(name)}, best so far")
            for name in names
        ),
        Line2D([], [], linestyle="none", marker="o", markersize=4, color=color, label="trained in full"),
        *(
            Line2D([], [], linestyle="none", marker=marker, markersize=5, color=color, label=label)
            for label, marker, is_used in crosses
            if is_used
        ),
        Line2D([], [], linestyle="none", marker="o", markersize=8, color=TEXT_COLOR, fillstyle="none",
               label="verified"),
        Line2D([], [], color="0.35", linestyle="--", linewidth=1, label="baseline"),
    ]  # fmt: skip
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(6, len(handles)) if len(names) == 1 else 4,
        frameon=False,
        fontsize="small",
        columnspacing=1.4,
        handletextpad=0.5,
    )


def _escape_mathtext(name: str) -> str:
    """Returns a name on one line, without Matplotlib's formulas between dollars."""
    return formatting.one_line(name).replace("$", r"\$")
