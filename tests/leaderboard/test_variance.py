"""Intervals over seeds and test images. The simulations state their false-alarm rate."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from search.leaderboard import statistics
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.variance import (
    NO_SPREAD,
    PUBLISHED_SPREAD,
    RunErrors,
    error_difference,
    estimate_error,
    single_model,
    spread_of_seeds,
)

IMAGES = 2000


def runs(table: np.ndarray, groups: ImageGroups | None = None) -> RunErrors:
    """Returns runs from a truth table (seeds, images) of what was wrong."""
    return RunErrors(
        errors_percent=(100.0 * table.mean(axis=1)).tolist(),
        wrong_indices=[np.flatnonzero(line).tolist() for line in table],
        image_count=table.shape[1],
        groups=groups,
    )


def drawn(
    rng: np.random.Generator, seeds: int, *, hardness: np.ndarray | None = None, seed_spread: float = 0.15
) -> np.ndarray:
    """Draws what is wrong: images differ in hardness, seeds in skill, both on the logit's scale."""
    hardness = rng.normal(-5.0, 2.0, IMAGES) if hardness is None else hardness
    skill = rng.normal(0.0, seed_spread, (seeds, 1))
    return rng.random((seeds, len(hardness))) < 1.0 / (1.0 + np.exp(-(hardness + skill)))


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The textbook's two-way layout, cell by cell."""
    seeds, images = values.shape
    by_seed, by_image, mean = values.mean(1, keepdims=True), values.mean(0, keepdims=True), values.mean()
    between_seeds = images * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    between_images = seeds * ((by_image - mean) ** 2).sum() / (images - 1)
    rest = ((values - by_seed - by_image + mean) ** 2).sum() / ((seeds - 1) * (images - 1))
    return between_seeds, between_images, rest


def textbook_interval(values: np.ndarray) -> tuple[float, float]:
    """Wilson's interval for the images that would give the variance of the two-way layout."""
    seeds, images, rest = mean_squares(values)
    freedom = (len(values) - 1, values.shape[1] - 1, (len(values) - 1) * (values.shape[1] - 1))
    total = seeds + images - rest
    satterthwaite = total**2 / (seeds**2 / freedom[0] + images**2 / freedom[1] + rest**2 / freedom[2])
    share = values.mean()
    count = min(values.shape[1], share * (1 - share) / (total / values.size))
    found = statistics.wilson_interval(share, count, satterthwaite)
    return found.low, found.high


def test_the_interval_is_that_of_the_textbook_cell_by_cell() -> None:
    table = drawn(np.random.default_rng(3), 4, seed_spread=0.6)
    seeds, _, rest = mean_squares(table)
    assert seeds > rest  # so that no variance is cut off
    found = estimate_error(runs(table))
    assert found.mean == pytest.approx(100.0 * table.mean())
    assert found.n == 4
    assert (found.interval.low, found.interval.high) == pytest.approx(textbook_interval(table))


def test_groups_of_one_image_are_independent_images() -> None:
    table = drawn(np.random.default_rng(3), 4, seed_spread=0.6)
    alone = ImageGroups.of(np.arange(IMAGES))
    assert estimate_error(runs(table, alone)).interval.half_width == pytest.approx(
        estimate_error(runs(table)).interval.half_width
    )


def test_images_that_err_together_count_as_one() -> None:
    """Each group is one image, ten times: the interval is as wide as that of a tenth of the images."""
    once = np.repeat(drawn(np.random.default_rng(4), 1), 3, axis=0)
    tenfold = runs(np.repeat(once, 10, axis=1), ImageGroups.of(np.repeat(np.arange(IMAGES), 10)))
    found, expected = estimate_error(tenfold).interval, estimate_error(runs(once)).interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert estimate_error(runs(np.repeat(once, 10, axis=1))).interval.half_width < 0.4 * expected.half_width
    assert single_model(runs(once[:1])).half_width < expected.half_width * 1.2


def test_a_difference_pairs_images_and_adds_the_seeds_of_both_sides() -> None:
    rng = np.random.default_rng(8)
    hardness = rng.normal(-5.0, 2.0, IMAGES)
    ours, theirs = (drawn(rng, 3, hardness=hardness + harder, seed_spread=0.8) for harder in (0.0, 1.0))
    gap = ours.mean(axis=0) - theirs.mean(axis=0)
    seeds = 0.0
    for table in (ours, theirs):
        of_seeds, _, rest = mean_squares(table)
        assert of_seeds > rest
        seeds += (of_seeds - rest) / table.size
    found = error_difference(runs(ours), runs(theirs))
    error = 100.0 * np.sqrt(gap.var(ddof=1) / IMAGES + 1 / IMAGES**2 + seeds)
    assert found.paired
    assert found.mean == pytest.approx(100.0 * gap.mean())
    assert found.interval.half_width > 1.96 * error
    quantile = found.interval.half_width / error
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.mean) / error, df=_freedom(quantile)), rel=1e-6)


def _freedom(quantile: float) -> float:
    """The degrees of freedom whose quantile it is."""
    from scipy.optimize import brentq

    return brentq(lambda freedom: stats.t.ppf(0.975, freedom) - quantile, 1.0, 1e6)


def test_intervals_over_seeds_alone_cover_too_little() -> None:
    """Another test set would change equal runs; the spread over seeds does not show it."""
    line = np.arange(IMAGES) < 20
    found = estimate_error(runs(np.array([line, line, line])))
    assert statistics.t_estimate([1.0, 1.0, 1.0]).interval is None
    assert found.interval.half_width == pytest.approx(1.96 * np.sqrt(0.01 * 0.99 / IMAGES) * 100, rel=0.03)


def test_runs_without_images_are_judged_by_their_seeds() -> None:
    ours, theirs = RunErrors(errors_percent=[0.5, 0.7, 0.6]), RunErrors(errors_percent=[0.9, 1.0, 1.2])
    assert estimate_error(ours) == statistics.t_estimate([0.5, 0.7, 0.6])
    assert error_difference(ours, theirs) == statistics.welch_difference([0.5, 0.7, 0.6], [0.9, 1.0, 1.2])


def test_no_error_at_all_has_an_upper_end() -> None:
    """Three perfect runs on 500 images: an error of 0.7 % is not excluded."""
    found = estimate_error(runs(np.zeros((3, 500), dtype=bool))).interval
    assert found.low == 0.0
    assert 0.5 < found.high < 1.0


def test_few_images_do_not_decide() -> None:
    """Four images that one side alone misclassifies: McNemar's exact p is 0.125."""
    ours = np.zeros((3, 500), dtype=bool)
    theirs = ours.copy()
    theirs[:, :4] = True
    assert error_difference(runs(ours), runs(theirs)).is_tie


def test_equal_results_are_equivalent_on_a_large_test_set() -> None:
    table = np.repeat(drawn(np.random.default_rng(2), 1), 3, axis=0)
    larger = runs(np.repeat(table, 5, axis=1))
    assert error_difference(larger, larger).verdict(0.05) is statistics.Verdict.EQUIVALENT


def test_a_difference_after_one_run_is_wider_by_the_assumed_spread_of_the_seeds() -> None:
    table = drawn(np.random.default_rng(5), 2)
    ours, theirs = runs(table[:1]), runs(table[1:])
    without = error_difference(
        dataclasses.replace(ours, single_run_spread=NO_SPREAD), dataclasses.replace(theirs, single_run_spread=NO_SPREAD)
    )
    found = error_difference(ours, theirs)
    assert found.interval is not None
    assert without.interval is not None
    shares = table.mean(axis=1)
    added = (100.0 * 1.96) ** 2 * PUBLISHED_SPREAD.ratio * (shares * (1 - shares)).sum()
    assert found.interval.half_width**2 - without.interval.half_width**2 == pytest.approx(added, rel=0.01)


def test_the_error_of_one_run_covers_the_assumed_spread_of_the_seeds() -> None:
    found = runs(drawn(np.random.default_rng(5), 1))
    interval, images_alone = estimate_error(found).interval, single_model(found)
    assert interval is not None
    assert images_alone is not None
    assert interval.low < images_alone.low < images_alone.high < interval.high


def test_the_assumed_spread_is_that_of_other_configurations_where_theirs_is_larger() -> None:
    rng = np.random.default_rng(6)
    alike = [runs(drawn(rng, 3, seed_spread=0.0)) for _ in range(5)]
    unlike = [runs(drawn(rng, 3, seed_spread=1.0)) for _ in range(5)]
    assert spread_of_seeds([]) == spread_of_seeds([runs(drawn(rng, 1))]) == PUBLISHED_SPREAD
    assert spread_of_seeds(alike) == PUBLISHED_SPREAD
    assert spread_of_seeds(unlike).ratio > 10 * PUBLISHED_SPREAD.ratio
    assert spread_of_seeds(unlike).degrees_of_freedom == 10
