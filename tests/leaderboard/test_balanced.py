"""Balanced errors of unbalanced classes."""

from dataclasses import replace

import pytest

from search.leaderboard.compute import compute
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import ranked_columns
from search.trial import Outcome
from tests.leaderboard import records
from tests.leaderboard.records import header, outcome, searched, study, verified


def with_balanced(error: float, balanced: float) -> Outcome:
    return replace(outcome(error), metrics={"error_percent": error, "balanced_error_percent": balanced})


@pytest.mark.parametrize(("counts", "is_unbalanced"), [((150, 50, 100), False), ((151, 50, 99), True), ((), False)])
def test_classes_are_unbalanced_beyond_half_more_than_an_equal_share(
    counts: tuple[int, ...], is_unbalanced: bool
) -> None:
    of = replace(header(), test_class_counts=counts)
    section = compute([study(searched(1, with_balanced(2.0, 8.0)), verified(1, (0.5, 0.6)), of=of)]).sections[0]
    assert section.is_unbalanced == is_unbalanced
    assert ("balanced_error_percent" in ranked_columns(section)) == is_unbalanced
    assert len(ranked_columns(section)) == 8


def test_balanced_errors_stand_beside_errors_and_the_constants_error() -> None:
    of = replace(header(), test_class_counts=(980, 20))
    runs = verified(1, (with_balanced(1.0, 10.0), with_balanced(3.0, 20.0)))
    section = compute([study(searched(1, with_balanced(2.0, 8.0)), runs, of=of)]).sections[0]
    (row,) = section.ranked
    assert (row.error_percent, row.balanced_error_percent) == pytest.approx((2.0, 15.0))
    assert (row.validation_error_percent, row.validation_balanced_error_percent) == (2.0, 8.0)
    assert row.constant_error_percent == pytest.approx(2.0)
    assert any("2.00 %" in sentence and "15.00 %" in sentence for sentence in summary_sentences(section))


def test_a_balanced_error_has_an_interval_where_the_classes_of_the_images_are_known() -> None:
    wrong = [(1, 2, 3, 985, 990), (1, 4, 985)]  # of 980 and 20 images
    errors = [(0.5, 50 * (3 / 980 + 2 / 20)), (0.3, 50 * (2 / 980 + 1 / 20))]
    ended = [
        replace(with_balanced(*error), misclassified=images, scored_images=1000)
        for error, images in zip(errors, wrong, strict=True)
    ]
    of = header(judged=records.protocol(data="3f"))
    unknown = study(searched(1, with_balanced(2.0, 8.0)), verified(1, ended), of=of)
    known = replace(unknown, test_labels=(0,) * 980 + (1,) * 20)
    rows = [compute([one]).sections[0].ranked[0] for one in (unknown, known)]
    assert rows[0].balanced_interval is None
    assert rows[1].balanced_interval.contains(rows[1].balanced_error_percent)
    assert rows[1].balanced_interval.half_width > 5 * rows[1].interval.half_width  # the rare class counts half


def test_rows_of_older_studies_have_no_balanced_error() -> None:
    runs = verified(1, (with_balanced(1.0, 10.0), 3.0))
    (row,) = compute([study(searched(1, outcome(2.0)), runs)]).sections[0].ranked
    assert (row.balanced_error_percent, row.constant_error_percent) == (None, None)
