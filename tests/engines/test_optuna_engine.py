"""What engines learn: from failures, and from the metric that they minimize."""

from __future__ import annotations

import pytest

from search.engines.optuna_engine import OptunaEngine
from search.engines.registry import make_engine, objective_of, parse_engine
from search.protocol import Objective
from search.trial import Cause, EpochReport, Outcome, Proposal, State
from spaces import Float, Space

SPACE = Space(name="sized", parameters={"size": Float(0.0, 1.0, 0.1), "other": Float(0.0, 1.0, 0.5)})
LARGEST = 0.5
"""The largest size that does not fail. The error falls with the size up to there."""


def proposals_that_fail(cause: Cause, seed: int) -> int:
    """Returns how many of 60 proposals after the first 20 are too large, where such trials fail for a cause."""
    engine = OptunaEngine(SPACE, sampler="tpe", pruner="none", seed=seed, epochs=4)
    failed = 0
    for number in range(80):
        size = engine.ask(number).config["size"]
        outcome = Outcome(state=State.COMPLETE, metrics={"error_percent": 10.0 - size})
        engine.tell(number, outcome if size <= LARGEST else Outcome(state=State.FAILED, cause=cause))
        failed += number >= 20 and size > LARGEST
    return failed


def test_tpe_avoids_what_does_not_fit_into_memory() -> None:
    """The seeds are fixed, so that there are no false alarms."""
    avoided = sum(proposals_that_fail(Cause.OUT_OF_MEMORY, seed) for seed in range(5))
    ignored = sum(proposals_that_fail(Cause.NOT_FINITE, seed) for seed in range(5))
    assert avoided < 0.7 * ignored


@pytest.mark.parametrize("objective", [None, *Objective])
def test_a_search_goes_on_from_what_is_best_by_its_objective(objective: Objective | None) -> None:
    choice = parse_engine("optuna:mutation")
    metric = None if objective is None else objective_of(choice.engine, choice.sampler, choice.pruner, objective)
    engine = make_engine(choice, SPACE, seed=0, epochs=10, objective=metric)
    names = ("calibrated_loss", "balanced_error_percent", "loss")
    for number, best in enumerate(names):
        metrics = {"error_percent": 1.0, **{name: 1.0 + (name != best) for name in names}}
        report = EpochReport(epoch=10, training_loss=1.0, metrics=metrics)
        engine.ask(number, fixed=Proposal(config={"size": 0.1 * number, "other": 0.5}))
        stored = {name: value for name, value in metrics.items() if name != "loss"}
        engine.tell(number, Outcome(state=State.COMPLETE, metrics=stored, history=(report,)))
    expected = {None: 0, Objective.ERROR: 0, Objective.BALANCED_ERROR: 1, Objective.LOG_LOSS: 2}[objective]
    assert engine.ask(3).config["size"] == 0.1 * expected


@pytest.mark.parametrize("name", ["optuna:random", "optuna:mutation"])
def test_after_refusals_further_configurations_are_proposed(name: str) -> None:
    engine, fresh = (make_engine(parse_engine(name), SPACE, seed=0, epochs=10) for _ in range(2))
    refused = []
    for _ in range(50):
        refused.append(str(engine.ask(0).config))
        engine.tell(0, Outcome(state=State.FAILED, cause=Cause.OUT_OF_MEMORY))
    assert len(set(refused)) == 50
    assert str(fresh.ask(0).config) == refused[0]
