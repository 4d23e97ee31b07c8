import pytest

from search.errors import UserError
from search.leaderboard.row_selector import select_row
from search.records.record import StudyRecord
from search.trial import BASELINE, Cause, Outcome, State
from tests.leaderboard import records

VERIFIED = records.tpe()
UNVERIFIED = records.study(
    records.searched(0, records.outcome(1.0), origin=BASELINE, config=records.SPACE.baseline),
    records.searched(1, records.outcome(0.7)),
    records.searched(2, Outcome(state=State.FAILED, cause=Cause.ERROR)),
)


@pytest.mark.parametrize(
    ("text", "trial"), [("winner", 6), ("rank:1", 6), ("rank:2", 1), ("baseline", 0), ("4", 4), ("0", 0)]
)
def test_a_row_is_selected_by_name_rank_or_trial(text: str, trial: int) -> None:
    picked = select_row(VERIFIED, text)
    assert (picked.row.trial, picked.note) == (trial, "")


def test_the_winner_is_chosen_by_validation_not_by_test_error() -> None:
    record = records.study(
        records.searched(1, records.outcome(0.6)),
        records.searched(2, records.outcome(0.7)),
        records.verified(1, (0.6, 0.7)),
        records.verified(2, (0.4, 0.5)),
    )
    assert select_row(record, "rank:1").row.trial == 2
    assert select_row(record, "winner").row.trial == 1


def test_without_a_verified_row_the_winner_is_the_best_by_validation_error_with_a_note() -> None:
    picked = select_row(UNVERIFIED, "winner")
    assert picked.row.trial == 1
    assert "validation error" in picked.note


def test_a_reproductions_row_is_its_winner_and_its_baseline() -> None:
    assert select_row(records.reproduction(), "winner").row.trial is None
    assert select_row(records.reproduction(), "baseline").row.trial is None


@pytest.mark.parametrize(
    ("record", "text", "words"),
    [
        (VERIFIED, "winer", "Unknown row"),
        (VERIFIED, "-1", "Unknown row"),
        (VERIFIED, "99", "no such row"),
        (VERIFIED, "rank:0", "rank:1 to rank:"),
        (VERIFIED, "rank:99", "rank:1 to rank:"),
        (UNVERIFIED, "rank:1", "no row was verified"),
        (records.study(), "winner", "no finished trial"),
        (records.study(records.searched(0, None)), "winner", "no finished trial"),
        (records.study(records.searched(0, Outcome(state=State.FAILED))), "winner", "has a validation error"),
        (records.study(records.searched(0, records.outcome(1.0))), "baseline", "no such row"),
    ],
)
def test_missing_rows_are_user_errors(record: StudyRecord, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        select_row(record, text)
