"""Warm start: the best configurations of earlier studies become the first recipes of a space.

The studies may be on other data and of other spaces: parameters that the space lacks are left out, and those that a
study lacks stay at the baseline. Called by ``search.session.plan``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from search.records.record import StudyRecord, TrialRecord
from search.study.verification import best_trials
from search.trial import Config
from spaces.space import Recipe, Space

CONFIGS_PER_STUDY = 3
"""Configurations that a study contributes, its best."""


def with_earlier_studies(space: Space, studies: Sequence[StudyRecord], *, max_parameters: int | None = None) -> Space:
    """Returns the space with recipes from studies before its own: the best of each study, then the second best.

    Configurations that lie outside the space, or are its baseline, are left out.

    Args:
        space: The space.
        studies: Earlier studies, the most trusted first.
        max_parameters: Most trainable parameters of a network; where a study has none within, its best ones are taken.
    """
    ranked = [[(study, entry) for entry in _best_within(study, max_parameters)] for study in studies]
    recipes: dict[str, Recipe] = {}
    configs = [space.baseline]
    for study, entry in filter(None, chain.from_iterable(zip_longest(*ranked))):
        config = space.baseline_with(entry.trial.config)
        if config not in configs and space.contains(config):
            configs.append(config)
            recipes[f"{study.header.name} #{entry.trial.number}"] = _recipe(config, space, study, entry)
    own = {name: recipe for name, recipe in space.recipes.items() if space.recipe(name) not in configs}
    return replace(space, recipes={**recipes, **own})


def _best_within(study: StudyRecord, max_parameters: int | None) -> list[TrialRecord]:
    ranked = best_trials(study, len(study.trials))
    within = [entry for entry in ranked if max_parameters is None or _parameters(entry) <= max_parameters]
    return (within or ranked)[:CONFIGS_PER_STUDY]


def _parameters(entry: TrialRecord) -> float:
    count = None if entry.outcome is None else entry.outcome.parameter_count
    return math.inf if count is None else count


def _recipe(config: Config, space: Space, study: StudyRecord, entry: TrialRecord) -> Recipe:
    changes = {name: value for name, value in config.items() if space.baseline.get(name) != value}
    error = "" if entry.error_percent is None else f", validation error {entry.error_percent:.2f} %"
    header = study.header
    return Recipe(
        values=changes,
        doc=f"From trial {entry.trial.number} of study {header.name}.",
        source=f"study {header.name}, data {header.protocol.dataset}{error}",
    )
