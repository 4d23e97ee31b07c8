"""The statistics, on made-up regrets with a known winner and a known tie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from search.compare.tabular.results import compute
from search.compare.tabular.summary import summary_sentences
from tests.compare.tabular.made_up import BEST, FINALS, TIE, WORSE, played


def test_a_winner_on_every_table_is_told_from_who_is_behind_and_not_from_who_is_level() -> None:
    result = compute(played(FINALS))
    assert [row.engine for row in result.rows] == [BEST, TIE, WORSE]
    best, tie, worse = result.rows
    assert (best.p_adjusted, best.is_tie) == (None, False)
    assert tie.is_tie
    assert worse.p_adjusted == pytest.approx(2 * 2 / 2**8)  # every table, and two comparisons
    assert not worse.is_tie
    assert best.mean_rank == 1.5
    assert (tie.mean_rank, worse.mean_rank) == (1.5, 3.0)
    assert best.seconds_per_trial == pytest.approx(0.002)
    assert result.over_tables
    sentences = " ".join(summary_sentences(result))
    assert "Lowest mean: optuna:tpe" in sentences
    assert "does not tell" not in sentences
    assert "do not tell it from optuna:nsga2 (p = " in sentences
    assert "Behind it: optuna:random (p = 0.016)." in sentences
    assert "the mean regrets of 8 tables" in sentences


def test_checkpoints_are_means_over_tables_with_student_s_interval() -> None:
    result = compute(played(FINALS))
    assert result.trial_counts == (25, 50, 100)
    means = [0.01 * (table + 1) for table in range(8)]
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    known = result.rows[0].regrets[100]
    assert known.mean == pytest.approx(np.mean(means))
    assert (known.interval.low, known.interval.high) == pytest.approx((expected.low, expected.high))
    assert result.rows[0].regrets[25].mean > result.rows[0].regrets[50].mean > known.mean


@pytest.mark.parametrize(
    ("trials", "checkpoints"), [(10, (10,)), (25, (25,)), (60, (25, 50, 60)), (101, (25, 50, 100, 101))]
)
def test_the_last_trial_is_always_a_checkpoint(trials: int, checkpoints: tuple[int, ...]) -> None:
    assert compute(played(FINALS, trials=trials)).trial_counts == checkpoints


def test_with_few_tables_the_test_is_over_pairs_of_table_and_seed() -> None:
    finals = {
        BEST: lambda table, repeat: 0.01 + 0.001 * repeat,
        WORSE: lambda table, repeat: 0.02 + 0.003 * repeat + 0.0001 * table,
    }
    result = compute(played(finals, tables=4, repeats=5))
    assert not result.over_tables
    differences = [0.01 + 0.002 * repeat + 0.0001 * table for table in range(4) for repeat in range(5)]
    assert result.rows[1].p_adjusted == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert "20 pairs of table and seed" in " ".join(summary_sentences(result))


def test_engines_without_any_difference_tie() -> None:
    finals = {name: lambda table, repeat: 0.01 for name in (BEST, TIE, WORSE)}
    result = compute(played(finals))
    assert [row.p_adjusted for row in result.rows] == [None, 1.0, 1.0]
    assert {row.mean_rank for row in result.rows} == {2.0}
    assert result.rows[0].regrets[100].interval is None


def test_one_engine_alone_is_not_compared() -> None:
    result = compute(played({BEST: FINALS[BEST]}))
    assert result.rows[0].p_adjusted is None
    assert summary_sentences(result)[0].startswith("Only optuna:tpe played: ")


def test_an_engine_that_had_nothing_left_keeps_its_last_regret() -> None:
    whole = played(FINALS)
    cut = {
        slot: dataclasses.replace(trace, regrets=trace.regrets[:60]) if slot.engine == WORSE else trace
        for slot, trace in whole.runs.items()
    }
    result = compute(dataclasses.replace(whole, runs=cut))
    before = compute(whole)
    assert result.curves[WORSE].mean[:60] == before.curves[WORSE].mean[:60]
    assert set(result.curves[WORSE].mean[60:]) == {result.curves[WORSE].mean[59]}


def test_the_rate_of_false_differences_is_as_declared() -> None:
    """Two engines of one law: at most 5 % differ at alpha 0.05; over 400 tournaments 8.3 % lies 3 sigma above."""
    generator = np.random.default_rng(0)
    told_apart = 0
    for _ in range(400):
        drawn = generator.lognormal(-4, 0.5, size=(2, 8, 3))
        finals = {
            name: lambda table, repeat, values=values: values[table, repeat]
            for name, values in zip((BEST, WORSE), drawn, strict=True)
        }
        told_apart += not compute(played(finals, trials=1)).rows[1].is_tie
    assert told_apart / 400 < 0.083


def test_a_band_lies_between_the_quartiles_over_seeds() -> None:
    finals = {BEST: lambda table, repeat: 0.01 * (repeat + 1)}
    curve = compute(played(finals, repeats=5)).curves[BEST]
    assert (curve.low[-1], curve.mean[-1], curve.high[-1]) == pytest.approx((0.02, 0.03, 0.04))
