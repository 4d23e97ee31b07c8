"""Importances of parameters, as bars."""

from __future__ import annotations

from search.report.charts.chart import Chart, escape_label, round_significant
from search.report.importances import ROUGH_BELOW_TRIALS, ParameterImportances

TITLE = "Parameter importances"
MAX_BARS = 15
"""Parameters that are drawn; the rest is said to be left out."""


def chart(importances: ParameterImportances, colour: str) -> Chart:
    """Returns the chart of a study's importances.

    Args:
        importances: The importances.
        colour: Of the bars.
    """
    if importances.missing_reason:
        return Chart(title=TITLE, missing_reason=importances.missing_reason)
    shown = list(importances.by_parameter.items())[:MAX_BARS]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round_significant(share, 4) for _, share in reversed(shown)],
        "y": [escape_label(name) for name, _ in reversed(shown)],
        "text": [f"{share:.0%}" for _, share in reversed(shown)],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": colour},
    }
    layout = {
        "xaxis": {
            "showticklabels": False,
            "showline": False,
            "showgrid": False,
            "zeroline": False,
            "ticks": "",
            "fixedrange": True,
        },
        "yaxis": {
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": "rgba(0,0,0,0)",
            "fixedrange": True,
        },
        "showlegend": False,
        "bargap": 0.45,
        "margin": {"t": 8, "r": 44, "b": 8},
    }
    return Chart(
        title=TITLE,
        caption=_caption(importances),
        figures={"importances": {"data": [bars], "layout": layout}},
        height=24 * len(shown) + 30,
    )


def _caption(importances: ParameterImportances) -> str:
    left_out = len(importances.by_parameter) - MAX_BARS
    more = f" {left_out} less important ones are left out." if left_out > 0 else ""
    rough = (
        f" A rough estimate: it takes some {ROUGH_BELOW_TRIALS} trials."
        if importances.trials < ROUGH_BELOW_TRIALS
        else ""
    )
    return (
        f"How much each parameter set the better trials apart from the others, estimated by PED-ANOVA from "
        f"{importances.trials} trials trained in full; shares of 1.{rough}{more}"
    )
