"""Colours of the charts: those of engines, and their counterparts in the dark scheme.

Figures have the colours of the light scheme; the page's script replaces them in the dark scheme. Colour-blind readers
can distinguish the series in both.

Source: Okabe and Ito, "Color Universal Design" (2008), for the series.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from search.leaderboard.board import Board
from search.leaderboard.formatting import engine_label

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
"""Colours of engines in the light scheme, and in the dark one."""

TEXT_COLOR, MUTED_COLOR, GRID_COLOR, BACKGROUND_COLOR = "#1c2024", "#646c76", "#dfe3e8", "#fffffe"
"""Text, secondary text, grid lines and background."""

ERROR_RAMP: Mapping[str, str] = MappingProxyType(
    {
        "#083f66": "#d6eeff",
        "#1c6ea4": "#8cc8f2",
        "#5c9bc4": "#4f8fb8",
        "#9dbdd3": "#3a627d",
        "#cfd9e0": "#333f49",
    }
)
"""From the lowest error to the highest."""

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


def engine_colors(board: Board) -> Mapping[str, str]:
    """Returns the colour of each engine of a board, by its label."""
    names = sorted({engine_label(study) for section in board.sections for study in section.studies})
    series = list(ENGINE_COLORS)
    return {name: series[index % len(series)] for index, name in enumerate(names)}
