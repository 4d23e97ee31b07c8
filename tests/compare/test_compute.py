import dataclasses

import pytest
from scipy.stats import ttest_rel

from search.compare.compute import compute
from search.compare.paired_tests import group_ties, paired_tests, rank_engines
from search.compare.results import Comparison
from search.compare.summary import summary_sentences
from search.records.record import COPIED_FROM_KEY
from search.trial import BASELINE, State
from tests.compare.tournaments import ENVIRONMENT, finished, outcome, rules, simple, study

A, B, C = "optuna:tpe", "optuna:random", "keras-tuner:bayesian"
CLEAR = {A: (0.50, 0.52, 0.49), B: (0.81, 0.80, 0.84)}
UNCLEAR = {A: (0.50, 0.80, 0.60), B: (0.70, 0.55, 0.75)}


def compared(errors, **changes) -> Comparison:
    return compute(rules(*errors, **changes), finished(errors))


def said(comparison: Comparison) -> str:
    return " ".join(summary_sentences(comparison))


def test_a_clear_winner_wins() -> None:
    comparison = compared(CLEAR)
    first, second = comparison.engine_results
    assert [(one.engine, one.rank, one.ties) for one in (first, second)] == [(A, 1, 0), (B, 2, 0)]
    assert first.test.mean == pytest.approx(0.5033, abs=1e-4)
    assert first.test.interval.half_width == pytest.approx(0.0379, abs=1e-4)
    assert (
        second.pair_with_best.p
        == second.pair_with_best.p_adjusted
        == pytest.approx(ttest_rel(CLEAR[A], CLEAR[B]).pvalue)
    )
    assert first.pair_with_best is None
    assert f"Best: {A}, 0.50 ± 0.04 % (95 % interval over 3 repeats)." in said(comparison)
    assert f"It is better than {B}: -0.31 percentage points, p = 0.004." in said(comparison)


def test_a_tie_is_called_a_tie() -> None:
    comparison = compared(UNCLEAR)
    assert [(one.rank, one.ties) for one in comparison.engine_results] == [(1, 1), (1, 1)]
    assert comparison.pairs[0].is_tie
    assert f"It ties with {B}: these repeats do not establish an order" in said(comparison)
    assert "3 repeats cannot establish" in said(comparison)


def test_pairs_are_compared_repeat_by_repeat() -> None:
    shifted = {A: (0.2, 0.5, 0.8), B: (0.301, 0.6, 0.899)}
    comparison = compared(shifted)
    assert comparison.engine_results[0].rank == 1
    assert not comparison.pairs[0].is_tie
    crossed = compared({A: shifted[A], B: tuple(reversed(shifted[B]))})
    assert crossed.pairs[0].is_tie


def test_p_is_adjusted_for_the_number_of_pairs() -> None:
    comparison = compared({**CLEAR, C: (0.60, 0.70, 0.72)})
    assert len(comparison.pairs) == 3
    ordered = sorted(pair.p for pair in comparison.pairs)
    adjusted = sorted(pair.p_adjusted for pair in comparison.pairs)
    assert adjusted[-1] == pytest.approx(ordered[-1])
    assert all(after >= before for before, after in zip(ordered, adjusted, strict=True))
    assert adjusted[0] > ordered[0]
    assert "p adjusted for 3 pairs" in said(comparison)


@pytest.mark.parametrize("errors", [{A: (0.5,), B: (0.9,)}, {A: (0.5, 0.6), B: (0.6, 0.7)}])
def test_without_repeats_or_spread_there_is_no_p_and_a_tie(errors) -> None:
    comparison = compared(errors, repeats=len(errors[A]))
    (pair,) = comparison.pairs
    assert (pair.p, pair.p_adjusted, pair.is_tie) == (None, None, True)
    assert "There is no p" in said(comparison)
    assert [one.rank for one in comparison.engine_results] == [1, 1]


def test_equal_results_tie() -> None:
    comparison = compared({A: (0.5, 0.6, 0.7), B: (0.5, 0.6, 0.7)})
    assert comparison.pairs[0].difference.mean == pytest.approx(0.0)
    assert comparison.pairs[0].is_tie


def test_one_engine_is_compared_with_the_baseline_alone() -> None:
    comparison = compared({A: (0.50, 0.52, 0.49)})
    assert comparison.pairs == ()
    assert comparison.engine_results[0].difference_to_baseline.mean == pytest.approx(-0.4967, abs=1e-4)
    assert comparison.baseline_test.mean == pytest.approx(1.0)
    assert comparison.baseline_validation_percent == pytest.approx(1.2)
    assert f"Verified: {A}" in said(comparison)


def test_the_winner_is_the_best_complete_trial_by_validation() -> None:
    ends = [
        outcome(1.2),
        outcome(0.9),
        outcome(0.3, state=State.PRUNED, epochs=2),
        outcome(0.5),
        outcome(0.4, epochs=1),
    ]
    ends[4] = dataclasses.replace(ends[4], state=State.PAUSED)
    entry = study(A, 0, searched=ends, verified={0: (1.0, 1.1), 3: (0.6, 0.8)})
    (run,) = compute(rules(A), [entry]).engine_results[0].studies
    assert (run.best_trial, run.best_label, run.validation_error_percent) == (3, "found #3", 0.5)
    assert run.test_error_percent == pytest.approx(0.7)
    assert run.baseline_error_percent == pytest.approx(1.05)
    assert run.state_counts == {"complete": 3, "pruned": 1, "paused": 1}
    assert run.epochs == 4 + 4 + 2 + 4 + 1


def test_a_search_that_found_nothing_better_gives_the_baseline() -> None:
    entry = study(A, 0, searched=[outcome(0.9), outcome(1.2)], verified={0: (1.0, 1.1), 1: (1.3, 1.4)})
    (run,) = compute(rules(A), [entry]).engine_results[0].studies
    assert run.best_label == BASELINE
    assert run.test_error_percent == pytest.approx(1.05)


def test_a_verification_that_has_not_ended_gives_no_figure() -> None:
    ends = [outcome(1.2), outcome(0.9)]
    cut = outcome(None, state=State.INTERRUPTED)
    entries = [
        simple(A, 0, 0.5),
        study(A, 1, searched=ends, verified={0: (1.0, 1.1), 1: (0.6, cut)}),
        study(A, 2, searched=ends),
        simple(B, 0, 0.7),
    ]
    comparison = compute(rules(A, B), entries)
    assert comparison.engine_results[0].errors_by_repeat == {0: pytest.approx(0.5)}
    assert comparison.pairs[0].repeats == 1
    assert f"Not finished: {A} has 1 of 3 repeats verified." in said(comparison)
    assert f"Not finished: {B} has 1 of 3 repeats verified." in said(comparison)


def test_a_verification_run_that_failed_is_left_out_of_the_mean() -> None:
    failed = outcome(None, state=State.FAILED)
    entry = study(A, 0, searched=[outcome(1.2), outcome(0.9)], verified={0: (1.0, 1.1), 1: (0.6, failed)})
    (run,) = compute(rules(A), [entry]).engine_results[0].studies
    assert run.test_error_percent == pytest.approx(0.6)
    assert (run.is_verified, run.test_failures) == (True, 1)


def test_a_winner_whose_every_test_run_failed_is_said_to_have_failed() -> None:
    failed = outcome(None, state=State.FAILED)
    entry = study(A, 0, searched=[outcome(1.2), outcome(0.9)], verified={0: (1.0, 1.1), 1: (failed, failed)})
    comparison = compute(rules(A, repeats=1), [entry])
    assert comparison.engine_results[0].test is None
    assert f"Caution: 2 runs of {A} on the test images failed" in said(comparison)
    assert "Not finished" not in said(comparison)


def test_a_study_that_cost_more_than_its_budget_is_named() -> None:
    ends = [outcome(1.2, at=50.0), outcome(0.9, at=130.0)]
    (entry,) = [study(A, 0, searched=ends, verified={0: (1.0, 1.1), 1: (0.6, 0.7)})]
    assert "took 2 min 10 s, beyond its 1 min 40 s" in said(compute(rules(A, epochs=None, seconds=100.0), [entry]))
    assert "trained 8 epochs, beyond its 6" in said(compute(rules(A, epochs=6), [entry]))
    assert "Caution" not in said(compute(rules(A, epochs=8), [entry]))


def test_nothing_begun_is_a_comparison_all_the_same() -> None:
    comparison = compute(rules(A, B), [])
    assert [one.rank for one in comparison.engine_results] == [None, None]
    assert comparison.first_header is None
    assert "nothing is ranked" in said(comparison)


def test_runs_taken_over_open_the_test_images_once() -> None:
    copied = outcome(1.0, environment={**ENVIRONMENT, COPIED_FROM_KEY: "optuna-tpe-0"})
    ends = [outcome(1.2), outcome(0.9)]
    entries = [
        study(A, 0, searched=ends, verified={0: (1.0, 1.0), 1: (0.6, 0.7)}),
        study(B, 0, searched=ends, verified={0: (copied, copied), 1: (0.6, 0.7)}),
    ]
    comparison = compute(rules(A, B), entries)
    assert comparison.test_openings == 6
    assert len(comparison.environments) == 1


def test_engines_that_are_equal_rarely_differ() -> None:
    """The test is SciPy's; this is that ours pairs and reads it right: alpha 0.05, 2,000 draws, within five sigma."""
    import numpy as np

    from search.compare.paired_tests import paired_tests

    random, draws, alarms = np.random.default_rng(0), 2000, 0
    for _ in range(draws):
        both = random.normal(1.0, 0.1, size=(2, 5)) + random.normal(0, 0.2, size=5)
        (pair,) = paired_tests({A: dict(enumerate(both[0])), B: dict(enumerate(both[1]))})
        alarms += not pair.is_tie
    sigma = (0.05 * 0.95 / draws) ** 0.5
    assert abs(alarms / draws - 0.05) < 5 * sigma


def test_nobody_is_better_by_repeats_that_the_other_lacks() -> None:
    """A's own mean is lower only for repeats that B did not run; on those that both ran, B is better."""
    a = {0: 1.10, 1: 1.21, 2: 1.30, 3: 0.1, 4: 0.1}
    b = {0: 1.00, 1: 1.10, 2: 1.20}
    assert rank_engines({"a": a, "b": b}) == ["b", "a"]
    (pair,) = paired_tests({"a": a, "b": b})
    assert (pair.first, pair.difference.mean < 0) == ("b", True)


def test_a_tie_with_the_first_shares_its_rank_whoever_stands_between() -> None:
    errors = {
        "a": {0: 0.50, 1: 0.52, 2: 0.48},
        "b": {0: 0.551, 1: 0.569, 2: 0.53},
        "c": {0: 0.4, 1: 0.97, 2: 0.45},
    }
    found = paired_tests(errors)
    assert group_ties(rank_engines(errors), found) == [["a", "c"], ["b"]]
