"""Which parameters a change activates, as trainings of a conditional space tell."""

from __future__ import annotations

import itertools
import random
from typing import Any

import optuna
import pytest

from search.engines.hub.samplers.screened_mutation.activity import Activity
from search.engines.hub.samplers.screened_mutation.history import Training, TrainingReader
from spaces import registry

DEFAULTS = {"rate": 0.001, "momentum": 0.9}


def trainings(*params: dict[str, Any]) -> list[Training]:
    distributions = {
        "optimizer": optuna.distributions.CategoricalDistribution(("adam", "sgd")),
        "rate": optuna.distributions.FloatDistribution(0.0, 1.0),
        "momentum": optuna.distributions.FloatDistribution(0.0, 1.0),
        "zoom": optuna.distributions.FloatDistribution(0.0, 1.0),
    }
    trials = [
        optuna.trial.create_trial(params=each, distributions={name: distributions[name] for name in each}, value=1.0)
        for each in params
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    return list(TrainingReader(None, None).read(trials, 1.0))


ADAM, SGD = {"optimizer": "adam", "rate": 0.01, "zoom": 0.0}, {"optimizer": "sgd", "momentum": 0.8, "zoom": 0.0}


def test_a_change_brings_its_parameters_and_takes_those_of_the_old_value() -> None:
    activity = Activity(trainings(ADAM, SGD))
    changed = {**SGD, "optimizer": "adam"}
    assert activity.resolved(changed, ["optimizer"], DEFAULTS) == {"optimizer": "adam", "rate": 0.001, "zoom": 0.0}


def test_a_value_that_was_never_trained_changes_nothing_else() -> None:
    changed = {**SGD, "optimizer": "adam"}
    assert Activity(trainings(SGD)).resolved(changed, ["optimizer"], DEFAULTS) == changed
    assert Activity([]).resolved(changed, ["optimizer"], DEFAULTS) == changed


def test_what_differs_among_trainings_with_an_equal_value_is_not_governed_by_it() -> None:
    activity = Activity(trainings(ADAM, SGD, {**ADAM, "zoom": 0.5}))
    changed = {**SGD, "zoom": 0.5}
    assert activity.resolved(changed, ["zoom"], DEFAULTS) == changed


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_gates_of_a_shipped_space_are_found(name: str) -> None:
    space, draw = registry.load(name), random.Random(1)
    configs = [dict(space.sample(draw)) for _ in range(300)]
    trials = []
    for number, config in enumerate(configs):
        choices = {each: optuna.distributions.CategoricalDistribution((value,)) for each, value in config.items()}
        trials.append(optuna.trial.create_trial(params=config, distributions=choices, value=1.0))
        trials[-1].number = number
    activity = Activity(list(TrainingReader(None, None).read(trials, 1.0)))
    for before, after in itertools.pairwise(configs):
        changed = {**before, "optimizer": after["optimizer"]}
        resolved = activity.resolved(changed, ["optimizer"], after)
        rates = [each for each in resolved if each.startswith("learning_rate")]
        assert rates == [each for each in after if each.startswith("learning_rate")]
