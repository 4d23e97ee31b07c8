"""How far a run may lie from a recorded one: by seeds where they were recorded, else by images."""

from __future__ import annotations

import random

import pytest

from search.reproduction.comparison import error_tolerance
from search.trial import Outcome, State
from tests.leaderboard import records


def interval(study, known, again=None):
    found = error_tolerance(study, known, again or Outcome(state=State.COMPLETE, scored_images=10_000))
    assert found is not None
    return found.interval.low, found.interval.high, found.basis


def test_a_test_run_is_judged_by_the_seeds_of_its_row() -> None:
    study = records.study(records.searched(1, records.outcome(0.6)), records.verified(1, (0.50, 0.46, 0.54)))
    low, high, basis = interval(study, study.trials[1])
    # Student's t with 2 degrees of freedom, 4.303, times 0.04, times the root of 4 / 3.
    assert (low, high) == pytest.approx((0.50 - 0.1987, 0.50 + 0.1987), abs=1e-3)
    assert "3" in basis


def test_a_search_trial_borrows_the_spread_of_its_rows_test_runs() -> None:
    study = records.study(records.searched(1, records.outcome(0.6)), records.verified(1, (0.50, 0.46, 0.54)))
    low, high, _ = interval(study, study.trials[0])
    assert (low, high) == pytest.approx((0.6 - 0.2434, 0.6 + 0.2434), abs=1e-3)


def test_without_seeds_the_images_decide_and_so_for_a_trial_that_was_stopped() -> None:
    alone = records.study(records.searched(1, records.outcome(1.0)))
    low, high, basis = interval(alone, alone.trials[0])
    assert (low, high) == pytest.approx((1 - 0.2758, 1 + 0.2758), abs=1e-3)
    assert "10,000 images" in basis
    stopped = records.study(
        records.searched(1, records.outcome(1.0, State.PRUNED, epochs=3)), records.verified(1, (0.5, 0.46))
    )
    assert interval(stopped, stopped.trials[0]) == (low, high, basis)


def test_without_an_error_there_is_no_interval() -> None:
    study = records.study(records.searched(1, Outcome(state=State.FAILED)))
    assert error_tolerance(study, study.trials[0], Outcome(state=State.FAILED)) is None


def test_a_run_of_another_seed_lies_outside_in_one_case_in_twenty() -> None:
    """Of 4,000 simulated rows of three seeds 5 % are outside, within 4 standard errors (0.34 points)."""
    draw = random.Random(0)
    outside = 0
    for _ in range(4000):
        errors = [draw.gauss(0.5, 0.04) for _ in range(4)]
        study = records.study(records.searched(1, records.outcome(0.6)), records.verified(1, errors[:3]))
        low, high, _ = interval(study, study.trials[1])
        outside += not low <= errors[3] <= high
    assert outside / 4000 == pytest.approx(0.05, abs=4 * 0.0034)
