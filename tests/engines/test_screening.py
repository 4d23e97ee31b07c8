"""Screening: which proposals of an engine are trained in full, and when."""

from __future__ import annotations

from statistics import median

import pytest

from search.engines.base import CanEnd, Engine, NothingFits, always
from search.engines.registry import make_engine, parse_engine
from search.errors import UserError
from search.trial import Config, Outcome, Proposal, State
from spaces import Float, Space

EPOCHS, SHORT = 10, 2
SPACE = Space(name="line", parameters={"x": Float(0.0, 1.0, 0.5)})


def make(name: str = "optuna:random") -> Engine:
    return make_engine(parse_engine(name, pruner="screening"), SPACE, seed=0, epochs=EPOCHS)


def run(engine: Engine, number: int, *, fixed: Config | None = None, can_end: CanEnd = always) -> Proposal:
    """Trains one trial: its loss is x, and 1 more after a short training; its error says the opposite."""
    proposal = engine.ask(number, fixed=None if fixed is None else Proposal(config=fixed), can_end=can_end)
    is_short = proposal.short_epochs is not None
    loss = proposal.config["x"] + is_short
    state = State.SCREENED if is_short else State.COMPLETE
    engine.tell(number, Outcome(state=state, metrics={"calibrated_loss": loss, "error_percent": 9.0 - loss}))
    return proposal


def test_what_is_trained_in_full_alone_is_screened_first_and_few_others_follow() -> None:
    engine = make()
    run(engine, 0, fixed=SPACE.baseline)
    first = run(engine, 1)
    assert (first.config, first.short_epochs) == (SPACE.baseline, SHORT)
    screened, best, promoted = [first.config["x"]], SPACE.baseline["x"], 0
    for number in range(2, 40):
        proposal = run(engine, number)
        value = proposal.config["x"]
        if proposal.short_epochs is None:
            assert value < best or value < (best + median(screened)) / 2, "it beats the best before it or comes close"
            best, promoted = min(best, value), promoted + 1
        else:
            screened.append(value)
    assert promoted
    assert best < SPACE.baseline["x"]


def test_a_full_trial_is_the_best_screened_one_and_names_it() -> None:
    engine = make()
    short: dict[int, float] = {}
    for number in range(30):
        proposal = run(engine, number)
        if proposal.short_epochs is None:
            best = min(short, key=short.__getitem__)
            assert proposal.engine_metadata["mutation of"] == best
            assert proposal.config["x"] == short.pop(best)
        else:
            short[number] = proposal.config["x"]
    assert len(short) < 30


def test_the_time_that_no_short_and_full_trial_can_use_trains_the_best_screened_one() -> None:
    engine = make()
    run(engine, 0, fixed=SPACE.baseline)
    for number in range(1, 5):
        run(engine, number)
    last = run(engine, 5, can_end=lambda config, epochs: epochs <= EPOCHS)
    assert last.short_epochs is None
    with pytest.raises(NothingFits):
        run(engine, 6, can_end=lambda config, epochs: epochs < EPOCHS)


def test_the_time_is_not_spent_on_what_is_far_from_the_best() -> None:
    engine = make()
    run(engine, 0, fixed={"x": 0.0})
    for number in range(1, 6):
        run(engine, number)
    with pytest.raises(NothingFits):
        run(engine, 6, can_end=lambda config, epochs: epochs <= EPOCHS)


def test_an_interrupted_trial_is_begun_again() -> None:
    engine = make()
    run(engine, 0, fixed=SPACE.baseline)
    begun = engine.ask(1)
    engine.tell(1, Outcome(state=State.INTERRUPTED))
    assert engine.ask(2) == begun


@pytest.mark.parametrize("name", ["optuna:mutation", "keras-tuner:hyperband"])
def test_samplers_that_decide_themselves_take_no_screening(name: str) -> None:
    with pytest.raises(UserError, match="takes no pruner"):
        parse_engine(name, pruner="screening")


def test_a_trial_of_one_epoch_is_not_screened() -> None:
    engine = make_engine(parse_engine("optuna:random", pruner="screening"), SPACE, seed=0, epochs=1)
    assert not engine.capabilities.screens
