"""The plot of a comparison: best validation error so far, against epochs trained and against minutes.

A line an engine, the mean over its repeats, in a band from the least to the most of them; the baseline is dashed. The
colours can be told apart by colour-blind readers, and each line has a dash pattern of its own besides.

Source: Okabe and Ito, "Color Universal Design" (2008), for the colours.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from search.compare.results import Comparison, EngineResult
from search.leaderboard import formatting
from search.records.curves import CurveBand, CurvePoint, aggregate_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
PANELS: tuple[tuple[str, Callable[[CurvePoint], float]], ...] = (
    ("Epochs trained", lambda point: float(point.epochs)),
    ("Minutes of search", lambda point: point.seconds / 60),
)


def to_svg(comparison: Comparison) -> str:
    """Returns the plot as SVG, the same text for the same comparison."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": comparison.spec.name}):
        make_figure(comparison).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def make_figure(comparison: Comparison) -> Figure:
    """Returns the figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (label, cost) in zip(panels, PANELS, strict=True):
        for index, engine_result in enumerate(_in_spec_order(comparison)):
            _draw_engine(axes, engine_result, index, cost)
        if comparison.baseline_validation_percent is not None:
            axes.axhline(comparison.baseline_validation_percent, color="0.35", linewidth=1, linestyle="--", zorder=1)
        axes.set_xlabel(label)
        axes.set_ylim(_error_axis_limits(comparison))
        axes.set_xlim(left=0)
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Best validation error so far, %")
    _legend(figure, panels[0], comparison)
    return figure


def _in_spec_order(comparison: Comparison) -> list[EngineResult]:
    """Returns the engines in the order of their turns, so that each keeps its colour whoever leads."""
    return sorted(comparison.engine_results, key=lambda entrant: comparison.spec.engines.index(entrant.engine))


def _error_axis_limits(comparison: Comparison) -> tuple[float, float] | None:
    """Returns the ends of the error axis: not far above the baseline, for a bad first trial would flatten the rest."""
    baseline = comparison.baseline_validation_percent
    errors = [point.error_percent for _, run in comparison.studies for point in run.curve]
    if baseline is None or max(errors) <= baseline:
        return None
    low = min(errors)
    margin = 0.2 * max(baseline - low, 0.2 * baseline)
    return low - margin / 2, baseline + margin


def _draw_engine(axes: Axes, engine_result: EngineResult, index: int, cost: Callable[[CurvePoint], float]) -> None:
    curve_band: CurveBand | None = aggregate_curves([run.curve for run in engine_result.studies], cost)
    if curve_band is None:
        return
    color, dashes = COLORS[index % len(COLORS)], LINE_STYLES[index % len(LINE_STYLES)]
    axes.fill_between(
        curve_band.costs, curve_band.low, curve_band.high, step="post", color=color, alpha=0.12, linewidth=0
    )
    axes.step(curve_band.costs, curve_band.mean, where="post", color=color, linestyle=dashes, linewidth=1.8)
    axes.plot(curve_band.costs[-1], curve_band.mean[-1], "o", color=color, markersize=4)


def _legend(figure: Figure, axes: Axes, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=COLORS[place % len(COLORS)], linestyle=LINE_STYLES[place % len(LINE_STYLES)], linewidth=1.8,
               marker="o", markersize=4, label=formatting.one_line(entrant.engine))
        for place, entrant in enumerate(_in_spec_order(comparison))
        if any(run.curve for run in entrant.studies)
    ]  # fmt: skip
    if comparison.baseline_validation_percent is not None:
        handles.append(Line2D([], [], color="0.35", linestyle="--", linewidth=1, label="baseline"))
    if handles:
        repeats = comparison.spec.repeats
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=min(len(handles), 5),
            frameon=False,
            fontsize="small",
            columnspacing=1.5,
            title=f"Mean of {repeats} repeats, band from the least to the most" if repeats > 1 else "One repeat",
            title_fontsize="small",
        )
