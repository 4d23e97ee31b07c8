"""Engines by name, with their samplers and pruners. A new engine is a file beside this one and an entry here.

Light: an engine's library is imported when the engine is made, never to list names or to complete them in a shell.

Where a space does not mean quite the same to every engine; said with the space, so that nobody finds out later.

The set of configurations is the same to both (tests/engines/test_round_trip.py), and the baseline is. What differs is
how a grid takes a continuum, and how likely the values of an integer on a log scale are. Pure: knows no engine's
library. Called by ``spaces show``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from search.engines.base import Engine
from search.errors import UserError, unknown_name
from spaces.domains import Int
from spaces.space import Space

_MAX_LISTED = 3
"""So many parameters are named; the rest are counted."""


def caveats(space: Space) -> Iterator[str]:
    """Yields a sentence for each difference between engines that this space shows."""
    continuous = [name for name, domain in space.parameters.items() if domain.values() is None]
    log_integers = [name for name, domain in space.parameters.items() if isinstance(domain, Int) and domain.log]
    if continuous:
        yield f"optuna:grid takes no continuum, so {_abbreviated_list(continuous)} must be fixed for it."
    if continuous or log_integers:
        yield (
            f"keras-tuner:grid takes ten values of {_abbreviated_list([*continuous, *log_integers])}, "
            "spread over the scale."
        )
    if log_integers:
        yield (
            f"keras-tuner draws {_abbreviated_list(log_integers)} a little larger than optuna does: "
            "to it the value v owns the scale from "
            "v to v + 1, to optuna from v - 1/2 to v + 1/2."
        )


def _abbreviated_list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_LISTED])
    return shown if len(names) <= _MAX_LISTED else f"{shown} and {len(names) - _MAX_LISTED} more"


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
        """Engine and sampler as they are written on the command line: ``optuna:tpe``."""
        return f"{self.engine}:{self.sampler}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """An engine by name.

    Args:
        make: Makes it from a choice, a space, the study's seed and the epochs of a full trial.
        samplers: Its samplers, the default first, and what each is, one line.
        pruners: Its pruners, the default first.
    """

    make: Callable[[EngineChoice, Space, int, int], Engine]
    samplers: Mapping[str, str]
    pruners: tuple[str, ...]


def _optuna(choice: EngineChoice, space: Space, seed: int, epochs: int) -> Engine:
    from search.engines.optuna_engine import OptunaEngine

    return OptunaEngine(space, sampler=choice.sampler, pruner=choice.pruner, seed=seed, epochs=epochs)


def _keras_tuner(choice: EngineChoice, space: Space, seed: int, epochs: int) -> Engine:
    from search.engines.keras_tuner_engine import KerasTunerEngine

    return KerasTunerEngine(space, sampler=choice.sampler, seed=seed, epochs=epochs)


ENGINES: Mapping[str, EngineKind] = {
    "optuna": EngineKind(
        make=_optuna,
        samplers={
            "tpe": "tree-structured Parzen estimator, multivariate, by groups of conditions",
            "gp": "Gaussian process (extra gp)",
            "cmaes": "CMA-ES, choices at random (extra cmaes)",
            "random": "uniform draws",
            "qmc": "scrambled Sobol sequence, choices at random",
            "grid": "every configuration once, in random order",
            "nsga2": "genetic algorithm, elitist",
        },
        pruners=("asha", "median", "hyperband", "wilcoxon", "none"),
    ),
    "keras-tuner": EngineKind(
        make=_keras_tuner,
        samplers={
            "bayesian": "Gaussian process, lower confidence bound",
            "hyperband": "random draws, most of them trained for a few epochs, the best going on",
            "random": "uniform draws",
            "grid": "every configuration once, in order; ten values of a continuum",
        },
        pruners=("none",),
    ),
}
"""Engines by name, the default first."""


def parse_engine(text: str, *, sampler: str | None = None, pruner: str | None = None) -> EngineChoice:
    """Returns the engine that a text such as ``optuna`` or ``keras-tuner:hyperband`` names.

    Args:
        text: The engine, and after a colon its sampler where it is not named otherwise.
        sampler: Its sampler; the engine's default where neither says.
        pruner: Its pruner; the engine's default where it is None.

    Raises:
        UserError: There is none of that name, or the sampler is named twice.
    """
    engine, colon, sampler_in_text = text.partition(":")
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    kind = ENGINES[engine]
    if colon and sampler is not None and sampler != sampler_in_text:
        raise UserError(f"The sampler is named twice. Received: --engine {text} and --sampler {sampler}.")
    chosen_sampler = sampler_in_text if colon else sampler or next(iter(kind.samplers))
    if chosen_sampler not in kind.samplers:
        raise unknown_name(f"sampler of {engine}", chosen_sampler, kind.samplers)
    chosen_pruner = pruner or kind.pruners[0]
    if chosen_pruner not in kind.pruners:
        raise unknown_name(f"pruner of {engine}", chosen_pruner, kind.pruners)
    return EngineChoice(engine=engine, sampler=chosen_sampler, pruner=chosen_pruner)


def engine_names() -> list[str]:
    """Returns every engine with every sampler, as ``choose_engine`` reads them."""
    return [f"{engine}:{sampler}" for engine, kind in ENGINES.items() for sampler in kind.samplers]


def make_engine(choice: EngineChoice, space: Space, *, seed: int, epochs: int) -> Engine:
    """Returns an engine.

    Args:
        choice: Which one.
        space: The space to propose from.
        seed: The study's seed.
        epochs: Epochs of a full trial.

    Raises:
        UserError: It cannot be used here, for want of an extra or because of the space; the message says why.
    """
    return ENGINES[choice.engine].make(choice, space, seed, epochs)
