"""The row that a study chose, by validation and by what its engine minimizes."""

from dataclasses import replace

import pytest

from search.leaderboard.compute import compute
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import ranked_columns
from search.trial import State
from tests.leaderboard import records
from tests.leaderboard.records import baseline, header, outcome, rows, searched, study, verified


def test_a_study_chooses_by_validation_not_by_test_error() -> None:
    section = compute(
        [
            study(
                *baseline(1.0, 1.1),
                searched(1, outcome(0.6)),
                searched(2, outcome(0.7), config={**records.BETTER, "kernel": 3}),
                verified(1, (0.55, 0.65)),
                verified(2, (0.35, 0.45), config={**records.BETTER, "kernel": 3}),
            )
        ]
    ).sections[0]
    assert [row.trial for row in section.ranked][:2] == [2, 1]
    assert section.headline.trial == 1
    assert [row.trial for row in section.rows if row.chosen_in] == [1]


def test_a_paused_training_that_is_better_already_is_chosen() -> None:
    trials = (*baseline(8.0), searched(1, outcome(0.6, State.PAUSED, epochs=2)), verified(1, (0.5,)))
    assert rows(study(*trials))["found #1"].chosen_in


def test_the_studys_objective_chooses() -> None:
    def with_loss(error: float, loss: float):
        ended = outcome(error)
        return replace(ended, metrics={**ended.metrics, "calibrated_loss": loss})

    record = study(
        searched(1, with_loss(0.6, 0.02)),
        searched(2, with_loss(0.5, 0.03), config={**records.BETTER, "kernel": 3}),
        verified(1, (0.55, 0.65)),
        verified(2, (0.5, 0.45), config={**records.BETTER, "kernel": 3}),
        of=replace(header(), objective="calibrated_loss"),
    )
    assert compute([record]).sections[0].headline.trial == 1


@pytest.mark.parametrize(("objective", "said"), [("loss", "log loss"), ("balanced_error_percent", "balanced")])
def test_the_board_says_what_chose_and_shows_all_three_figures(objective: str, said: str) -> None:
    def ended(error: float, other: float):
        """Its last epoch has the other figure, as log loss and as balanced error."""
        base, metrics = outcome(error), {"error_percent": error, "balanced_error_percent": other}
        history = tuple(replace(report, metrics={**metrics, "loss": other / 10}) for report in base.history)
        return replace(base, metrics=metrics, history=history)

    other = {**records.BETTER, "kernel": 3}
    record = study(
        searched(1, ended(0.6, 0.2)),
        searched(2, ended(0.5, 0.3), config=other),
        verified(1, (ended(0.55, 0.25), ended(0.65, 0.25))),
        verified(2, (ended(0.5, 0.4), ended(0.45, 0.4)), config=other),
        of=replace(header(), objective=objective),
    )
    section = compute([record]).sections[0]
    row = section.headline
    assert row.trial == 1
    assert [each.trial for each in section.ranked] == [2, 1], "ranks are by test error whatever chose"
    assert (row.validation_balanced_error_percent, row.validation_log_loss) == (0.2, 0.02)
    assert (row.balanced_error_percent, row.log_loss) == (0.25, 0.025)
    assert said in " ".join(summary_sentences(section))
    assert {"balanced_error_percent", "log_loss"} & set(ranked_columns(section))
