"""Tests of asynchronous successive halving: which stopped trial continues, on small examples."""

from __future__ import annotations

import pytest
from makers import TINY

from search.engines.asha import RungPromotions, rungs
from search.engines.base import ProposalPending
from search.engines.optuna_engine import OptunaEngine
from search.trial import EpochReport, Outcome, Proposal, State
from spaces import Int, Space


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, ()), (2, (1,)), (4, (1, 2)), (9, (3, 6)), (10, (3, 6)), (27, (7, 14))]
)
def test_rungs_begin_at_a_quarter_and_double(epochs: int, expected: tuple[int, ...]) -> None:
    assert rungs(epochs) == expected


def test_nothing_is_due_before_a_rung_has_enough_trials() -> None:
    promotions = RungPromotions(4)
    promotions.record_error(0, 1, 2.0)
    assert promotions.mark_stopped(0)
    assert promotions.next_trial() is None


def test_the_better_half_of_a_rung_is_due_best_first() -> None:
    promotions = RungPromotions(4)
    for trial, error in enumerate([5.0, 3.0, 4.0, 6.0]):
        promotions.record_error(trial, 1, error)
        promotions.mark_stopped(trial)
    due = []
    while (trial := promotions.next_trial()) is not None:
        due.append(trial)
        promotions.mark_resumed(trial)
    assert due == [1, 2]


def test_of_equals_no_more_are_due_than_there_are_places() -> None:
    promotions = RungPromotions(4)
    for trial in range(6):
        promotions.record_error(trial, 1, 88.65)
        promotions.mark_stopped(trial)
    due = []
    while (trial := promotions.next_trial()) is not None:
        due.append(trial)
        promotions.mark_resumed(trial)
    assert due == [0, 1, 2]


def test_the_highest_rung_comes_first_and_a_trial_waits_at_its_highest() -> None:
    promotions = RungPromotions(4)
    for trial, error in enumerate([1.0, 2.0, 3.0, 4.0]):
        promotions.record_error(trial, 1, error)
    for trial, error in ((2, 0.5), (3, 0.6)):
        promotions.record_error(trial, 2, error)
    for trial in range(4):
        promotions.mark_stopped(trial)
    assert promotions.next_trial() == 2


def test_a_trial_that_reached_no_rung_does_not_wait() -> None:
    promotions = RungPromotions(9)
    promotions.record_error(0, 2, 1.0)
    assert not promotions.mark_stopped(0)


def report(engine: OptunaEngine, number: int, *errors: float) -> bool:
    """Reports a trial's epochs from the first; returns whether the last one stops it."""
    return [
        engine.report(number, EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": error}))
        for epoch, error in enumerate(errors, start=1)
    ][-1]


def stop(engine: OptunaEngine, number: int, *errors: float) -> None:
    """Asks for a trial that is stopped after these epochs."""
    engine.ask(number)
    assert report(engine, number, *errors)
    history = tuple(
        EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": error})
        for epoch, error in enumerate(errors, start=1)
    )
    engine.tell(number, Outcome(state=State.PRUNED, metrics={"error_percent": errors[-1]}, history=history))


def test_the_engine_goes_on_with_a_trial_that_was_stopped_too_early() -> None:
    engine = OptunaEngine(TINY, sampler="random", pruner="asha", seed=0, epochs=4)
    engine.ask(0, fixed=Proposal(config=TINY.baseline))
    assert not report(engine, 0, 2.0)
    stop(engine, 1, 3.0)
    stop(engine, 2, 4.0)
    assert engine.may_resume(1)
    assert engine.ask(3).parent is None, "one of three goes on from the rung, and that one did"
    assert report(engine, 3, 5.0)
    engine.tell(
        3,
        Outcome(state=State.PRUNED, metrics={"error_percent": 5.0}, history=(EpochReport(epoch=1, training_loss=1.0),)),
    )
    child = engine.ask(4)
    assert child.parent == 1, "two of four do, and it is the second"
    assert not engine.may_resume(1)
    assert not report(engine, 4, 3.0, 2.5), "its first epoch was judged before"
    engine.tell(4, Outcome(state=State.COMPLETE, metrics={"error_percent": 2.0}))
    assert engine.ask(5).parent is None


def test_stopped_trials_count_as_start_up_trials() -> None:
    """Else half of all trials would not, and TPE would draw at random for twice as long."""
    engine = OptunaEngine(TINY, sampler="tpe", pruner="asha", seed=0, epochs=4)
    engine.ask(0, fixed=Proposal(config=TINY.baseline))
    report(engine, 0, 1.0, 1.0)
    engine.tell(0, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
    stop(engine, 1, 5.0)
    stop(engine, 2, 6.0)
    engine.ask(3)
    assert engine._previous_sampler._n_startup_trials == 5 - 2


def test_a_used_up_space_is_not_drawn_from_again_and_again() -> None:
    space = Space(name="few", parameters={"width": Int(1, 2, 1)})
    engine = OptunaEngine(space, sampler="random", pruner="asha", seed=0, epochs=4)
    for number in range(2):
        engine.ask(number)
    for _ in range(5):
        with pytest.raises(ProposalPending):
            engine.ask(2)
    drawn = len(engine._study.get_trials(deepcopy=False))
    with pytest.raises(ProposalPending):
        engine.ask(2)
    assert len(engine._study.get_trials(deepcopy=False)) == drawn


def test_a_rung_that_comes_back_with_an_interrupted_trial_is_judged() -> None:
    engine = OptunaEngine(TINY, sampler="random", pruner="asha", seed=0, epochs=4)
    engine.ask(0, fixed=Proposal(config=TINY.baseline))
    report(engine, 0, 1.0)
    given = engine.ask(1)
    engine.tell(1, Outcome(state=State.INTERRUPTED))
    assert engine.ask(2, fixed=given) == given
    assert report(engine, 2, 9.0), "a rung that was saved and never heard of is judged when it comes back"


def test_another_pruner_stops_for_good() -> None:
    engine = OptunaEngine(TINY, sampler="random", pruner="hyperband", seed=0, epochs=8)
    assert engine.rungs == ()
    engine.ask(0)
    engine.tell(
        0,
        Outcome(state=State.PRUNED, history=(EpochReport(epoch=2, training_loss=1.0, metrics={"error_percent": 1.0}),)),
    )
    assert not engine.may_resume(0)
