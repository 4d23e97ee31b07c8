"""Rules: what all studies of a tournament share, and so what makes its engines comparable.

Plain values, kept beside the studies as ``tournament.json`` by ``search.compare``; they do no I/O themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search.records.record import LEGACY_DEFAULTS, StudyRecord, flatten

_DESCRIPTIVE_FIELDS = frozenset({"doc", "unit", "source"})
"""What may be reworded without making another tournament, as with studies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSpec:
    """The terms of one tournament.

    Args:
        name: Of the tournament, and of its folder.
        seed: From which the seed of each repeat is derived.
        engines: Such as "optuna:tpe", in the order in which they take their turns.
        repeats: Studies of each engine, numbered from 0; those of one number share every seed.
        epochs: Epochs that the search of a study may train, the last trial perhaps going beyond; None for no bound.
        seconds: Wall-clock seconds that it may take, verification not counted; None for no bound.
        replicates: Fresh seeds with which the best of each study and the baseline are verified.
        terms: What else must be equal, by name: space, protocol, pruner, workers, threads and so on.
        commands: The command that began it, and those that added to it.
        created: ISO 8601 time, UTC.
    """

    name: str
    seed: int
    engines: tuple[str, ...]
    repeats: int
    epochs: int | None = None
    seconds: float | None = None
    replicates: int = 3
    terms: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the rules as a plain dict."""
        return {**asdict(self), "engines": list(self.engines), "commands": list(self.commands)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ComparisonSpec:
        """Returns the rules that ``to_json`` described."""
        listed = {name: tuple(document[name]) for name in ("engines", "commands")}
        return cls(**{**document, **listed})

    def differences(self, requested: ComparisonSpec) -> list[str]:
        """Returns how other rules differ in what a tournament cannot change; more engines or repeats it can have."""
        old, new = _fixed_terms(self), _fixed_terms(requested)
        return [
            f"{name} (recorded {_format_value(old.get(name))}, received {_format_value(new.get(name))})"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatRecord:
    """One study of a tournament.

    Args:
        engine: Such as "optuna:tpe".
        repeat: Which of the engine's studies it is, from 0.
        record: The study as recorded.
    """

    engine: str
    repeat: int
    record: StudyRecord


def study_name(engine: str, repeat: int) -> str:
    """Returns the name of an engine's study within the tournament's folder: "optuna-tpe-0"."""
    return f"{engine.replace(':', '-')}-{repeat}"


def _fixed_terms(spec: ComparisonSpec) -> dict[str, Any]:
    """Returns what makes a tournament this one, by dotted names."""
    document = spec.to_json()
    fixed = {name: document[name] for name in ("seed", "epochs", "seconds", "replicates")}
    named = {"budget." + name if name in ("epochs", "seconds") else name: value for name, value in fixed.items()}
    terms = {**LEGACY_DEFAULTS, **flatten(spec.terms)}
    return named | {name: value for name, value in terms.items() if name.rpartition(".")[2] not in _DESCRIPTIVE_FIELDS}


def _format_value(value: object) -> str:
    return "nothing" if value is None else str(value)
