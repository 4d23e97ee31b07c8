import pytest
from scipy.stats import ttest_1samp

from search.compare.compute import COSTS
from search.compare.curves import expected_best_error
from search.records.curves import CurvePoint


def curve(*steps: tuple[int, float]) -> list[CurvePoint]:
    """Steps of trials and error; a trial takes two epochs and a minute."""
    return [
        CurvePoint(trials=trials, epochs=2 * trials, seconds=60.0 * trials, error_percent=error)
        for trials, error in steps
    ]


REPEATS = [curve((1, 2.0), (5, 0.5)), curve((3, 2.2), (4, 1.0)), curve((1, 1.8), (4, 0.9)), []]


def test_the_expected_best_is_the_mean_over_repeats_with_its_interval() -> None:
    made = expected_best_error(REPEATS, COSTS["trials"], repeats=6)
    assert made.costs == (3, 4, 5)
    at_each = [(2.0, 2.2, 1.8), (2.0, 1.0, 0.9), (0.5, 1.0, 0.9)]
    assert made.mean == pytest.approx([sum(errors) / 3 for errors in at_each])
    expected = [ttest_1samp(errors, 0.0).confidence_interval(0.95) for errors in at_each]
    assert made.low == pytest.approx([max(0.0, interval.low) for interval in expected])
    assert made.high == pytest.approx([interval.high for interval in expected])
    assert made.low[1] == 0.0  # Student's interval would end below
    assert expected_best_error(REPEATS, COSTS["epochs"], repeats=6).costs == (6, 8, 10)
    assert expected_best_error(REPEATS, COSTS["minutes"], repeats=6).costs == (3, 4, 5)


def test_with_fewer_than_six_repeats_the_band_is_from_the_least_to_the_most() -> None:
    made = expected_best_error(REPEATS, COSTS["trials"], repeats=5)
    assert (made.low, made.high) == ((1.8, 0.9, 0.5), (2.2, 2.0, 1.0))


def test_one_repeat_has_no_band_and_none_no_curve() -> None:
    for planned in (1, 6):
        alone = expected_best_error(REPEATS[:1], COSTS["trials"], repeats=planned)
        assert alone.low == alone.mean == alone.high == (2.0, 0.5)
    assert expected_best_error([[], []], COSTS["trials"], repeats=1) is None
