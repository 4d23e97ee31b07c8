"""Intervals over seeds and test images. The simulations state their false-alarm rate."""

import numpy as np
import pytest
from scipy import stats

from search.leaderboard import statistics
from search.leaderboard.variance import RunErrors, error_difference, estimate_error, p_value

IMAGES = 2000


def runs(table: np.ndarray, first_seed: int = 0) -> RunErrors:
    """Returns runs from a truth table (seeds, images) of what was wrong."""
    seeds = range(first_seed, first_seed + len(table))
    return RunErrors(
        errors_percent={seed: 100.0 * line.mean() for seed, line in zip(seeds, table, strict=True)},
        wrong_indices={seed: np.flatnonzero(line).tolist() for seed, line in zip(seeds, table, strict=True)},
        image_count=table.shape[1],
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


def textbook_half_width(values: np.ndarray) -> float:
    seeds, images, rest = mean_squares(values)
    freedom = (len(values) - 1, values.shape[1] - 1, (len(values) - 1) * (values.shape[1] - 1))
    total = seeds + images - rest
    satterthwaite = total**2 / (seeds**2 / freedom[0] + images**2 / freedom[1] + rest**2 / freedom[2])
    return stats.t.ppf(0.975, satterthwaite) * np.sqrt(total / values.size)


def test_the_interval_is_that_of_the_textbook_cell_by_cell() -> None:
    table = drawn(np.random.default_rng(3), 4, seed_spread=0.6)
    seeds, _, rest = mean_squares(100.0 * table)
    assert seeds > rest  # so that no variance is cut off
    found = estimate_error(runs(table))
    assert found.mean == pytest.approx(100.0 * table.mean())
    assert found.n == 4
    assert found.interval.half_width == pytest.approx(textbook_half_width(100.0 * table))


def test_a_paired_difference_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(8)
    hardness = rng.normal(-5.0, 2.0, IMAGES)
    ours, theirs = (drawn(rng, 3, hardness=hardness + harder, seed_spread=0.8) for harder in (0.0, 1.0))
    gap = 100.0 * (ours.astype(float) - theirs)
    seeds, _, rest = mean_squares(gap)
    assert seeds > rest
    found = error_difference(runs(ours), runs(theirs))
    assert found.paired
    assert found.mean == pytest.approx(gap.mean())
    assert found.interval.half_width == pytest.approx(textbook_half_width(gap))


def test_the_interval_has_its_nominal_coverage() -> None:
    """500 drawings: an interval that holds it 95 times in 100 lies outside 0.92..0.98 once in 500 (3.1 sigma)."""
    rng = np.random.default_rng(5)
    hardness = rng.normal(-5.0, 2.0, 400_000)
    truth = 100.0 * drawn(rng, 1, hardness=hardness).mean()
    held = [estimate_error(runs(drawn(rng, 3))).interval.contains(truth) for _ in range(500)]
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("first_seed", [0, 100], ids=["paired", "unpaired"])
def test_equal_configurations_rarely_differ(first_seed: int) -> None:
    """300 pairs at a level of 0.05: more than 0.09 of them is a 3 sigma event.

    Twice the spread over seeds (0.3, more than MNIST's networks show) gives 0.09 of false alarms where seeds differ.
    """
    rng, alarms = np.random.default_rng(6), 0
    for _ in range(300):
        hardness = rng.normal(-5.0, 2.0, IMAGES)
        ours, theirs = (drawn(rng, 3, hardness=hardness) for _ in range(2))
        alarms += not error_difference(runs(ours), runs(theirs, first_seed)).is_tie
    assert alarms / 300 <= 0.09


def test_intervals_over_seeds_alone_cover_too_little() -> None:
    """Another test set would change equal runs; the spread over seeds does not show it."""
    line = np.arange(IMAGES) < 20
    found = estimate_error(runs(np.array([line, line, line])))
    assert statistics.t_estimate([1.0, 1.0, 1.0]).interval is None
    assert found.interval.half_width == pytest.approx(1.96 * np.sqrt(0.01 * 0.99 / IMAGES) * 100, rel=0.01)


def test_one_run_has_no_interval_and_ties() -> None:
    table = drawn(np.random.default_rng(1), 3)
    assert estimate_error(runs(table[:1])).interval is None
    assert error_difference(runs(table[:1]), runs(table[1:])).is_tie


def test_runs_without_images_are_judged_by_their_seeds() -> None:
    ours, theirs = (
        RunErrors(errors_percent={1: 0.5, 2: 0.7, 3: 0.6}),
        RunErrors(errors_percent={1: 0.9, 2: 1.0, 3: 1.2}),
    )
    assert estimate_error(ours) == statistics.t_estimate([0.5, 0.7, 0.6])
    assert error_difference(ours, theirs) == statistics.seed_difference(ours.errors_percent, theirs.errors_percent)
    assert p_value(ours, theirs) is None


def test_no_error_at_all_has_no_spread() -> None:
    assert estimate_error(runs(np.zeros((3, IMAGES), dtype=bool))).interval is None


def test_p_of_single_runs_is_mcnemars() -> None:
    rng = np.random.default_rng(2)
    hardness = rng.normal(-4.0, 2.0, IMAGES)
    ours, theirs = (drawn(rng, 1, hardness=hardness + harder) for harder in (0.0, 0.4))
    better, worse = int((~ours & theirs).sum()), int((ours & ~theirs).sum())
    expected = stats.binomtest(worse, better + worse).pvalue
    assert p_value(runs(ours), runs(theirs)) == pytest.approx(expected)


def test_p_is_1_without_any_disagreement_and_small_where_one_side_is_worse_everywhere() -> None:
    table = drawn(np.random.default_rng(2), 3)
    assert p_value(runs(table), runs(table)) == 1.0
    harder = table.copy()
    harder[:, :50] = True
    assert p_value(runs(table), runs(harder)) < 0.001
    assert p_value(runs(table), runs(harder)) == p_value(runs(harder), runs(table))
