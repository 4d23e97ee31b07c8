import dataclasses

import pytest

from search.records.curves import best_error_curve
from search.trial import State
from tests.compare.studies import outcome, study


def points(*searched) -> list[tuple[int, float, float]]:
    (record,) = study(searched=searched).values()
    curve = best_error_curve(record)
    return [(point.epochs, point.seconds, point.error_percent) for point in curve]


def test_a_curve_steps_where_a_complete_trial_improves() -> None:
    assert points(outcome(1.2, at=10.0), outcome(0.8, at=20.0), outcome(0.9, at=30.0)) == [
        (4, 10.0, 1.2),
        (8, 20.0, 0.8),
        (12, 30.0, 0.8),
    ]


@pytest.mark.parametrize("state", [State.PRUNED, State.PAUSED, State.INTERRUPTED, State.FAILED])
def test_an_unfinished_trial_costs_and_does_not_count(state: State) -> None:
    unfinished = outcome(0.1, at=12.0, state=state, epochs=2)
    assert points(outcome(1.2, at=10.0), unfinished, outcome(0.8, at=20.0)) == [(4, 10.0, 1.2), (10, 20.0, 0.8)]


def test_restored_epochs_are_not_counted_twice() -> None:
    paused, resumed = outcome(1.0, at=12.0, state=State.PAUSED, epochs=2), outcome(0.7, at=15.0, epochs=4, restored=2)
    assert points(outcome(1.2, at=10.0), paused, resumed) == [(4, 10.0, 1.2), (8, 15.0, 0.7)]


def test_trials_count_in_the_order_in_which_they_ended() -> None:
    assert points(outcome(1.2, at=30.0), outcome(0.8, at=20.0)) == [(4, 20.0, 0.8), (8, 30.0, 0.8)]


def test_a_trial_that_runs_or_whose_coordinator_died_changes_nothing() -> None:
    died = outcome(None, state=State.INTERRUPTED, epochs=0)
    assert points(died, outcome(1.2, at=10.0), None) == [(4, 10.0, 1.2)]
    assert points(None) == points(died) == points() == []


def test_a_trial_counts_once_it_has_ended_unless_it_was_interrupted() -> None:
    cut, failed = outcome(None, at=11.0, state=State.INTERRUPTED), outcome(None, at=12.0, state=State.FAILED, epochs=0)
    again = dataclasses.replace(failed, elapsed_seconds=25.0)
    (record,) = study(searched=[outcome(1.2, at=10.0), cut, failed, outcome(0.8, at=20.0), again]).values()
    assert [(point.trials, point.error_percent) for point in best_error_curve(record)] == [(1, 1.2), (3, 0.8), (4, 0.8)]
