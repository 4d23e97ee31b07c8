"""Goals of a search: what is read, and when one is reached."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import complete, header, trial

from search.errors import UserError
from search.records.record import StudyRecord, TrialRecord
from search.study.stopping import ErrorBelow, Plateau, final_errors, parse, reason
from search.trial import Cause, Outcome, Phase, State


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("error<0.6", ErrorBelow(percent=0.6)),
        (" error < 12% ", ErrorBelow(percent=12.0)),
        ("error<.5", ErrorBelow(percent=0.5)),
        ("plateau:20", Plateau(trials=20)),
        ("plateau : 1", Plateau(trials=1)),
    ],
)
def test_goals_are_read(text: str, goal: ErrorBelow | Plateau) -> None:
    assert parse(text) == goal


@pytest.mark.parametrize(
    "text",
    ["", "error", "error<", "error<0", "error<-1", "error>0.6", "error<=0.6", "error<0.6.1", "error<nan", "loss<0.6",
     "plateau", "plateau:", "plateau:0", "plateau:-3", "plateau:2.5", "plateau=20", "error<0.6,plateau:3"],
)  # fmt: skip
def test_other_goals_are_refused_with_both_forms(text: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse(text)
    assert "error<" in str(refusal.value)
    assert "plateau:" in str(refusal.value)
    assert repr(text) in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("errors", "reached"),
    [([], False), ([None], False), ([0.6], False), ([0.59], True), ([0.59, 3.0, None], True), ([None, 0.7], False)],
)
def test_an_error_is_below_its_goal_or_not(errors: list[float | None], reached: bool) -> None:
    assert (ErrorBelow(percent=0.6).reason(errors) is not None) is reached


@pytest.mark.parametrize(
    ("errors", "reached"),
    [
        ([], False),
        ([1.0, 1.0], False),  # one trial after the best is not yet two
        ([1.0, 1.0, 1.0], True),  # equal is no improvement
        ([1.0, 1.2, None], True),  # a pruned one counts
        ([1.0, 1.2, 0.9], False),
        ([2.0, 1.0, 1.2], False),
        ([2.0, 1.0, 1.2, 1.1], True),
        ([None, None, None], False),  # nothing was complete: there is no best
        ([None, None, 1.0], False),
    ],
)
def test_a_plateau_of_two_trials(errors: list[float | None], reached: bool) -> None:
    assert (Plateau(trials=2).reason(errors) is not None) is reached


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 90.0)), max_size=30), st.integers(1, 10))
def test_a_plateau_is_when_the_first_best_lies_that_far_back(errors: list[float | None], trials: int) -> None:
    known = [error for error in errors if error is not None]
    expected = bool(known) and len(errors) - 1 - errors.index(min(known)) >= trials
    assert (Plateau(trials=trials).reason(errors) is not None) is expected


def test_the_first_goal_that_is_reached_is_named_with_its_figures() -> None:
    goals = [ErrorBelow(percent=0.5), Plateau(trials=1)]
    assert reason(goals, [0.9]) is None
    said = reason(goals, [0.9, 1.0])
    assert said is not None
    assert "0.90 %" in said
    assert "last 1 trials" in said
    assert "below 0.5 %" in str(reason(goals, [0.9, 0.4, 0.6]))


def test_recorded_trials_count_in_the_order_of_their_ends_and_interrupted_ones_do_not() -> None:
    ends = [
        (dataclasses.replace(complete(3.0), elapsed_seconds=9.0), Phase.SEARCH),
        (dataclasses.replace(complete(1.0), elapsed_seconds=4.0), Phase.SEARCH),
        (
            Outcome(state=State.INTERRUPTED, cause=Cause.GOAL, metrics={"error_percent": 0.1}, elapsed_seconds=5.0),
            Phase.SEARCH,
        ),
        (Outcome(state=State.PRUNED, metrics={"error_percent": 0.2}, elapsed_seconds=6.0), Phase.SEARCH),
        (None, Phase.SEARCH),
        (dataclasses.replace(complete(0.1), elapsed_seconds=20.0), Phase.VERIFICATION),
    ]
    known = tuple(
        TrialRecord(trial=trial(number, phase=phase), outcome=outcome) for number, (outcome, phase) in enumerate(ends)
    )
    assert final_errors(StudyRecord(header=header(), trials=known)) == [1.0, None, 3.0]
    limited = header(max_parameters=99)  # each of these trials has 100
    assert final_errors(StudyRecord(header=limited, trials=known)) == [None, None, None]
