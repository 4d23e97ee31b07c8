"""Limits: what engines propose is within them, and what is given may be outside."""

from __future__ import annotations

import dataclasses

import pytest
from makers import MNIST, TINY

from search.engines.base import Engine, SpaceExhausted
from search.engines.limited import LimitedEngine
from search.engines.limits import Bound, Limit, limited_space, parameter_counter
from search.engines.registry import make_engine, parse_engine
from search.errors import UserError
from search.trial import EpochReport, Outcome, Proposal, State
from spaces import load

MOST = 5


def make(name: str, most: int = MOST) -> LimitedEngine:
    limit = Limit(space=TINY, bounds=(Bound(measure=lambda config: config["width"], most=most),))
    return LimitedEngine(make_engine(parse_engine(name), TINY, seed=5, epochs=10), limit)


def run(engine: Engine, number: int, fixed: Proposal | None = None) -> Proposal:
    """Trains one trial, in which wide networks are better."""
    proposal = engine.ask(number, fixed=fixed)
    error, last = 10.0 / proposal.config["width"], proposal.target_epoch or proposal.short_epochs or 10
    metrics = {"error_percent": error, "calibrated_loss": error}
    history = tuple(EpochReport(epoch=epoch + 1, training_loss=1.0, metrics=metrics) for epoch in range(last))
    for report in history:
        engine.report(number, report)
    state = State.SCREENED if proposal.short_epochs else State.PAUSED if last < 10 else State.COMPLETE
    engine.tell(number, Outcome(state=state, metrics=metrics, history=history))
    return proposal


@pytest.mark.parametrize("name", ["optuna:mutation", "optuna:tpe", "optuna:random", "keras-tuner:hyperband"])
def test_a_search_from_a_baseline_outside_the_limit_stays_within_it(name: str) -> None:
    engine = make(name)
    run(engine, 0, Proposal(config=TINY.baseline))
    proposals = [run(engine, number) for number in range(1, 11)]
    assert max(proposal.config["width"] for proposal in proposals) == MOST
    given = {(str(one.config), one.short_epochs, one.target_epoch, one.parent) for one in proposals}
    assert len(given) == len(proposals)


def test_a_replayed_engine_goes_on_as_before() -> None:
    straight, again = make("optuna:mutation"), make("optuna:mutation")
    first = [run(straight, 0, Proposal(config=TINY.baseline)), *(run(straight, number) for number in range(1, 8))]
    for number, proposal in enumerate(first):
        run(again, number, proposal)
    assert [run(again, number) for number in range(8, 12)] == [run(straight, number) for number in range(8, 12)]


def test_a_search_ends_where_nothing_is_within_the_limit() -> None:
    with pytest.raises(SpaceExhausted):
        make("optuna:random", most=1).ask(0)


def test_recipes_and_baseline_are_narrowed_to_the_limit_and_named_so() -> None:
    count = parameter_counter(load("cnn"), MNIST)
    space = limited_space(load("cnn"), count, 60_000)
    assert list(space.recipes) == [
        "double stages + gelu, narrowed",
        "double stages, narrowed",
        "two stages + sgd, narrowed",
        "baseline, narrowed",
    ]
    assert space.baseline == load("cnn").baseline
    assert all(count(space.recipe(name)) <= 60_000 for name in space.recipes)
    assert limited_space(load("cnn"), count, 10**6) == load("cnn")


def test_a_limit_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(UserError, match="smallest has 170"):
        limited_space(load("cnn"), parameter_counter(load("cnn"), MNIST), 160)
    with pytest.raises(UserError, match="workload"):
        uncounted = dataclasses.replace(load("cnn"), workload=None)
        limited_space(uncounted, parameter_counter(uncounted, MNIST), 60_000)
