"""The plot of a comparison: for each engine a line, its mean over runs, and a band around it.

Engines have the colours of the report, and line styles differ as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.compare.curves import CurveBand
from search.leaderboard import formatting
from search.report.colors import ENGINE_COLORS
from search.report.plot import svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = tuple(ENGINE_COLORS)
LINE_STYLES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What is drawn.

    Args:
        title: Above the legend.
        engines: In the order of their colours.
        panels: Label of the horizontal axis to the engines' curves.
        y_label: Label of the vertical axis.
        is_log: Whether that axis is logarithmic.
        y_limits: Its ends; None for those of the data.
        engines_with_band: Bands of other engines are left out.
        baseline: Height of a dashed line; None for no line.
        salt: Makes the SVG's ids reproducible.
    """

    title: str
    engines: Sequence[str]
    panels: Mapping[str, Mapping[str, CurveBand]]
    y_label: str
    is_log: bool = False
    y_limits: tuple[float, float] | None = None
    engines_with_band: Collection[str]
    baseline: float | None = None
    salt: str


def to_svg(plot: Plot) -> str:
    """Returns the plot as SVG, the same text for the same plot."""
    return svg_text(make_figure(plot), salt=plot.salt)


def make_figure(plot: Plot) -> Figure:
    """Returns the figure, its panels side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(9, 4 * len(plot.panels)), 4.5), layout="constrained")
    all_axes = figure.subplots(1, len(plot.panels), sharey=True, squeeze=False)[0]
    for axes, (x_label, curves) in zip(all_axes, plot.panels.items(), strict=True):
        for engine, curve in curves.items():
            _draw_curve(axes, curve, _style(plot, engine), has_band=engine in plot.engines_with_band)
        if plot.baseline is not None:
            axes.axhline(plot.baseline, color="0.35", linewidth=1, linestyle="--", zorder=1)
        _format_axes(axes, plot)
        axes.set_xlabel(x_label)
    all_axes[0].set_ylabel(plot.y_label)
    _add_legend(figure, plot)
    return figure


def _style(plot: Plot, engine: str) -> dict[str, Any]:
    index = plot.engines.index(engine)
    return {"color": COLORS[index % len(COLORS)], "linestyle": LINE_STYLES[index % len(LINE_STYLES)], "linewidth": 1.8}


def _draw_curve(axes: Axes, curve: CurveBand, style: dict[str, Any], *, has_band: bool) -> None:
    if has_band:
        axes.fill_between(
            curve.costs, curve.low, curve.high, step="post", color=style["color"], alpha=0.12, linewidth=0
        )
    axes.step(curve.costs, curve.mean, where="post", **style)
    axes.plot(curve.costs[-1], curve.mean[-1], "o", color=style["color"], markersize=4)


def _format_axes(axes: Axes, plot: Plot) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if plot.is_log:
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(plot.y_limits)
    axes.set_xlim(left=0)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, plot: Plot) -> None:
    from matplotlib.lines import Line2D

    drawn = next(iter(plot.panels.values()))
    handles = [
        Line2D([], [], marker="o", markersize=4, label=formatting.one_line(engine), **_style(plot, engine))
        for engine in plot.engines
        if engine in drawn
    ]
    if plot.baseline is not None:
        handles.append(Line2D([], [], color="0.35", linestyle="--", linewidth=1, label="baseline"))
    if handles:
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=min(len(handles), 5),
            frameon=False,
            fontsize="small",
            columnspacing=1.5,
            title=plot.title,
            title_fontsize="small",
        )
