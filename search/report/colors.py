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

ENGINE_COLORS: Mapping[str, str] = MappingProxyType(
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

TEXT_COLOR, MUTED_COLOR, GRID_COLOR, BACKGROUND_COLOR = "#1c2024", "#646c76", "#dfe3e8", "#fffffe"
"""Text, what stands back, grids, and the ground."""

ERROR_RAMP: Mapping[str, str] = MappingProxyType(
    {
        "#083f66": "#d6eeff",
        "#1c6ea4": "#8cc8f2",
        "#5c9bc4": "#4f8fb8",
        "#9dbdd3": "#3a627d",
        "#cfd9e0": "#333f49",
    }
)
"""From the least error to the most."""

DARK_SCHEME: Mapping[str, str] = MappingProxyType(
    {
        **ENGINE_COLORS,
        **ERROR_RAMP,
        TEXT_COLOR: "#e6e9ec",
        MUTED_COLOR: "#9aa4ae",
        GRID_COLOR: "#2b3138",
        BACKGROUND_COLOR: "#15181b",
    }
)
"""The dark scheme's colour for each of the light one's."""


def engine_key(study: StudyHeader) -> str:
    """Returns the name by which an engine has its colour: "optuna:tpe"; "none" where nothing was proposed."""
    return study.engine if study.engine == study.sampler else f"{study.engine}:{study.sampler}"


def engine_colors(board: Board) -> Mapping[str, str]:
    """Returns a colour for each engine of a board; the same one wherever the board shows it."""
    names = sorted({engine_key(study) for section in board.sections for study in section.studies})
    series = list(ENGINE_COLORS)
    return {name: series[place % len(series)] for place, name in enumerate(names)}
