"""Names what plays on recorded trainings: engines and rivals.

Called by ``simulate``, ``run`` and the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from search.compare.recorded.cfo import FlamlCfo
from search.compare.recorded.rivals import Generations, RandomMutation, Rival
from search.engines.base import Engine
from search.engines.registry import EngineChoice, make_engine, objective_of, parse_engine, pruners_of
from search.errors import unknown_name
from spaces.space import Space

RIVAL = "rival"
"""Stands before the colon in a rival's name."""
RIVALS: Mapping[str, Callable[[Space, int, int], Engine]] = MappingProxyType(
    {"recipes": Rival, "mutation": RandomMutation, "generations": Generations, "cfo": FlamlCfo}
)
"""Rivals by the name after the colon; each is made from a space, a seed and the epochs of a full trial."""


def parse_contender(text: str, *, pruner: str | None = None) -> EngineChoice:
    """Returns the engine or rival that a text such as ``optuna:tpe`` or ``rival:recipes`` names.

    Args:
        text: The name.
        pruner: That of engines that take one; None for each engine's default.

    Raises:
        UserError: A name is unknown.
    """
    kind, _, name = text.partition(":")
    if kind == RIVAL:
        if name not in RIVALS:
            raise unknown_name("rival", name, RIVALS)
        return EngineChoice(engine=RIVAL, sampler=name, pruner="none")
    choice = parse_engine(text)
    return parse_engine(text, pruner=pruner) if pruner in pruners_of(choice.engine, choice.sampler) else choice


def make_contender(choice: EngineChoice, space: Space, *, seed: int, epochs: int) -> tuple[Engine, str]:
    """Returns an engine or a rival, and the metric that it minimizes.

    Raises:
        UserError: An extra is missing, or the sampler cannot search the space.
    """
    if choice.engine == RIVAL:
        return RIVALS[choice.sampler](space, seed, epochs), "calibrated_loss"
    return make_engine(choice, space, seed=seed, epochs=epochs), objective_of(
        choice.engine, choice.sampler, choice.pruner
    )
