"""Colours: which engine has which, and what a colour of the light scheme is in the dark one.

Figures are made in the colours of the light scheme; the page replaces them by those of the dark one where it is shown
dark. Colour-blind readers can tell the series apart, on either ground.

Source: Okabe and Ito, "Color Universal Design" (2008), for the series.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from search.leaderboard.board import Board
from search.records.record import StudyHeader

SERIES: Mapping[str, str] = MappingProxyType(
    {
        "#0072b2": "#5ab0ea",
        "#d55e00": "#f08a4b",
        "#009e73": "#3cc69b",
        "#cc79a7": "#e29fc5",
        "#e69f00": "#f0b94a",
        "#56b4e9": "#a5d4f7",
        "#000000": "#ffffff",
    }
)
"""One an engine: on white, and on near black."""

INK, SOFT, LINE, PAPER = "#1c2024", "#646c76", "#dfe3e8", "#fffffe"
"""Text, what stands back, grids, and the ground."""

RAMP: Mapping[str, str] = MappingProxyType(
    {
        "#083f66": "#d6eeff",
        "#1c6ea4": "#8cc8f2",
        "#5c9bc4": "#4f8fb8",
        "#9dbdd3": "#3a627d",
        "#cfd9e0": "#333f49",
    }
)
"""From the least error to the most."""

DARK: Mapping[str, str] = MappingProxyType(
    {**SERIES, **RAMP, INK: "#e6e9ec", SOFT: "#9aa4ae", LINE: "#2b3138", PAPER: "#15181b"}
)
"""The dark scheme's colour for each of the light one's."""


def engine(study: StudyHeader) -> str:
    """Returns the name by which an engine has its colour: "optuna:tpe"; "none" where nothing was proposed."""
    return study.engine if study.engine == study.sampler else f"{study.engine}:{study.sampler}"


def colours(board: Board) -> Mapping[str, str]:
    """Returns a colour for each engine of a board; the same one wherever the board shows it."""
    names = sorted({engine(study) for section in board.sections for study in section.studies})
    series = list(SERIES)
    return {name: series[place % len(series)] for place, name in enumerate(names)}
