"""Importances of parameters, as bars."""

from __future__ import annotations

from search.report.charts.chart import Chart, label, rounded
from search.report.importances import ROUGH, Importances

TITLE = "Parameter importances"
MOST = 15
"""Parameters that are drawn; the rest is said to be left out."""


def chart(known: Importances, colour: str) -> Chart:
    """Returns the chart of a study's importances.

    Args:
        known: The importances.
        colour: Of the bars.
    """
    if known.missing:
        return Chart(title=TITLE, missing=known.missing)
    shown = list(known.shares.items())[:MOST]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [rounded(share, 4) for _, share in reversed(shown)],
        "y": [label(name) for name, _ in reversed(shown)],
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
        caption=_caption(known),
        views={"importances": {"data": [bars], "layout": layout}},
        height=24 * len(shown) + 30,
    )


def _caption(known: Importances) -> str:
    left_out = len(known.shares) - MOST
    more = f" {left_out} less important ones are left out." if left_out > 0 else ""
    rough = f" A rough estimate: it takes some {ROUGH} trials." if known.trials < ROUGH else ""
    return (
        f"How much each parameter set the better trials apart from the others, estimated by PED-ANOVA from "
        f"{known.trials} trials trained in full; shares of 1.{rough}{more}"
    )
