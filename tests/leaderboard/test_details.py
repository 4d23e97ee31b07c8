"""The table of search trials: parts of trainings, their parents, the engine's notes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from search.leaderboard.board import Section
from search.leaderboard.compute import compute
from search.leaderboard.files import FORMATS
from search.leaderboard.tables import has_continued_trials, trial_table
from search.records.record import TrialRecord
from search.trial import BASELINE, Outcome, State, Trial
from tests.leaderboard.records import BETTER, SPACE, header, outcome, searched, study, verified


def part(number: int, until: int | None, *, parent: int | None = None, restored: int = 0) -> TrialRecord:
    """A trial of the config ``MIN_TOP_TRIALS`` that went on from another after so many epochs."""
    ended: Outcome = outcome(2.0 - number / 10, State.PAUSED if until else State.COMPLETE, epochs=until or 10)
    history = tuple(replace(report, restored=report.epoch <= restored) for report in ended.history)
    notes = {"bracket": 2, "round": 0 if parent is None else 1}
    trial = Trial(
        number=number, config=BETTER, seed=5, epochs=10, target_epoch=until, parent=parent, engine_metadata=notes
    )
    return TrialRecord(trial=trial, outcome=replace(ended, history=history))


BOARD = compute(
    [
        study(
            searched(0, outcome(1.4), origin=BASELINE, config=SPACE.baseline),
            (part(1, 2), part(3, 4, parent=1, restored=2), part(7, None, parent=3, restored=4)),
            searched(2, outcome(3.0, State.PAUSED, epochs=2), config={**BETTER, "shift": 4}),
            of=header("bands"),
        )
    ]
)


def cells(section: Section) -> list[dict[str, str]]:
    """Cells of the table of search trials by header, a dict for each trial."""
    table = trial_table(section)
    return [dict(zip([column.header for column in table.columns], row, strict=True)) for row in table.rows()]


def test_parts_of_a_training_are_one_row_and_a_line_each() -> None:
    (section,) = BOARD.sections
    assert {(row.trial, row.state, row.epochs) for row in section.rows} == {
        (0, State.COMPLETE, 10),
        (7, State.COMPLETE, 10),
        (2, State.PAUSED, 2),
    }
    lines = {line["Trial"]: line for line in cells(section)}
    assert list(lines) == ["0", "1", "2", "3", "7"]
    epochs = [(lines[number]["Epochs"], lines[number]["Parent"]) for number in ("1", "3", "7")]
    assert epochs == [("1-2", ""), ("3-4", "1"), ("5-10", "3")]
    assert lines["7"]["Engine's notes"] == "bracket 2, round 1"
    assert lines["7"]["Seconds"] == "27", "seconds of the six epochs that it trained itself"
    assert section.states == {"complete": 2, "paused": 1}, "a training is counted once"


@pytest.mark.parametrize("form", ["details", "markdown"])
def test_formats_for_people_show_them(form: str) -> None:
    text = FORMATS[form](BOARD)
    assert "5-10" in text
    assert "bracket 2" in " ".join(text.split())


def test_json_holds_each_part() -> None:
    rows = json.loads(FORMATS["json"](BOARD))["sections"][0]["rows"]
    steps = next(row["steps"] for row in rows if row["trial"] == 7)
    assert [(step["trial"], step["first_epoch"], step["last_epoch"], step["parent"]) for step in steps] == [
        (1, 1, 2, None),
        (3, 3, 4, 1),
        (7, 5, 10, 3),
    ]
    assert steps[1]["notes"] == {"bracket": 2, "round": 1}


def test_a_board_without_parts_has_no_such_table() -> None:
    plain = compute([study(searched(0, outcome(1.4), origin=BASELINE, config=SPACE.baseline))])
    assert not has_continued_trials(plain.sections[0])
    assert "one by one" not in FORMATS["markdown"](plain)
    assert "baseline" in FORMATS["details"](plain)


def test_a_verified_part_keeps_its_row_when_its_child_was_cut_off() -> None:
    child = part(3, 4, parent=1, restored=2)
    cut_off = replace(child, outcome=replace(child.outcome, state=State.INTERRUPTED))
    board = compute(
        [
            study(
                searched(0, outcome(1.4), origin=BASELINE, config=SPACE.baseline),
                (part(1, 2), cut_off),
                verified(1, (0.5, 0.6)),
                verified(0, (1.0, 1.1), config=SPACE.baseline),
            )
        ]
    )
    (section,) = board.sections
    assert [row.trial for row in section.ranked] == [1, 0]
    assert [step.trial for step in section.ranked[0].segments] == [1, 3]


def test_trials_on_a_cluster_name_their_node() -> None:
    far = replace(outcome(1.4), environment={"node": "node 2"})
    board = compute([study(searched(0, far, origin=BASELINE, config=SPACE.baseline), of=header("far"))])
    (section,) = board.sections
    assert has_continued_trials(section)
    (line,) = cells(section)
    assert line["Node"] == "node 2"
    assert "Node" not in cells(BOARD.sections[0])[0]
    for form in ("details", "markdown", "csv", "json"):
        assert "node 2" in FORMATS[form](board)
