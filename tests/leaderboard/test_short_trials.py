"""Short trials on the board: marked everywhere, and never ranked with full ones."""

from __future__ import annotations

import csv
import io
import json

import pytest

from search.leaderboard.board import Row
from search.leaderboard.compute import compute
from search.leaderboard.files import FORMATS
from search.leaderboard.render_data import dataframe
from search.leaderboard.render_text import to_details
from search.leaderboard.row_selector import select_row
from search.leaderboard.summary import cost_line, summary_sentences
from search.leaderboard.variance import error_difference
from search.records.record import StudyRecord
from tests.leaderboard import records
from tests.leaderboard.records import SPACE, outcome, searched, study, verified


def rows_of(*studies: StudyRecord) -> dict[int | None, Row]:
    """The rows of a board with one section, by trial."""
    (section,) = compute(studies).sections
    return {row.trial: row for row in section.rows}


def test_a_short_trial_is_marked_in_every_format() -> None:
    board = compute([records.screened()])
    for form in ("table", "markdown"):
        text = FORMATS[form](board).replace("\\", "")
        assert "found #4 (short)" in text
        assert "found #6 (short)" not in text
    (section,) = json.loads(FORMATS["json"](board))["sections"]
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    frame = dataframe(board)
    in_json = {row["trial"]: (row["is_short"], row["schedule_epochs"]) for row in section["rows"]}
    in_csv = {int(line["trial"]): (line["is_short"] == "true", int(line["schedule_epochs"])) for line in lines}
    in_frame = dict(zip(frame["trial"], zip(frame["is_short"], frame["schedule_epochs"], strict=True), strict=True))
    assert in_json == in_csv == in_frame
    assert in_json == {number: (True, 2) if number in (2, 3, 4, 5, 7) else (False, 10) for number in range(8)}
    assert "4 short" in cost_line(board.sections[0])
    assert "found (short)" in to_details(board)


def test_a_short_trial_stands_behind_the_full_ones_whatever_its_error() -> None:
    (section,) = compute([records.screened()]).sections
    assert [row.trial for row in section.rows] == [6, 1, 0, 4, 3, 2, 5, 7]


def test_a_verified_short_trial_has_no_rank_beside_a_full_one() -> None:
    (section,) = compute([records.screened(), records.short_only()]).sections
    assert [(row.study.name, row.is_short) for row in section.ranked] == [("cnn-mutation", False)] * 3
    unranked = [row for row in section.rows if row.test_error and row.rank is None]
    assert [row.name for row in unranked] == ["recipe: two stages #1 (short)", "baseline #0 (short)"]
    assert not [row for row in section.unverified if row in unranked]
    assert all(row in section.ranked_entries for row in unranked)
    assert all(row.next_difference is None for row in unranked)


def test_where_no_full_trial_was_verified_short_ones_are_ranked_and_the_summary_says_so() -> None:
    record = records.short_only()
    (section,) = compute([record]).sections
    assert [row.trial for row in section.ranked] == [1, 0]
    assert any("4 epochs" in sentence and "10" in sentence for sentence in summary_sentences(section))
    assert section.ranked[0].baseline_difference is not None
    assert select_row(record, "winner").row.trial == 1


def test_trials_of_different_epochs_are_not_compared() -> None:
    rows = rows_of(
        study(
            searched(0, outcome(1.4), origin="baseline", config=SPACE.baseline),
            searched(1, records.short(0.9), origin="recipe: two stages", short_epochs=2),
            searched(2, outcome(0.9)),
            verified(0, (1.0, 1.1), config=SPACE.baseline),
            verified(1, (0.8, 0.7), short_epochs=2),
            verified(2, (0.6, 0.7)),
        )
    )
    assert rows[1].baseline_difference is None
    assert rows[2].baseline_difference is not None
    assert rows[2].best_recipe is None


def test_the_gain_over_the_best_recipe_is_the_difference_of_the_test_errors() -> None:
    rows = rows_of(records.screened())
    assert rows[6].best_recipe is not None
    assert rows[6].best_recipe.recipe == rows[1].name
    assert rows[6].best_recipe.difference == error_difference(rows[6].run_errors, rows[1].run_errors)
    assert rows[1].best_recipe is None
    (section,) = compute([records.screened()]).sections
    gained = [sentence for sentence in summary_sentences(section) if sentence.startswith("Difference to the b")]
    assert len(gained) == 2
    assert all("points (95 % interval -" in sentence for sentence in gained)


def test_the_best_recipe_is_chosen_by_validation_not_by_test_errors() -> None:
    rows = rows_of(records.tpe())  # on the test images, too, the recipe of trial 1 is better than that of trial 2
    assert {row.best_recipe.recipe for row in rows.values() if row.best_recipe} == {rows[1].name}
    swapped = study(
        searched(0, outcome(0.9), origin="recipe: a"),
        searched(1, outcome(0.8), origin="recipe: b"),
        searched(2, outcome(0.7)),
        *(verified(number, (error, error + 0.1)) for number, error in enumerate((0.3, 0.5, 0.4))),
    )
    found = rows_of(swapped)[2].best_recipe
    assert found is not None
    assert found.recipe == "recipe: b #1"


@pytest.mark.parametrize(
    ("trial", "lineage"),
    [
        (0, ""),
        (3, "short training of trial 1"),
        (4, "mutation of trial 1: peak_lr 0.003162 -> 0.005, dropout 0.2 -> 0.25"),
        (6, "full training of trial 4"),
    ],
)
def test_the_lineage_tells_what_the_engine_made_a_trial_from(trial: int, lineage: str) -> None:
    (section,) = json.loads(FORMATS["json"](compute([records.screened()])))["sections"]
    assert {row["trial"]: row["lineage"] for row in section["rows"]}[trial] == (lineage or None)


def test_a_parameter_that_a_mutation_switches_on_or_off_is_called_not_used() -> None:
    parent = {**records.BETTER, "pool": 2}
    child = {**records.BETTER, "stride": 3}
    record = study(searched(0, outcome(1.0), config=parent), searched(1, outcome(0.9), config=child, mutation_of=0))
    mutation = rows_of(record)[1].mutation
    assert mutation is not None
    assert dict(mutation.changes) == {"stride": (None, 3), "pool": (2, None)}
