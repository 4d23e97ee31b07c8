"""Domains: the values that one parameter may take, its baseline value, and the condition under which it is active.

Pure Python. Engines translate a domain into their own distributions. Used by ``Space`` and by space files.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = bool | int | float | str
DECIMALS = 12
"""Decimals of a stepped float; further ones are float noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition under which a parameter is active: an earlier parameter has one of these values.

    Args:
        parameter: Name of an earlier parameter of the same space.
        values: Its values that make this parameter active.
        beyond: Further such values, for an earlier parameter that is given options beyond those that it is searched by.
    """

    parameter: str
    values: tuple[Value, ...]
    beyond: tuple[Value, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Converts the values to tuples."""
        for name in ("values", "beyond"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def between(cls, parameter: str, low: int, high: int) -> Condition:
        """Returns the condition that an integer lies from low to high, both included."""
        return cls(parameter=parameter, values=tuple(range(low, high + 1)))

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Returns whether the condition holds in a config; an inactive parent makes its children inactive."""
        return self.parameter in config and config[self.parameter] in self.values

    def describe(self) -> str:
        """Returns the condition as text, such as ``conv_stages is 2 or 3``."""
        return f"{self.parameter} is {' or '.join(str(value) for value in self.values)}"

    @property
    def parents(self) -> tuple[str, ...]:
        """The parameters that it depends on."""
        return (self.parameter,)

    def reduced(self, earlier: Mapping[str, Domain]) -> Condition | None:
        """Returns the condition with the values that the parent can have, or None if none is left."""
        parent = earlier.get(self.parameter)
        known = dict.fromkeys((*self.values, *self.beyond))
        values = tuple(value for value in known if parent is not None and parent.contains(value))
        return dataclasses.replace(self, values=values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyNonzero:
    """The condition that one of several earlier parameters is not 0; those that the space lacks are 0.

    Args:
        parameters: Names of earlier numeric parameters without a condition.
    """

    parameters: tuple[str, ...]

    def __post_init__(self) -> None:
        """Converts the names to a tuple."""
        object.__setattr__(self, "parameters", tuple(self.parameters))

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Returns whether the condition holds in a config."""
        return any(config.get(name, 0) != 0 for name in self.parameters)

    def describe(self) -> str:
        """Returns the condition as text, such as ``shift or zoom is not 0``."""
        *others, last = self.parameters
        return f"{', '.join(others)} or {last} is not 0" if others else f"{last} is not 0"

    @property
    def parents(self) -> tuple[str, ...]:
        """The parameters that it depends on."""
        return self.parameters

    def reduced(self, earlier: Mapping[str, Domain]) -> AnyNonzero | None:
        """Returns the condition with the parameters that the space has, or None if none can be other than 0."""
        names = tuple(name for name in self.parameters if name in earlier and earlier[name].values() not in ((0,), ()))
        return AnyNonzero(parameters=names) if names else None


Activation = Condition | AnyNonzero
"""What makes a parameter active."""


When = Condition
"""Alias for space files written for version 0.1.0."""


@dataclass(frozen=True, slots=True)
class Int:
    """Integers from low to high, both included.

    Args:
        low: Smallest value.
        high: Largest value.
        baseline: Its value in the baseline configuration.
        step: Distance between neighbours; 1 with log.
        log: Whether equal ratios are equally likely.
        when: Condition under which the parameter is active.
        doc: Meaning, one line.
        unit: Such as "px"; empty if it has none.
        source: Source of the range.
        limits: Smallest and largest value that ``--fix`` and ``--range`` accept; None for those of the range.
    """

    low: int
    high: int
    baseline: int
    step: int = field(default=1, kw_only=True)
    log: bool = field(default=False, kw_only=True)
    when: Activation | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)
    limits: tuple[int, int] | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError if bounds, step and baseline do not fit together."""
        if any(not isinstance(number, int) or isinstance(number, bool) for number in (self.low, self.high, self.step)):
            raise ValueError(
                f"Int needs whole numbers. Received: low={self.low!r}, high={self.high!r}, step={self.step!r}."
            )
        if self.low > self.high or self.step < 1:
            raise ValueError(f"Int needs low <= high and step >= 1. Received: {self.describe()}, step={self.step}.")
        if self.log and (self.step != 1 or self.low < 1):
            raise ValueError(f"A log Int needs step 1 and low >= 1. Received: low={self.low}, step={self.step}.")
        if (self.high - self.low) % self.step:
            raise ValueError(f"high must lie a whole number of steps above low. Received: {self.describe()}.")
        _check_baseline(self)

    def contains(self, value: object) -> bool:
        """Returns whether the value is an integer of the range, on a step."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def values(self) -> tuple[Value, ...]:
        """Returns all values."""
        return tuple(range(self.low, self.high + 1, self.step))

    def sample(self, generator: random.Random) -> int:
        """Draws a value uniformly; with log, by its share of the scale from half below to half above it."""
        if not self.log:
            return generator.randrange(self.low, self.high + 1, self.step)
        value = _sample_log_uniform(self.low - 0.5, self.high + 0.5, generator)
        return min(max(round(value), self.low), self.high)

    def describe(self) -> str:
        """Returns the range as text, such as ``8..64 log``."""
        return f"{self.low}..{self.high}" + (" log" if self.log else f" step {self.step}" if self.step > 1 else "")


@dataclass(frozen=True, slots=True)
class Float:
    """Real numbers from low to high, both included.

    Args:
        low: Smallest value.
        high: Largest value.
        baseline: Its value in the baseline configuration.
        step: Distance between neighbours, or None for a continuum.
        log: Whether equal ratios are equally likely; excludes a step.
        when: Condition under which the parameter is active.
        doc: Meaning, one line.
        unit: Such as "degrees"; empty if it has none.
        source: Source of the range.
        limits: Smallest and largest value that ``--fix`` and ``--range`` accept; None for those of the range.
    """

    low: float
    high: float
    baseline: float
    step: float | None = field(default=None, kw_only=True)
    log: bool = field(default=False, kw_only=True)
    when: Activation | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)
    limits: tuple[float, float] | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError if bounds, step and baseline do not fit together."""
        if not (_is_finite(self.low) and _is_finite(self.high) and self.low <= self.high):
            raise ValueError(f"Float needs finite low <= high. Received: low={self.low!r}, high={self.high!r}.")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError(f"A log Float needs low > 0 and no step. Received: low={self.low}, step={self.step}.")
        if self.step is not None and not (_is_finite(self.step) and self.step > 0):
            raise ValueError(f"Float needs a finite step above 0. Received: step={self.step!r}.")
        if self.step is not None:
            self._round_bounds()
        if not self.contains(self.high):
            raise ValueError(f"high must lie a whole number of steps above low. Received: {self.describe()}.")
        _check_baseline(self)

    def _round_bounds(self) -> None:
        """Rounds float noise, such as that of 3 * 0.1, off the bounds: engines count steps in exact decimals."""
        if round(self.step or 0.0, DECIMALS) != self.step:
            raise ValueError(
                f"A step has {DECIMALS} decimals at most. Received: step={self.step!r}. List the values in a Choice."
            )
        for name in ("low", "high"):
            object.__setattr__(self, name, round(getattr(self, name), DECIMALS))

    def contains(self, value: object) -> bool:
        """Returns whether the value is a number of the range, on a step if there is one, up to float noise."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        tolerance = self.step * 1e-6
        is_in_range = self.low - tolerance <= value <= self.high + tolerance
        return is_in_range and abs(self._nearest_step(value) - value) <= tolerance

    def canonical(self, value: float) -> float:
        """Returns a value of the domain without float noise, so that equal configurations are equal dicts."""
        return float(value) if self.step is None else self._nearest_step(value)

    def values(self) -> tuple[Value, ...] | None:
        """Returns all values, or None for a continuum."""
        if self.low == self.high:
            return (float(self.low),)
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step)
        return tuple(self._nearest_step(self.low + index * self.step) for index in range(count + 1))

    def sample(self, generator: random.Random) -> float:
        """Draws a value uniformly, with log on the logarithmic scale."""
        if self.step is not None:
            index = generator.randint(0, round((self.high - self.low) / self.step))
            return self._nearest_step(self.low + index * self.step)
        low, high = self.low, self.high
        drawn = _sample_log_uniform(low, high, generator) if self.log else generator.uniform(low, high)
        return min(max(drawn, low), high)

    def describe(self) -> str:
        """Returns the range as text, such as ``0.0005..0.02 log``."""
        return f"{self.low:g}..{self.high:g}" + (" log" if self.log else f" step {self.step:g}" if self.step else "")

    def _nearest_step(self, value: float) -> float:
        """Returns the value on a step that is nearest to a number of the range."""
        assert self.step is not None
        return round(self.low + round((value - self.low) / self.step) * self.step, DECIMALS)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few unordered values of one type.

    Args:
        options: The values.
        baseline: Its value in the baseline configuration.
        when: Condition under which the parameter is active.
        doc: Meaning, one line.
        unit: Such as "px"; empty if it has none.
        source: Source of the options.
        beyond: Further options that ``--fix`` and ``--range`` accept.
    """

    options: tuple[Value, ...]
    baseline: Value
    when: Activation | None = field(default=None, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)
    beyond: tuple[Value, ...] = field(default=(), kw_only=True, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError unless the options are distinct, of one type, and hold the baseline."""
        object.__setattr__(self, "options", tuple(self.options))
        object.__setattr__(self, "beyond", tuple(self.beyond))
        if len({type(option) for option in self.options}) != 1 or not isinstance(self.options[0], Value):
            raise ValueError(f"Choice needs options of one type: bool, int, float or str. Received: {self.options!r}.")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"Choice needs distinct options. Received: {self.options!r}.")
        _check_baseline(self)

    def contains(self, value: object) -> bool:
        """Returns whether the value is one of the options, and of their type."""
        return any(type(value) is type(option) and value == option for option in self.options)

    def values(self) -> tuple[Value, ...]:
        """Returns all values."""
        return self.options

    def sample(self, generator: random.Random) -> Value:
        """Draws an option uniformly."""
        return generator.choice(self.options)

    def describe(self) -> str:
        """Returns the options as text, such as ``max | average``."""
        return " | ".join(str(option) for option in self.options)


Domain = Int | Float | Choice
DOMAINS: Mapping[str, type[Int] | type[Float] | type[Choice]] = {"int": Int, "float": Float, "choice": Choice}
"""Domains by their name in JSON."""


_BEYOND = ("limits", "beyond")
"""Fields that say what could be searched; what is searched is described without them."""


def widest(domain: Domain) -> Domain:
    """Returns the domain with every value that ``--fix`` and ``--range`` accept, at the same steps."""
    if isinstance(domain, Choice):
        more = tuple(option for option in domain.beyond if option not in domain.options)
        return dataclasses.replace(domain, options=(*domain.options, *more))
    if domain.limits is None:
        return domain
    low, high = domain.limits
    return dataclasses.replace(domain, low=min(low, domain.low), high=max(high, domain.high))  # type: ignore[arg-type]


def to_json(domain: Domain) -> dict[str, Any]:
    """Returns the domain as a plain dict."""
    kind = next(kind for kind, domain_class in DOMAINS.items() if isinstance(domain, domain_class))
    return {"kind": kind, **dataclasses.asdict(domain, dict_factory=_tuples_as_lists)}


def from_json(document: Mapping[str, Any]) -> Domain:
    """Returns the domain that ``to_json`` described."""
    fields = {key: value for key, value in document.items() if key != "kind"}
    given = fields["when"]
    when = given and (AnyNonzero(**given) if "parameters" in given else Condition(**given))
    return DOMAINS[document["kind"]](**{**fields, "when": when})


def _tuples_as_lists(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in pairs if key not in _BEYOND}


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _sample_log_uniform(low: float, high: float, generator: random.Random) -> float:
    return math.exp(generator.uniform(math.log(low), math.log(high)))


def _check_baseline(domain: Domain) -> None:
    if not domain.contains(domain.baseline):
        raise ValueError(f"The baseline must lie in {domain.describe()}. Received: baseline={domain.baseline!r}.")
