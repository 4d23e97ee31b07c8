"""Domains: the set of values that one parameter may take, its baseline value, and when it counts.

Pure Python. A domain knows nothing of samplers: engines translate it into their own distributions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The condition under which a parameter counts: an earlier parameter has one of these values.

    Args:
        parameter: Name of an earlier parameter of the same space.
        values: Values of it that make this parameter active.
    """

    parameter: str
    values: tuple[Value, ...]

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Says whether the condition holds in a config; an inactive parent makes its children inactive."""
        return self.parameter in config and config[self.parameter] in self.values


@dataclass(frozen=True, slots=True)
class Int:
    """Whole numbers from low to high, both included.

    Args:
        low: Smallest value.
        high: Largest value.
        baseline: The tutorial's value.
        step: Distance between neighbours; must be 1 when log is set.
        log: Whether equal ratios are equally likely.
        when: Condition under which the parameter counts.
        doc: Meaning, one line.
        unit: Such as "px"; empty where there is none.
        source: Where the range comes from.
    """

    low: int
    high: int
    baseline: int
    step: int = field(default=1, kw_only=True)
    log: bool = field(default=False, kw_only=True)
    when: When | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if any(not isinstance(number, int) or isinstance(number, bool) for number in (self.low, self.high, self.step)):
            raise ValueError(f"Int needs whole numbers. Received: low={self.low!r}, high={self.high!r}.")
        if self.low > self.high or self.step < 1:
            raise ValueError(f"Int needs low <= high and step >= 1. Received: {self.describe()}, step={self.step}.")
        if self.log and (self.step != 1 or self.low < 1):
            raise ValueError(f"A log Int needs step 1 and low >= 1. Received: low={self.low}, step={self.step}.")
        if (self.high - self.low) % self.step:
            raise ValueError(f"high must lie a whole number of steps above low. Received: {self.describe()}.")
        _check_baseline(self)

    def contains(self, value: object) -> bool:
        """Says whether the value is a whole number of the range, on a step."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def values(self) -> tuple[Value, ...]:
        """Returns all values."""
        return tuple(range(self.low, self.high + 1, self.step))

    def describe(self) -> str:
        """Returns the range in words, such as ``8..64 log``."""
        return f"{self.low}..{self.high}" + (" log" if self.log else f" step {self.step}" if self.step > 1 else "")


@dataclass(frozen=True, slots=True)
class Float:
    """Real numbers from low to high, both included.

    Args:
        low: Smallest value.
        high: Largest value.
        baseline: The tutorial's value.
        step: Distance between neighbours, or None for a continuum.
        log: Whether equal ratios are equally likely; excludes a step.
        when: Condition under which the parameter counts.
        doc: Meaning, one line.
        unit: Such as "degrees"; empty where there is none.
        source: Where the range comes from.
    """

    low: float
    high: float
    baseline: float
    step: float | None = field(default=None, kw_only=True)
    log: bool = field(default=False, kw_only=True)
    when: When | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"Float needs finite low <= high. Received: {self.describe()}.")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError(f"A log Float needs low > 0 and no step. Received: low={self.low}, step={self.step}.")
        if self.step is not None and (self.step <= 0 or not self._on_step(self.high)):
            raise ValueError(f"high must lie a whole number of steps above low. Received: {self.describe()}.")
        _check_baseline(self)

    def _on_step(self, value: float) -> bool:
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def contains(self, value: object) -> bool:
        """Says whether the value is a finite number of the range, on a step where there is one."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high and self._on_step(float(value))

    def values(self) -> tuple[Value, ...] | None:
        """Returns all values, or None for a continuum."""
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step)
        return tuple(round(self.low + index * self.step, 12) for index in range(count + 1))

    def describe(self) -> str:
        """Returns the range in words, such as ``0.0005..0.02 log``."""
        return f"{self.low:g}..{self.high:g}" + (" log" if self.log else f" step {self.step:g}" if self.step else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values of one type, without an order.

    Args:
        options: The values.
        baseline: The tutorial's value.
        when: Condition under which the parameter counts.
        doc: Meaning, one line.
        unit: Such as "px"; empty where there is none.
        source: Where the options come from.
    """

    options: tuple[Value, ...]
    baseline: Value
    when: When | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.options or len({type(option) for option in self.options}) != 1:
            raise ValueError(f"Choice needs options of one type. Received: {self.options!r}.")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"Choice needs distinct options. Received: {self.options!r}.")
        _check_baseline(self)

    def contains(self, value: object) -> bool:
        """Says whether the value is one of the options, and of their type."""
        return any(type(value) is type(option) and value == option for option in self.options)

    def values(self) -> tuple[Value, ...]:
        """Returns all values."""
        return self.options

    def describe(self) -> str:
        """Returns the options in words, such as ``max | average``."""
        return " | ".join(str(option) for option in self.options)


Domain = Int | Float | Choice
DOMAINS: Mapping[str, type[Int] | type[Float] | type[Choice]] = {"int": Int, "float": Float, "choice": Choice}
"""Domains by their name in JSON."""


def _check_baseline(domain: Domain) -> None:
    if not domain.contains(domain.baseline):
        raise ValueError(f"The baseline must lie in {domain.describe()}. Received: baseline={domain.baseline!r}.")
