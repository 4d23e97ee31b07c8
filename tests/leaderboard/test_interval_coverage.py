"""A small part of ``benchmarks/interval_coverage.py``. The bounds state their false-alarm rate."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from interval_coverage import (
    UNBALANCED,
    Setting,
    balanced_coverage,
    boards_with_false_pairs,
    coverage,
    false_improvements,
    staged_improvements,
)


@pytest.mark.parametrize(
    ("images", "deviation", "seeds"), [(10_000, 0.03, 1), (10_000, 0.0, 3), (10_000, 0.07, 3), (500, 0.03, 10)]
)
def test_intervals_hold_the_truth_where_writers_are_drawn(images: int, deviation: float, seeds: int) -> None:
    """100 draws: an interval that holds it 95 times in 100 does so less than 88 times once in 400."""
    setting = Setting(error_percent=1.0, seed_deviation=deviation, seeds=seeds, images=images)
    held, equal = coverage(np.random.default_rng(0), setting, 100)
    assert held >= 0.88
    assert equal >= 0.88


@pytest.mark.parametrize(("sizes", "errors"), UNBALANCED[:2])
def test_intervals_of_balanced_errors_hold_the_truth(sizes: tuple[int, ...], errors: tuple[float, ...]) -> None:
    """200 draws: an interval that holds it 95 times in 100 does so less than 89 times once in 2,000."""
    assert balanced_coverage(np.random.default_rng(0), sizes, errors, 3, 200) >= 0.89


def test_equal_rows_are_rarely_told_apart() -> None:
    """60 boards: of those of which 5 in 100 have a false pair, more than 9 have one once in 1,000 times."""
    setting = Setting(error_percent=1.0, seed_deviation=0.03, seeds=3, images=2_000)
    assert boards_with_false_pairs(np.random.default_rng(0), setting, 10, 60) <= 9 / 60


def test_the_chosen_of_equal_finalists_is_rarely_called_better() -> None:
    """100 draws: what happens 3 times in 100 happens more than 10 times once in 5,000."""
    setting = Setting(error_percent=1.0, seed_deviation=0.03, seeds=3, images=2_000)
    chosen, _ = false_improvements(np.random.default_rng(0), setting, 3, 100)
    assert chosen <= 0.1


def test_stages_that_end_by_time_rarely_call_an_equal_row_better() -> None:
    """100 draws: what happens 3 times in 100 happens more than 10 times once in 5,000."""
    setting = Setting(error_percent=1.0, seed_deviation=0.03, seeds=4, images=2_000)
    stages, by_time, at_first = staged_improvements(np.random.default_rng(0), setting, 100)
    assert stages[0] <= 0.1
    assert by_time <= 0.1
    assert at_first >= by_time
