"""Engines by name. A new engine is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.engines.base import Engine
from search.errors import unknown_name
from spaces.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlan:
    """What an engine is made from.

    Args:
        space: The space to propose from.
        sampler: The engine's name for the algorithm.
        pruner: The engine's name for the early-stopping rule.
        seed: The study's seed.
        epochs: Epochs of a full trial.
    """

    space: Space
    sampler: str
    pruner: str
    seed: int
    epochs: int


def _optuna(plan: EnginePlan) -> Engine:
    from search.engines.optuna_engine import OptunaEngine

    return OptunaEngine(plan.space, sampler=plan.sampler, pruner=plan.pruner, seed=plan.seed, epochs=plan.epochs)


ENGINES: Mapping[str, Callable[[EnginePlan], Engine]] = {"optuna": _optuna}
"""Engines by name; each is imported when it is made."""


def make_engine(name: str, plan: EnginePlan) -> Engine:
    """Returns an engine.

    Raises:
        UserError: No such engine, sampler or pruner, or it cannot be used here; the message says why.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return ENGINES[name](plan)
