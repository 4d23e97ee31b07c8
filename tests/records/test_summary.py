"""Where a study stands, from its record alone."""

from __future__ import annotations

import dataclasses

import pytest

from search.records.record import TrialRecord
from search.records.summary import summarize
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, State
from tests.leaderboard.records import SPACE, outcome, reproduced, searched, study, tpe, verified


def reports(*errors: float | None, restored: int = 0) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(
            epoch=place + 1,
            training_loss=0.1,
            metrics={} if error is None else {"error_percent": error},
            seconds=2.0,
            restored=place < restored,
        )
        for place, error in enumerate(errors)
    )


def running(number: int, *told: EpochReport) -> tuple[TrialRecord, ...]:
    (known,) = searched(number, None)
    return (dataclasses.replace(known, reports=told, started="2026-11-20T10:05:00+00:00"),)


def test_a_running_trial_stands_at_its_last_epoch_with_its_last_error() -> None:
    (one,) = summarize(study(running(3, *reports(4.0, 2.5, None)))).running
    assert (one.trial.number, one.epoch, one.error_percent) == (3, 3, 2.5)
    assert one.started == "2026-11-20T10:05:00+00:00"


def test_a_trial_before_its_first_epoch_has_no_error() -> None:
    (one,) = summarize(study(running(3))).running
    assert (one.epoch, one.error_percent) == (0, None)


def test_trials_are_counted_by_how_they_ended_and_only_ends_of_their_own_settle() -> None:
    seen = summarize(tpe())
    assert seen.states == {State.COMPLETE: 8, State.PRUNED: 2, State.FAILED: 2, State.INTERRUPTED: 1}
    assert seen.finished == 12
    assert [one.trial.number for one in seen.running] == [11]


def test_a_paused_trial_names_the_one_that_went_on_from_it() -> None:
    paused = searched(1, outcome(3.0, State.PAUSED, epochs=2))
    child = dataclasses.replace(searched(4, None)[0].trial, parent=1, seed=paused[0].trial.seed)
    seen = summarize(study(paused, searched(2, outcome(3.0, State.PRUNED)), (TrialRecord(trial=child, outcome=None),)))
    assert seen.continued_by == {1: 4}
    assert seen.running[0].trial.parent == 1


def test_the_best_is_the_lowest_complete_one_beside_the_baseline() -> None:
    seen = summarize(tpe())
    assert (seen.best.trial.number, seen.best.error_percent) == (6, 0.55)
    assert seen.best.baseline_difference == pytest.approx(0.55 - 1.41)
    assert seen.baseline_error_percent == 1.41


def test_a_pruned_trial_is_never_the_best() -> None:
    pruned = searched(1, outcome(0.1, State.PRUNED, epochs=3))
    assert summarize(study(pruned)).best is None
    assert summarize(study(pruned, searched(2, outcome(0.9)))).best.trial.number == 2


def test_before_the_baseline_is_complete_there_is_no_difference() -> None:
    seen = summarize(study(searched(0, None, origin=BASELINE, config=SPACE.baseline), searched(1, outcome(0.9))))
    assert (seen.best.baseline_difference, seen.baseline_error_percent) == (None, None)


def test_test_runs_are_counted_once_a_repeat() -> None:
    interrupted = Outcome(state=State.INTERRUPTED, cause=Cause.CANCELLED)
    again = dataclasses.replace(verified(6, (None, 0.60))[1])
    moved = dataclasses.replace(again, trial=dataclasses.replace(again.trial, number=900))
    (one,) = summarize(study(verified(6, (0.50, interrupted, None)), (moved,))).verified_runs
    assert (one.source_trial, one.started, one.complete) == (6, 3, 2)
    assert one.error_percent == pytest.approx(0.55)


def test_a_reproduction_has_repeats_and_no_search_trials() -> None:
    seen = summarize(study(reproduced((1.0, 1.2))))
    assert (seen.states, seen.best) == ({}, None)
    assert (
        seen.verified_runs[0].source_trial,
        seen.verified_runs[0].complete,
        seen.verified_runs[0].error_percent,
    ) == (None, 2, pytest.approx(1.1))


def test_epochs_count_what_was_trained_and_not_what_was_restored() -> None:
    done = outcome(1.0, epochs=4)
    done = dataclasses.replace(done, history=reports(4.0, 3.0, 2.0, 1.0, restored=2))
    assert summarize(study(searched(1, done), running(2, *reports(3.0, 2.0, restored=1)))).epochs == 2 + 1


def test_seconds_that_a_trial_came_with_are_counted_once() -> None:
    first = Outcome(state=State.PAUSED, history=reports(4.0, 3.0), seconds={"build": 1.0, "fit": 4.0})
    whole = Outcome(
        state=State.COMPLETE, history=reports(4.0, 3.0, 2.0, restored=2), seconds={"build": 1.5, "fit": 6.0}
    )
    (parent,), (child,) = searched(1, first), searched(5, whole)
    child = dataclasses.replace(child, trial=dataclasses.replace(child.trial, seed=parent.trial.seed, parent=1))
    assert summarize(study((parent, child))).seconds_by_part == {"build": 1.5, "fit": 6.0}


def test_a_trial_that_began_anew_after_an_interruption_costs_twice() -> None:
    cut = Outcome(state=State.INTERRUPTED, history=reports(4.0, 3.0), seconds={"fit": 4.0})
    whole = Outcome(state=State.COMPLETE, history=reports(4.0, 3.0, 2.0), seconds={"fit": 6.0})
    (before,), (after,) = searched(1, cut), searched(2, whole)
    after = dataclasses.replace(after, trial=dataclasses.replace(after.trial, seed=before.trial.seed))
    assert summarize(study((before, after))).seconds_by_part == {"fit": 10.0}


def test_the_epochs_of_a_killed_worker_are_counted_as_training() -> None:
    killed = Outcome(state=State.FAILED, cause=Cause.KILLED, history=reports(4.0, 3.0))
    assert summarize(study(searched(1, killed))).seconds_by_part == {"fit": 4.0}


def test_the_last_beginning_is_a_trials_or_the_studys() -> None:
    assert summarize(study()).last_started == "2026-11-20T10:00:00+00:00"
    assert summarize(study(running(0), searched(1, outcome(1.0)))).last_started == "2026-11-20T10:05:00+00:00"


def test_failures_of_every_phase_are_told() -> None:
    phases = {trial.phase for one in summarize(tpe()).failures for trial in one.trials}
    assert phases == {Phase.SEARCH, Phase.VERIFICATION}
