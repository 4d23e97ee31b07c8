"""A parameter as an axis: where its values lie between 0 and 1, and what is written there.

Shared by the parallel coordinates and the slices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.leaderboard.board import Row
from search.report.charts.chart import label, short
from search.report.points import Point, Searched
from spaces.domains import Choice, Domain, Int, Value

FEW = 6
"""Whole numbers that are drawn one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One parameter.

    Args:
        name: Its name.
        domain: Its domain.
    """

    name: str
    domain: Domain

    @property
    def few(self) -> tuple[Value, ...]:
        """All values, where they are the options of a choice or few whole numbers; none else."""
        if isinstance(self.domain, Choice):
            return self.domain.options
        return self.domain.values() or () if isinstance(self.domain, Int) and _count(self.domain) <= FEW else ()

    @property
    def is_log(self) -> bool:
        """Whether equal ratios are equally far apart."""
        return not isinstance(self.domain, Choice) and self.domain.log

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest number; of a choice, of its options' places."""
        if isinstance(self.domain, Choice):
            return 0.0, float(len(self.domain.options) - 1)
        return float(self.domain.low), float(self.domain.high)

    def text(self, value: Value, longest: int = 24) -> str:
        """Returns a value as Plotly shows it, cut where each word of it is long."""
        if type(value) is float:
            return f"{value:.4g}"
        return "_".join(label(word, longest) for word in str(value).split("_"))

    def place(self, value: Any) -> float:  # noqa: ANN401 - a parameter's value
        """Returns where a value lies, from 0 to 1."""
        if isinstance(self.domain, Choice):
            return _share(self.domain.options.index(value), 0, len(self.domain.options) - 1)
        low, high = self.domain.low, self.domain.high
        if self.domain.log:
            return _share(math.log(value), math.log(low), math.log(high))
        return _share(value, low, high)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns places and texts: every option of a choice, else the ends."""
        if isinstance(self.domain, Choice):
            return [(self.place(option), label(option, 14)) for option in self.domain.options]
        return [(self.place(end), short(end)) for end in dict.fromkeys((self.domain.low, self.domain.high))]

    def value(self, row: Row) -> Any:  # noqa: ANN401 - a parameter's value
        """Returns a row's value, None where the parameter does not count."""
        return row.config.get(self.name)


def axes(study: Searched, order: Sequence[str] = ()) -> list[Axis]:
    """Returns the parameters that were searched: those that trials differ in.

    Args:
        study: The study.
        order: Names that come first, such as the important ones; then those that count in most trials.
    """
    parameters = study.header.space.parameters
    counts = Counter(name for point in study.points for name in point.row.config)
    others = sorted((name for name in parameters if name not in order), key=lambda name: -counts[name])
    names = [*(name for name in order if name in parameters), *others]
    return [Axis(name=name, domain=parameters[name]) for name in names if _varies(study.points, name)]


def _varies(points: Sequence[Point], name: str) -> bool:
    return len({repr(point.row.config[name]) for point in points if name in point.row.config}) > 1


def _count(domain: Int) -> int:
    return (domain.high - domain.low) // domain.step + 1


def _share(value: float, low: float, high: float) -> float:
    return round((value - low) / (high - low), 4) if high > low else 0.5
