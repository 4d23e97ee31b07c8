"""Schedules and optimizers, by their values; Keras's own classes do the work."""

from __future__ import annotations

import pytest

from search.training.network import make_loss, make_optimizer, make_schedule
from spaces.training import TUTORIAL_TRAINING

pytestmark = pytest.mark.usefixtures("one_thread")


def rates(name: str, steps: int = 1000) -> list[float]:
    schedule = make_schedule(name, 0.01, steps)
    return [schedule if isinstance(schedule, float) else float(schedule(step)) for step in range(steps)]


def test_constant_is_constant() -> None:
    assert set(rates("constant")) == {0.01}


@pytest.mark.parametrize(("name", "warm_up"), [("cosine", 50), ("one_cycle", 300)])
def test_warm_up_rises_to_the_peak_and_decays_to_nothing(name: str, warm_up: int) -> None:
    found = rates(name)
    assert found[0] == 0.0
    assert max(found) == pytest.approx(0.01, rel=1e-3)
    assert abs(found.index(max(found)) - warm_up) <= 1
    assert found[: warm_up + 1] == sorted(found[: warm_up + 1])
    assert found[warm_up:] == sorted(found[warm_up:], reverse=True)
    assert found[-1] < 1e-6


def test_exponential_ends_at_a_hundredth() -> None:
    found = rates("exponential")
    assert found[0] == pytest.approx(0.01)
    assert found[-1] == pytest.approx(0.0001, rel=0.01)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "exponential"])
def test_the_shortest_trials_have_a_schedule(name: str, steps: int) -> None:
    assert all(0 <= rate <= 0.0101 for rate in rates(name, steps))


def test_optimizers_are_keras_own() -> None:
    tutorial = make_optimizer(TUTORIAL_TRAINING, 100)
    assert (type(tutorial).__name__, float(tutorial.learning_rate)) == ("Adam", pytest.approx(0.001))
    decayed = make_optimizer({**TUTORIAL_TRAINING, "optimizer": "adamw", "weight_decay": 0.01}, 100)
    assert (type(decayed).__name__, decayed.weight_decay) == ("AdamW", 0.01)
    momentum = make_optimizer({**TUTORIAL_TRAINING, "optimizer": "sgd", "learning_rate_sgd": 0.1}, 100)
    assert (type(momentum).__name__, momentum.momentum, momentum.nesterov) == ("SGD", 0.9, True)


def test_labels_are_smoothed_as_asked() -> None:
    assert make_loss({"label_smoothing": 0.05}).label_smoothing == 0.05
