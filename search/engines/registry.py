"""Engines by name. A new engine is a module in this package, its samplers in ``samplers``, and an entry in ``ENGINES``.

An engine's library is imported when the engine is made, not to list names or to complete them in a shell. Called by the
settings, the session and the comparison of engines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from search.engines.base import Engine, short_epochs
from search.engines.samplers import KERAS_TUNER_SAMPLERS, OPTUNA_PRUNERS, OPTUNA_SAMPLERS, SCREENING
from search.errors import UserError, unknown_name
from search.protocol import Objective
from spaces.domains import Int
from spaces.space import Space

_MAX_LISTED = 3
"""Number of parameters that a caveat names; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine with one of its samplers and pruners.

    Args:
        engine: A name in ``ENGINES``.
        sampler: One of its samplers.
        pruner: One of its pruners.
    """

    engine: str
    sampler: str
    pruner: str

    @property
    def name(self) -> str:
        """Engine and sampler as on the command line: ``optuna:tpe``."""
        return f"{self.engine}:{self.sampler}"


def _optuna(choice: EngineChoice, space: Space, seed: int, epochs: int, objective: str) -> Engine:
    from search.engines.optuna_engine import OptunaEngine
    from search.engines.screened_engine import ScreenedEngine

    if OPTUNA_SAMPLERS[choice.sampler].screens:
        return ScreenedEngine(space, sampler=choice.sampler, seed=seed, epochs=epochs, objective=objective)
    pruner = "none" if choice.pruner == SCREENING else choice.pruner
    return OptunaEngine(space, sampler=choice.sampler, pruner=pruner, seed=seed, epochs=epochs, objective=objective)


def _keras_tuner(choice: EngineChoice, space: Space, seed: int, epochs: int, objective: str) -> Engine:
    try:
        from search.engines.keras_tuner_engine import KerasTunerEngine
    except ModuleNotFoundError as error:  # Keras Tuner imports Keras with the backend of the environment
        raise UserError(
            f"Keras Tuner cannot be imported: {error}. Received: KERAS_BACKEND={os.environ.get('KERAS_BACKEND', '')}.",
            hint="Unset KERAS_BACKEND, or install what it names.",
        ) from error

    return KerasTunerEngine(space, sampler=choice.sampler, seed=seed, epochs=epochs, objective=objective)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """An engine by name.

    Args:
        make: Makes it from a choice, a space, the study's seed, the epochs of a full trial, and the metric to minimize.
        samplers: Names of its samplers, the default first.
        pruners: Names of its pruners, the default first.
    """

    make: Callable[[EngineChoice, Space, int, int, str], Engine]
    samplers: Collection[str]
    pruners: Collection[str]


ENGINES: Mapping[str, EngineKind] = {
    "optuna": EngineKind(make=_optuna, samplers=OPTUNA_SAMPLERS, pruners=(*OPTUNA_PRUNERS, SCREENING)),
    "keras-tuner": EngineKind(make=_keras_tuner, samplers=KERAS_TUNER_SAMPLERS, pruners=("none", SCREENING)),
}
"""Engines by name, the default first."""


def parse_engine(text: str, *, sampler: str | None = None, pruner: str | None = None) -> EngineChoice:
    """Returns the choice that a text such as ``optuna`` or ``keras-tuner:hyperband`` stands for.

    Args:
        text: The engine, and optionally its sampler after a colon.
        sampler: Its sampler; None for the one in the text, else the engine's default.
        pruner: Its pruner; None for the engine's default.

    Raises:
        UserError: A name is unknown, or the text and ``sampler`` name two samplers.
    """
    engine, colon, sampler_in_text = text.partition(":")
    if engine not in ENGINES:
        if owners := _owners(engine):
            raise UserError(f"Unknown engine. Received: {engine!r}, a sampler.", hint=f"Choose {owners}.")
        raise unknown_name("engine", engine, ENGINES)
    kind = ENGINES[engine]
    if colon and sampler is not None and sampler != sampler_in_text:
        raise UserError(f"The sampler is named twice. Received: --engine {text} and --sampler {sampler}.")
    chosen_sampler = sampler_in_text if colon else sampler or next(iter(kind.samplers))
    if chosen_sampler not in kind.samplers:
        if owners := _owners(chosen_sampler):
            raise UserError(f"{engine} has no such sampler. Received: {chosen_sampler!r}.", hint=f"Choose {owners}.")
        raise unknown_name(f"sampler of {engine}", chosen_sampler, kind.samplers)
    pruners = pruners_of(engine, chosen_sampler)
    chosen_pruner = pruner or next(iter(pruners))
    if chosen_pruner not in kind.pruners:
        raise unknown_name(f"pruner of {engine}", chosen_pruner, kind.pruners)
    if chosen_pruner not in pruners:
        raise UserError(
            f"Sampler {chosen_sampler!r} decides by itself what is trained in full, and takes no pruner. "
            f"Received: --pruner {pruner}.",
            hint="Leave --pruner out.",
        )
    return EngineChoice(engine=engine, sampler=chosen_sampler, pruner=chosen_pruner)


def _owners(sampler: str) -> str:
    """Returns the engines that have a sampler of this name, with it; an empty text if none has."""
    name = sampler.lower()
    return " or ".join(f"{engine}:{name}" for engine, kind in ENGINES.items() if name in kind.samplers)


def screens(engine: str, sampler: str | None, pruner: str | None) -> bool:
    """Returns whether an engine proposes short trials; see ``EngineCapabilities.screens``."""
    return pruner == SCREENING or _screens_itself(engine, sampler)


def objective_of(engine: str, sampler: str | None, pruner: str | None, objective: Objective = Objective.ERROR) -> str:
    """Returns the metric that an engine's sampler minimizes, a name in ``search.metrics.METRICS``."""
    is_screened = objective is Objective.ERROR and screens(engine, sampler, pruner)
    return "calibrated_loss" if is_screened else objective.metric


def pruners_of(engine: str, sampler: str | None) -> Collection[str]:
    """Returns the pruners that an engine takes with a sampler, the default first."""
    decides_itself = _screens_itself(engine, sampler) or (engine, sampler) == ("keras-tuner", "hyperband")
    return ("none",) if decides_itself else ENGINES[engine].pruners


def _screens_itself(engine: str, sampler: str | None) -> bool:
    return engine == "optuna" and sampler is not None and OPTUNA_SAMPLERS[sampler].screens


def engine_names() -> list[str]:
    """Returns every engine with every sampler, as ``parse_engine`` reads them."""
    return [f"{engine}:{sampler}" for engine, kind in ENGINES.items() for sampler in kind.samplers]


def describe_names(field: str) -> str:
    """Returns the samplers or pruners of every engine: "optuna: tpe (default), gp; ...".

    Args:
        field: "samplers" or "pruners".
    """
    names_by_engine = {engine: ", ".join(getattr(kind, field)) for engine, kind in ENGINES.items()}
    return "; ".join(f"{engine}: {names}".replace(",", " (default),", 1) for engine, names in names_by_engine.items())


def make_engine(choice: EngineChoice, space: Space, *, seed: int, epochs: int, objective: str | None = None) -> Engine:
    """Returns an engine.

    Args:
        choice: The engine with its sampler and pruner.
        space: The space to propose from.
        seed: The study's seed.
        epochs: Epochs of a full trial.
        objective: The metric to minimize, a name in ``search.metrics.METRICS``; None for its own.

    Raises:
        UserError: An extra is missing, or the sampler cannot search the space.
    """
    objective = objective or objective_of(choice.engine, choice.sampler, choice.pruner)
    engine = ENGINES[choice.engine].make(choice, space, seed, epochs, objective)
    if choice.pruner == SCREENING and short_epochs(epochs) < epochs:
        from search.engines.screening import Screening

        return Screening(engine, epochs=epochs, objective=objective)
    return engine


def caveats(space: Space) -> Iterator[str]:
    """Yields a sentence for each difference between the engines that this space shows.

    Both engines propose the same set of configurations from the same baseline. They differ in how a grid takes a
    continuum, and in how likely the values of an integer on a log scale are.
    """
    continuous = [name for name, domain in space.parameters.items() if domain.values() is None]
    log_integers = [name for name, domain in space.parameters.items() if isinstance(domain, Int) and domain.log]
    if continuous:
        yield f"optuna:grid takes no continuum, so {_abbreviated_list(continuous)} must be fixed for it."
    if continuous or log_integers:
        names = _abbreviated_list([*continuous, *log_integers])
        yield f"keras-tuner:grid takes ten values of {names}, spread over the scale."
    if log_integers:
        yield (
            f"keras-tuner draws {_abbreviated_list(log_integers)} a little larger than optuna does: the value v covers "
            "the scale from v to v + 1 in keras-tuner, from v - 1/2 to v + 1/2 in optuna."
        )


def _abbreviated_list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_LISTED])
    return shown if len(names) <= _MAX_LISTED else f"{shown} and {len(names) - _MAX_LISTED} more"
