"""What failed and why, from records alone."""

from __future__ import annotations

import dataclasses

from search.records.failures import FailedTrial, continuations, group_failures
from search.records.record import TrialRecord
from search.trial import Cause, Outcome, Phase, State
from tests.leaderboard.records import header, outcome, searched, study, verified


def ended(number: int, state: State, cause: Cause | None, *, seed: int | None = None, message: str = "", **changes):
    """A search trial that failed or was interrupted; trials of one seed are one training."""
    ((known,),) = (searched(number, outcome(None, state, cause, epochs=0)),)
    told = dataclasses.replace(known.outcome, message=message, traceback=f"traceback of {number}")
    trial = dataclasses.replace(known.trial, seed=number if seed is None else seed, **changes)
    return (TrialRecord(trial=trial, outcome=told),)


def test_nothing_failed() -> None:
    assert group_failures([study(searched(0, outcome(1.0)), searched(1, None))]) == ()


def test_trials_of_one_cause_are_counted_together_with_the_last_message() -> None:
    record = study(
        ended(0, State.FAILED, Cause.INVALID, message="ValueError: negative\nin layer 3"),
        ended(1, State.FAILED, Cause.NOT_FINITE, message="A loss became NaN or infinite."),
        ended(2, State.FAILED, Cause.INVALID, message="ValueError: too large\nin layer 4"),
    )
    first, second = group_failures([record])
    assert (first.state, first.cause, first.message) == (State.FAILED, Cause.INVALID, "ValueError: too large")
    assert [trial.number for trial in first.trials] == [0, 2]
    assert first.traceback == "traceback of 2"
    assert second.cause is Cause.NOT_FINITE


def test_interruptions_stand_apart_after_failures_whatever_their_number() -> None:
    record = study(
        ended(0, State.INTERRUPTED, Cause.KILLED, seed=7),
        ended(1, State.INTERRUPTED, Cause.KILLED, seed=7),
        ended(2, State.FAILED, Cause.KILLED, seed=7),
    )
    told = group_failures([record])
    assert [(one.state, one.cause, len(one.trials)) for one in told] == [
        (State.FAILED, Cause.KILLED, 1),
        (State.INTERRUPTED, Cause.KILLED, 2),
    ]


def test_what_was_taken_up_again_is_named_step_by_step() -> None:
    record = study(
        ended(3, State.INTERRUPTED, Cause.KILLED, seed=7),
        searched(4, outcome(1.0)),
        ended(5, State.INTERRUPTED, Cause.HUNG, seed=7),
        ended(8, State.FAILED, Cause.HUNG, seed=7),
    )
    again = {trial.number: trial.continued_by for one in group_failures([record]) for trial in one.trials}
    assert again == {3: 5, 5: 8, 8: None}


def test_a_child_goes_on_from_its_parent_whatever_its_seed() -> None:
    child = dataclasses.replace(searched(2, None)[0].trial, parent=0)
    record = study(searched(0, outcome(2.0, State.PRUNED)), (TrialRecord(trial=child, outcome=None),))
    assert continuations(record) == {(Phase.SEARCH, 0): 2}


def test_a_test_run_that_failed_is_told_apart_from_a_search_trial() -> None:
    failed = Outcome(state=State.FAILED, cause=Cause.CRASHED)
    record = study(verified(6, (0.5, failed)), verified(1, (failed,)))
    (one,) = group_failures([record])
    assert one.trials == (
        FailedTrial(phase=Phase.VERIFICATION, number=100),
        FailedTrial(phase=Phase.VERIFICATION, number=601),
    )


def test_studies_are_told_apart() -> None:
    records = [study(ended(0, State.FAILED, Cause.ERROR), of=header(name)) for name in ("b", "a")]
    assert [one.study for one in group_failures(records)] == ["a", "b"]
