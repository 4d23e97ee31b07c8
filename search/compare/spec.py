"""What the runs of a comparison share, their order, and their seeds. Plain values without I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from search import seeds
from search.records.record import LEGACY_DEFAULTS, flatten

_REPEAT_SEED_STREAM = 3
"""Keeps the seeds of repeats apart from those that ``search.seeds`` derives for phases."""
_DESCRIPTIVE_FIELDS = frozenset({"doc", "unit", "source"})
"""Fields of a space that may be reworded without making it another comparison."""
RECIPES_KEY = "recipes"
"""Name, among a comparison's terms, of whether its searches try the space's recipes; older ones never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """Identifies one run of a comparison: a study, or a simulated search of a table.

    Args:
        engine: Such as "optuna:tpe".
        table: Name of the table; empty for a study.
        repeat: From 0; engines share the seed of a repeat of a table.
    """

    engine: str
    table: str = ""
    repeat: int


def schedule(engines: Iterable[str], repeats: int, tables: Iterable[str] = ("",)) -> list[RunKey]:
    """Returns the runs in order, repeat by repeat, so that an interrupted comparison is balanced."""
    engines, tables = tuple(engines), tuple(tables)
    return [
        RunKey(engine=engine, table=table, repeat=repeat)
        for repeat in range(repeats)
        for table in tables
        for engine in engines
    ]


def study_name(key: RunKey) -> str:
    """Returns the name of a study within the comparison's folder: "optuna-tpe-0"."""
    return f"{key.engine.replace(':', '-')}-{key.repeat}"


def study_seed(seed: int, repeat: int, table: str = "") -> int:
    """Returns the seed that all engines share in one repeat, in [0, 2**31), or on tables in [0, 2**32).

    Tables do not share it: a random engine would propose the same configurations on all of them, and the tables would
    not be independent. There are two derivations because recorded runs were made with them.
    """
    if table:
        return seeds.proposal_seed(seed, repeat, zlib.crc32(table.encode()))
    return int(np.random.SeedSequence([seed, _REPEAT_SEED_STREAM, repeat]).generate_state(1)[0]) >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSpec:
    """What all studies of a comparison share; ``tournament.json`` holds these fields.

    Args:
        name: Of the comparison and its folder.
        seed: The seed of each repeat is derived from it.
        engines: Such as "optuna:tpe", in the order in which they are run.
        repeats: Studies of each engine.
        epochs: Epochs that the search of a study may train; the last trial may exceed it. None without a bound.
        seconds: Wall-clock seconds of a search, without verification. None without a bound.
        replicates: Fresh seeds with which the best of each study and the baseline are verified.
        terms: What else must be equal, by name: space, protocol, pruner, workers, threads and so on.
        commands: The command that began it, and those that added engines or repeats.
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
        """Returns the fields as a plain dict."""
        return {**asdict(self), "engines": list(self.engines), "commands": list(self.commands)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ComparisonSpec:
        """Returns the value that ``to_json`` described."""
        return cls(**{**document, **{name: tuple(document[name]) for name in ("engines", "commands")}})

    def fixed_terms(self) -> dict[str, Any]:
        """Returns what a recorded comparison cannot change, by dotted names; engines and repeats may be added."""
        budget = {"budget.epochs": self.epochs, "budget.seconds": self.seconds}
        terms = {**LEGACY_DEFAULTS, RECIPES_KEY: False, **flatten(self.terms)}
        fixed = {name: value for name, value in terms.items() if name.rpartition(".")[2] not in _DESCRIPTIVE_FIELDS}
        return {"seed": self.seed, **budget, "replicates": self.replicates, **fixed}
