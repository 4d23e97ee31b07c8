"""The space of a run: the loaded one as ``--fix``, ``--range``, ``--tune`` and ``--at`` change it.

Also names these changes, for the default name of a study. Called by ``search.session.plan``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.session.settings import Settings, flag
from search.trial import RECIPE_PREFIX, Config
from spaces.domains import Choice, Domain, Value
from spaces.restrict import restrict
from spaces.space import Space

WINNER = "winner"
"""Value of ``--at`` for the best configuration of the first study of ``--from``."""
MAX_NAME_LENGTH = 60
"""Characters of the changes in a study's default name; longer ones are counted, and told apart by a hash."""


def changed_space(space: Space, settings: Settings, winner: Config | None = None) -> Space:
    """Returns the space as the options change it.

    Args:
        space: As it was loaded.
        settings: The options.
        winner: The best configuration of the first study of ``--from``; None if there is none.

    Raises:
        SpaceError: As ``restrict``.
        UserError: A name is that of an option, or there is no configuration to stay at.
    """
    options = {field.name for field in dataclasses.fields(Settings)}
    for name in (*settings.fix, *settings.range, *settings.tune):
        if name in options and name not in space.declared:
            raise UserError(
                f"{name} is an option of a study, not a parameter that the search varies. Received: {name}.",
                hint=f"Set it with {flag(name)} VALUE.",
            )
    at = None if settings.at is None else _configuration(space, settings.at, winner)
    return restrict(space, fix=settings.fix, ranges=settings.range, tune=settings.tune, at=at)


def _configuration(space: Space, at: str, winner: Config | None) -> dict[str, Value]:
    """Returns the configuration that ``--at`` names, without parameters that the space lacks."""
    if at == WINNER:
        if winner is None:
            raise UserError(
                "--at winner is the best configuration of a study with full trials, which --from names.",
                hint="Such as --from mnist-cnn-mutation --at winner.",
            )
        return {name: value for name, value in winner.items() if name in space.declared}
    name = at.removeprefix(RECIPE_PREFIX.rstrip()).strip()
    if name not in space.recipes:
        known = ", ".join([*(f'--at "{RECIPE_PREFIX}{recipe}"' for recipe in space.recipes), "--at winner"])
        raise UserError(f"The space {space.name} has no such recipe. Received: --at {at!r}.", hint=f"Known: {known}.")
    return space.recipe(name)


def name_of_changes(settings: Settings, space: Space, pruner: str | None) -> str:
    """Returns the part of a study's default name that tells what was fixed or changed; empty if nothing was.

    Args:
        settings: The options.
        space: The space that they make.
        pruner: The engine's default pruner; None where nothing is searched.
    """
    words = list(_words(settings, space, pruner))
    text = "-".join(words)
    if len(text) <= MAX_NAME_LENGTH:
        return text
    return f"{len(words)}-changes-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _words(settings: Settings, space: Space, pruner: str | None) -> Iterator[str]:
    for name in (*settings.fix, *settings.range):
        value = settings.fix[name] if name in settings.fix else settings.range[name]
        yield f"{name}-{_describe(space.parameters[name]) if name in space.parameters else value}"
    if settings.tune:
        yield f"tune-{'-'.join(settings.tune)}"
    if settings.at is not None:
        yield f"at-{settings.at.removeprefix(RECIPE_PREFIX.rstrip()).strip()}"
    for path in map(Path, settings.from_):  # a study's file is named like any other, its folder is not
        yield f"from-{path.parent.name if path.name.endswith('.json.gz') and path.parent.name else path.name}"
    if settings.max_parameters is not None:
        yield f"{settings.max_parameters}-parameters"
    usual = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name in ("epochs", "split", "split_seed", "folds", "class_weight", "objective"):
        value = getattr(settings, name)
        if value != usual[name]:
            yield f"{value}-{name}" if name in ("epochs", "folds") else f"{name}-{value}"
    if None not in (pruner, settings.pruner) and settings.pruner != pruner:
        yield f"pruner-{settings.pruner}"


def _describe(domain: Domain) -> str:
    values: Any = domain.options if isinstance(domain, Choice) else dict.fromkeys((domain.low, domain.high))
    return "-".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
