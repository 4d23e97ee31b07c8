"""A parameter as an axis: the positions of its values, and their texts.

Called by the parallel coordinates and the slices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.leaderboard.board import Row
from search.report.chart_data import StudyPoints, TrialPoint
from search.report.charts.chart import escape_label, format_tick
from spaces.domains import Choice, Domain, Int, Value

MAX_DISCRETE_VALUES = 6
"""Integers that are drawn one by one."""
GOLDEN_RATIO = 0.618034


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterAxis:
    """One parameter.

    Args:
        name: Its name.
        domain: Its domain.
    """

    name: str
    domain: Domain

    @property
    def discrete_values(self) -> tuple[Value, ...]:
        """All values of a choice or of a small range of integers; else empty."""
        if isinstance(self.domain, Choice):
            return self.domain.options
        is_small = isinstance(self.domain, Int) and _count(self.domain) <= MAX_DISCRETE_VALUES
        return self.domain.values() or () if is_small else ()

    @property
    def is_log(self) -> bool:
        """Whether the domain is logarithmic."""
        return not isinstance(self.domain, Choice) and self.domain.log

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest number; of a choice, of the options' indices."""
        if isinstance(self.domain, Choice):
            return 0.0, float(len(self.domain.options) - 1)
        return float(self.domain.low), float(self.domain.high)

    def format_value(self, value: Value, longest: int = 24) -> str:
        """Returns a value as Plotly shows it; long words of it are cut."""
        if type(value) is float:
            return f"{value:.4g}"
        return "_".join(escape_label(word, longest) for word in str(value).split("_"))

    def position(self, value: Any) -> float:
        """Returns the position of a value, from 0 to 1."""
        if isinstance(self.domain, Choice):
            return _fraction(self.domain.options.index(value), 0, len(self.domain.options) - 1)
        low, high = self.domain.low, self.domain.high
        if self.domain.log:
            return _fraction(math.log(value), math.log(low), math.log(high))
        return _fraction(value, low, high)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns positions and texts of every option of a choice, else of the bounds."""
        if isinstance(self.domain, Choice):
            return [(self.position(option), escape_label(option, 14)) for option in self.domain.options]
        return [(self.position(end), format_tick(end)) for end in dict.fromkeys((self.domain.low, self.domain.high))]

    def value(self, row: Row) -> Any:
        """Returns a row's value; None where the parameter is inactive."""
        return row.config.get(self.name)


def searched_axes(study: StudyPoints, order: Sequence[str] = ()) -> list[ParameterAxis]:
    """Returns the parameters in which trials differ.

    Args:
        study: The study.
        order: Names that come first; then those active in most trials.
    """
    parameters = study.header.space.parameters
    counts = Counter(name for point in study.points for name in point.row.config)
    others = sorted((name for name in parameters if name not in order), key=lambda name: -counts[name])
    names = [*(name for name in order if name in parameters), *others]
    return [ParameterAxis(name=name, domain=parameters[name]) for name in names if _varies(study.points, name)]


def jitter(point: TrialPoint) -> float:
    """Returns a shift from -0.5 to 0.5 that separates trials with the same value; reproducible, by trial number."""
    return (point.row.trial or 0) * GOLDEN_RATIO % 1 - 0.5


def _varies(points: Sequence[TrialPoint], name: str) -> bool:
    return len({repr(point.row.config[name]) for point in points if name in point.row.config}) > 1


def _count(domain: Int) -> int:
    return (domain.high - domain.low) // domain.step + 1


def _fraction(value: float, low: float, high: float) -> float:
    return round((value - low) / (high - low), 4) if high > low else 0.5
