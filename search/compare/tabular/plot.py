"""The picture of a tournament: regret against trials, a line and a band an engine, on a logarithmic scale.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; beyond them, lines are dashed.

Source: Okabe and Ito, "Color Universal Design", https://jfly.uni-koeln.de/color/ (2008).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from search.compare.tabular.results import TabularComparison
from search.errors import UserError
from search.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's but for their yellow, which is too faint for a line on white."""
LINE_STYLES = ("-", "--", ":")


def to_svg(result: TabularComparison) -> str:
    """Returns the picture as SVG, the same text for the same result."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "arena"}):
        _figure(result).savefig(buffer, format="svg", metadata={"Date": None})
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def save_plot(result: TabularComparison, path: Path) -> None:
    """Writes the picture, as SVG or PNG by the path's suffix.

    Raises:
        UserError: Another suffix, or the file cannot be written.
    """
    match path.suffix:
        case ".svg":
            write_atomic(path, to_svg(result), what="plot")
        case ".png":
            buffer = io.BytesIO()
            _figure(result).savefig(buffer, format="png", dpi=150)
            write_atomic(path, buffer.getvalue(), what="plot")
        case _:
            raise UserError(f"The picture's format is not known. Expected: .svg or .png. Received: {path}.")


def _figure(result: TabularComparison) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    spec = result.spec
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    trials = range(1, spec.trials + 1)
    for index, (name, curve) in enumerate(result.curves.items()):
        color, line_style = COLORS[index % len(COLORS)], LINE_STYLES[index // len(COLORS) % len(LINE_STYLES)]
        if name == result.rows[0].engine:  # the bands of all would hide each other
            axes.fill_between(trials, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(trials, curve.mean, color=color, linestyle=line_style, linewidth=1.8, label=name)
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(1, max(2, spec.trials))
    axes.set_xlabel("trials")
    axes.set_ylabel("mean normalised regret")
    axes.set_title(f"{spec.benchmark}: {len(result.tables)} tables, {spec.repeats} seeds")
    axes.grid(which="both", alpha=0.25, linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure
