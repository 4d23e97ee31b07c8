import dataclasses

import pytest
from scipy.stats import ttest_rel

from search.compare.compute import TrainedComparison, compute
from search.compare.report import result_sentences
from search.trial import BASELINE, COPIED_FROM_KEY, State
from tests.compare.studies import ENVIRONMENT, finished, make_spec, outcome, simple, study

A, B, C = "optuna:tpe", "optuna:random", "keras-tuner:bayesian"
CLEAR = {A: (0.50, 0.52, 0.49) * 2, B: (0.81, 0.80, 0.84, 0.80, 0.82, 0.83)}
UNCLEAR = {A: (0.50, 0.80, 0.60), B: (0.70, 0.55, 0.75)}


def compared(errors, **changes) -> TrainedComparison:
    repeats = {"repeats": len(next(iter(errors.values())))}
    return compute(make_spec(*errors, **{**repeats, **changes}), finished(errors))


def summary(result: TrainedComparison) -> str:
    return " ".join(result_sentences(result))


def test_a_clear_difference_is_a_difference() -> None:
    result = compared(CLEAR)
    first, second = result.comparison.engines
    assert [(place.engine, place.rank, place.ties) for place in (first, second)] == [(A, 1, 0), (B, 2, 0)]
    assert first.score.mean == pytest.approx(0.5033, abs=1e-4)
    assert first.score.interval.half_width == pytest.approx(0.0143, abs=1e-4)
    expected = pytest.approx(ttest_rel(CLEAR[A], CLEAR[B]).pvalue)
    assert second.pair_with_best.p == second.pair_with_best.p_adjusted == expected
    assert first.pair_with_best is None
    assert f"Best: {A}, mean verified test error 0.50 ± 0.01 % (95 % interval over 6 repeats)." in summary(result)
    assert f"better than {B} (-0.31 percentage points, p < 0.001)" in summary(result)


def test_a_tie_is_called_a_tie() -> None:
    result = compared(UNCLEAR)
    assert [(place.rank, place.ties) for place in result.comparison.engines] == [(1, 1), (1, 1)]
    assert result.comparison.pairs[0].is_tie
    assert f"It ties with {B}" in summary(result)
    assert "3 repeats cannot establish" in summary(result)


def test_engines_that_hand_over_the_baseline_are_not_ranked_by_it() -> None:
    studies = {}
    for engine, worse in ((A, 1.5), (B, 1.9)):
        studies |= study(engine, searched=[outcome(1.0), outcome(worse)], verified={0: (1.1, 1.2)})
    said = summary(compute(make_spec(A, B, repeats=1), studies))
    assert "No engine improved on the baseline" in said
    assert A not in said


def test_p_is_adjusted_for_the_number_of_pairs() -> None:
    result = compared({**CLEAR, C: (0.60, 0.70, 0.72, 0.65, 0.82, 0.80)})
    pairs = result.comparison.pairs
    assert len(pairs) == 3
    ordered, adjusted = sorted(pair.p for pair in pairs), sorted(pair.p_adjusted for pair in pairs)
    assert adjusted[-1] == pytest.approx(ordered[-1])
    assert all(after >= before for before, after in zip(ordered, adjusted, strict=True))
    assert adjusted[0] > ordered[0]
    assert "p adjusted for 3 pairs" in summary(result)


@pytest.mark.parametrize("errors", [{A: (0.5,), B: (0.9,)}, {A: (0.5, 0.6), B: (0.6, 0.7)}])
def test_without_repeats_or_spread_there_is_no_p_and_a_tie(errors) -> None:
    result = compared(errors, repeats=len(errors[A]))
    (pair,) = result.comparison.pairs
    assert (pair.p, pair.p_adjusted, pair.is_tie) == (None, None, True)
    assert "There is no p" in summary(result)
    assert [place.rank for place in result.comparison.engines] == [1, 1]


def test_one_engine_is_compared_with_the_baseline_alone() -> None:
    result = compared({A: (0.50, 0.52, 0.49)})
    assert result.comparison.pairs == ()
    assert result.difference_to_baseline(A).mean == pytest.approx(-0.4967, abs=1e-4)
    assert result.baseline_test.mean == pytest.approx(1.0)
    assert result.baseline_validation_percent == pytest.approx(1.2)
    assert f"Only engine: {A}" in summary(result)


def test_the_best_is_the_complete_trial_with_the_least_validation_error() -> None:
    ends = [
        outcome(1.2),
        outcome(0.9),
        outcome(0.3, state=State.PRUNED, epochs=2),
        outcome(0.5),
        outcome(0.4, epochs=1),
    ]
    ends[4] = dataclasses.replace(ends[4], state=State.PAUSED)
    runs = study(A, 0, searched=ends, verified={0: (1.0, 1.1), 3: (0.6, 0.8)})
    (run,) = compute(make_spec(A), runs).studies
    assert (run.best.trial.number, run.best_label, run.validation_error_percent) == (3, "found #3", 0.5)
    assert run.test_error_percent == pytest.approx(0.7)
    assert run.baseline_error_percent == pytest.approx(1.05)
    assert run.state_counts == {"complete": 3, "pruned": 1, "paused": 1}
    assert run.epochs == 4 + 4 + 2 + 4 + 1


def test_the_best_is_what_verification_chose_by_the_engines_objective() -> None:
    ends = [
        dataclasses.replace(outcome(error), metrics={"error_percent": error, "calibrated_loss": loss})
        for error, loss in ((1.2, 0.09), (0.5, 0.08), (0.6, 0.05))
    ]
    runs = study(A, 0, searched=ends, verified={0: (1.0, 1.1), 2: (0.6, 0.8)})
    by_loss = {
        key: dataclasses.replace(each, header=dataclasses.replace(each.header, objective="calibrated_loss"))
        for key, each in runs.items()
    }
    (run,) = compute(make_spec(A), by_loss).studies
    assert (run.best.trial.number, run.validation_error_percent) == (2, 0.6)
    assert run.test_error_percent == pytest.approx(0.7)


def test_a_search_that_found_nothing_better_gives_the_baseline() -> None:
    runs = study(A, 0, searched=[outcome(0.9), outcome(1.2)], verified={0: (1.0, 1.1), 1: (1.3, 1.4)})
    (run,) = compute(make_spec(A), runs).studies
    assert run.best_label == BASELINE
    assert run.test_error_percent == pytest.approx(1.05)


def test_a_verification_that_has_not_ended_gives_no_figure() -> None:
    ends = [outcome(1.2), outcome(0.9)]
    cut = outcome(None, state=State.INTERRUPTED)
    runs = {
        **simple(A, 0, 0.5),
        **study(A, 1, searched=ends, verified={0: (1.0, 1.1), 1: (0.6, cut)}),
        **study(A, 2, searched=ends),
        **simple(B, 0, 0.7),
    }
    result = compute(make_spec(A, B), runs)
    assert result.comparison.engines[0].scores == {0: pytest.approx(0.5)}
    assert result.comparison.pairs[0].n == 1
    for engine in (A, B):
        assert f"Not finished: {engine} has 1 of 3 repeats verified." in summary(result)


def test_a_verification_run_that_failed_is_left_out_of_the_mean() -> None:
    failed = outcome(None, state=State.FAILED)
    runs = study(A, 0, searched=[outcome(1.2), outcome(0.9)], verified={0: (1.0, 1.1), 1: (0.6, failed)})
    result = compute(make_spec(A, repeats=1), runs)
    assert result.studies[0].test_error_percent == pytest.approx(0.6)
    assert f"Caution: 1 run of {A} on the test images failed" in summary(result)
    assert "Not finished" not in summary(result)


def test_an_engine_whose_every_test_run_failed_has_no_score() -> None:
    failed = outcome(None, state=State.FAILED)
    runs = study(A, 0, searched=[outcome(1.2), outcome(0.9)], verified={0: (1.0, 1.1), 1: (failed, failed)})
    result = compute(make_spec(A, repeats=1), runs)
    assert result.comparison.engines[0].score is None
    assert f"Caution: 2 runs of {A} on the test images failed" in summary(result)
    assert "Not finished" not in summary(result)


def test_a_study_that_cost_more_than_its_budget_is_named() -> None:
    ends = [outcome(1.2, at=50.0), outcome(0.9, at=130.0)]
    runs = study(A, 0, searched=ends, verified={0: (1.0, 1.1), 1: (0.6, 0.7)})
    assert "took 2 min 10 s, beyond its 1 min 40 s" in summary(compute(make_spec(A, epochs=None, seconds=100.0), runs))
    assert "trained 8 epochs, beyond its 6" in summary(compute(make_spec(A, epochs=6), runs))
    assert "Caution" not in summary(compute(make_spec(A, epochs=8), runs))


def test_without_studies_nothing_is_ranked() -> None:
    result = compute(make_spec(A, B), {})
    assert [place.rank for place in result.comparison.engines] == [None, None]
    assert result.first_header is None
    assert "nothing is ranked" in summary(result)


def test_copied_runs_score_the_test_images_once() -> None:
    copied = outcome(1.0, environment={**ENVIRONMENT, COPIED_FROM_KEY: "optuna-tpe-0"})
    ends = [outcome(1.2), outcome(0.9)]
    runs = {
        **study(A, 0, searched=ends, verified={0: (1.0, 1.0), 1: (0.6, 0.7)}),
        **study(B, 0, searched=ends, verified={0: (copied, copied), 1: (0.6, 0.7)}),
    }
    result = compute(make_spec(A, B), runs)
    assert result.test_openings == 6
    assert len(result.environments) == 1
