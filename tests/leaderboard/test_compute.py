"""Rows of the board: order, ranks, differences and what is counted."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.leaderboard.board import Board, top_rows
from search.leaderboard.compute import REPRODUCTION_CAVEAT, REPRODUCTION_LABEL, TUTORIAL_CAVEAT, compute
from search.leaderboard.ranking import rank_rows
from search.leaderboard.summary import summary_sentences
from search.protocol import ProtocolName
from search.records.record import StudyRecord
from search.trial import Cause, Phase, State
from spaces import Float, Space
from tests.leaderboard import records
from tests.leaderboard.records import baseline, header, outcome, reproduced, rows, searched, study, verified


def test_a_baseline_with_more_parameters_than_are_searched_is_compared_with_and_not_chosen() -> None:
    small = replace(outcome(2.0), parameter_count=50_000)
    limited = replace(header(), max_parameters=60_000)
    trials = (*baseline(1.0, 1.1), searched(1, small), verified(1, (1.5, 1.6)))
    found = rows(study(*trials, of=limited))
    assert found["found #1"].chosen_in
    assert found["found #1"].baseline_difference is not None
    assert found["baseline #0"].is_too_large
    assert not found["baseline #0"].chosen_in
    assert rows(study(*trials))["baseline #0"].chosen_in
    alone = compute([study(*baseline(1.0), of=limited)]).sections[0]
    assert alone.headline is None
    assert "60,000" in " ".join(summary_sentences(alone))


def test_one_row_a_search_trial_whatever_its_state() -> None:
    section = compute([records.tpe()]).sections[0]
    assert sorted(row.trial for row in section.rows) == list(range(14))
    assert section.states == {"complete": 8, "pruned": 2, "failed": 2, "interrupted": 1, "unfinished": 1}


def test_verified_rows_lead_by_mean_test_error() -> None:
    section = compute([records.tpe()]).sections[0]
    assert [(row.trial, row.rank) for row in section.ranked] == [(6, 1), (1, 2), (4, 3), (2, 4), (0, 5)]
    assert [row.rank_range for row in section.ranked] == [(1, 3), (1, 3), (1, 4), (3, 4), (5, 5)]
    assert section.rows[: len(section.ranked)] == section.ranked


def test_the_others_follow_by_state_and_validation_error() -> None:
    found = [(row.state, row.trial) for row in compute([records.tpe()]).sections[0].unverified]
    assert found == [
        (State.COMPLETE, 12),
        (State.COMPLETE, 13),
        (State.COMPLETE, 8),
        (State.PRUNED, 3),
        (State.PRUNED, 9),
        (State.FAILED, 5),
        (State.FAILED, 7),
        (State.INTERRUPTED, 10),
        (None, 11),
    ]


def test_rows_that_are_not_shown_to_differ_share_a_range_of_ranks() -> None:
    found = rows(study(*baseline(1.0, 1.1, 1.05), searched(1, outcome(0.9)), verified(1, (1.02, 1.05, 1.10))))
    assert sorted(row.rank for row in found.values()) == [1, 2]
    assert {row.rank_range for row in found.values()} == {(1, 2)}


def test_one_seed_never_beats_another_row() -> None:
    found = rows(study(*baseline(1.0), searched(1, outcome(0.9)), verified(1, (0.5,))))
    assert found["found #1"].rank_range == found["baseline #0"].rank_range == (1, 2)
    assert found["found #1"].baseline_difference.interval is None
    assert found["found #1"].test_error.interval is None


def test_a_single_row_has_rank_one_alone() -> None:
    assert [row.rank_range for row in compute([records.reproduction()]).sections[0].rows] == [(1, 1)]


def test_failed_replicates_are_kept_and_not_averaged() -> None:
    row = rows(records.tpe())["found #4"]
    assert row.test_error.mean == pytest.approx((0.63 + 0.66) / 2)
    assert [run.state for run in row.replicates] == [State.COMPLETE, State.FAILED, State.COMPLETE]
    assert row.replicates[1].cause is Cause.CRASHED
    assert [(run.seed, run.error_percent) for run in row.completed_replicates] == [(100, 0.63), (102, 0.66)]


def test_the_error_of_a_failed_replicate_does_not_count() -> None:
    broken = outcome(90.0, State.FAILED, Cause.NOT_FINITE)
    assert rows(study(searched(1, outcome(0.6)), verified(1, (0.5, broken))))["found #1"].test_error.n == 1


def test_a_row_whose_verification_failed_is_not_ranked() -> None:
    row = rows(records.tpe())["found #12"]
    assert row.rank is None
    assert row.test_error is None


def test_a_repeated_replicate_counts_once_by_its_complete_run() -> None:
    again = study(searched(1, outcome(0.6)), verified(1, (0.5, None)), verified(1, (None, 0.7)))
    assert rows(again)["found #1"].run_errors.errors_percent == [0.5, 0.7]


def test_difference_to_the_baseline() -> None:
    row = rows(study(*baseline(1.0, 1.1), searched(1, outcome(0.6)), verified(1, (0.5, 0.7))))["found #1"]
    assert not row.baseline_difference.paired  # nothing says which images were wrong
    assert row.baseline_difference.mean == pytest.approx(-0.45)


def test_no_difference_without_a_verified_baseline() -> None:
    assert rows(records.other())["found #1"].baseline_difference is None


def test_each_row_is_measured_against_the_baseline_of_its_own_study() -> None:
    other = {**records.BETTER, "kernel": 3}
    second = study(searched(1, outcome(0.6), config=other), verified(1, (0.5, 0.6), config=other), of=header("second"))
    section = compute([records.tpe(), second]).sections[0]
    assert [row.baseline_difference for row in section.rows if row.study.name == "second"] == [None]


def test_difference_to_the_tutorials_figure_of_the_space() -> None:
    assert rows(records.tpe())["baseline #0"].tutorial_difference == pytest.approx(3.10 / 3 - 0.95)


@pytest.mark.parametrize(
    "judged",
    [
        header(judged=records.protocol(data="3f")),
        header(space=Space(name="own", parameters={"lr": Float(0.1, 1.0, 0.5)})),
    ],
)
def test_no_difference_to_a_tutorial_that_did_something_else(judged) -> None:
    row = rows(study(searched(1, outcome(0.6)), verified(1, (0.5,)), of=judged))["found #1"]
    assert row.tutorial_difference is None


def test_published_figures_stand_beside_mnist_only_whatever_its_name() -> None:
    def references(**judged: str) -> int:
        of_data = study(searched(1, outcome(0.6)), of=header(judged=records.protocol(**judged)))
        return len(compute([of_data]).sections[0].references)

    assert references(dataset="digits.npz") == 4
    assert references(dataset="mnist", data="3f") == 0


def test_changes_are_those_to_the_baseline() -> None:
    assert rows(records.tpe())["recipe: mild augmentation #2"].changed_parameters == {"shift": 2}
    assert rows(records.tpe())["baseline #0"].changed_parameters == {}


def test_costs_and_environment_of_a_row() -> None:
    row = rows(records.tpe())["found #3"]
    assert (row.epochs, row.parameters) == (3, 226_110)
    assert row.seconds == pytest.approx(1.0 + 12.0 + 1.5)
    assert row.environment["processor"] == records.ENVIRONMENT["processor"]
    assert "host" not in row.environment


@pytest.mark.parametrize(
    "judged",
    [records.protocol(version="2.0"), records.protocol(data="aa"), records.protocol(ProtocolName.TUTORIAL)],
    ids=["version", "data", "name"],
)
def test_results_of_different_protocols_never_share_a_ranking(judged) -> None:
    second = study(searched(1, outcome(0.6)), verified(1, (0.1, 0.11)), of=header("second", judged=judged))
    sections = compute([records.tpe(), second]).sections
    assert len(sections) == 2
    assert all(len({row.study.protocol.ranking_key for row in section.rows}) == 1 for section in sections)
    assert [section.ranked[0].rank for section in sections] == [1, 1]


def test_a_reproduction_is_one_row_over_its_repeats() -> None:
    (row,) = compute([records.reproduction()]).sections[0].rows
    assert row.label == row.name == REPRODUCTION_LABEL
    assert row.test_error.mean == pytest.approx(3.08 / 3)
    assert row.test_error.n == 3
    assert row.validation_error_percent is None
    assert row.caveat == REPRODUCTION_CAVEAT
    assert row.rank == 1


def test_a_reproduction_without_a_complete_repeat_is_not_ranked() -> None:
    failed = outcome(None, State.FAILED, Cause.HUNG)
    (row,) = compute([study(reproduced((failed, None)), of=records.reproduction().header)]).sections[0].rows
    assert (row.rank, row.state, row.cause) == (None, State.FAILED, Cause.HUNG)


def test_every_row_of_the_tutorial_protocol_has_its_caveat() -> None:
    steered = study(
        searched(0, outcome(1.0)), searched(1, outcome(0.6)), of=header(judged=records.protocol(ProtocolName.TUTORIAL))
    )
    assert {row.caveat for row in compute([steered]).sections[0].rows} == {TUTORIAL_CAVEAT}
    assert {row.caveat for row in compute([records.tpe()]).sections[0].rows} == {""}


def test_the_test_images_openings_and_seconds_are_added_up() -> None:
    section = compute([records.tpe(), records.other()]).sections[0]
    assert (
        section.test_openings == len(records.tpe().trials_in_phase(Phase.VERIFICATION)) + 1 + 1
    )  # the ensemble, and one run
    assert section.spent_seconds == 1200.0


@pytest.mark.parametrize(
    ("studies", "reason"),
    [
        ([], "no study"),
        ([study()], "begun none"),
        ([study(searched(0, None), searched(1, None))], "begun 2 and finished none"),
    ],
)
def test_an_empty_board_notes_the_reason(studies: list[StudyRecord], reason: str) -> None:
    board = compute(studies)
    assert board.sections == ()
    assert reason in board.notes[0]


def test_top_keeps_the_baseline_and_counts_what_it_hides() -> None:
    section = top_rows(compute([records.tpe()]), 2).sections[0]
    assert [row.trial for row in section.rows] == [6, 1, 0]
    assert section.hidden_rows == 11


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_board_of_the_first_rows_equals_the_first_rows_of_the_board(count: int) -> None:
    studies = [records.tpe(), records.other()]
    assert top_rows(compute(studies, max_unverified=count), count) == top_rows(compute(studies), count)


def shuffled(record: StudyRecord, seed: int) -> StudyRecord:
    trials = list(record.trials)
    random.Random(seed).shuffle(trials)
    return replace(record, trials=tuple(trials))


@given(st.permutations([records.tpe(), records.other(), records.reproduction()]), st.integers(0, 2**32))
@settings(max_examples=25)
def test_the_board_does_not_depend_on_the_order_of_records(studies: list[StudyRecord], seed: int) -> None:
    expected = compute([records.tpe(), records.other(), records.reproduction()])
    assert compute([shuffled(record, seed) for record in studies]) == expected


errors = st.lists(st.floats(0, 100).map(lambda value: round(value, 2)), max_size=4)


@given(st.lists(errors, min_size=1, max_size=8))
@settings(max_examples=50)
def test_ranks_of_any_errors(replicates: list[list[float]]) -> None:
    trials = [searched(number, outcome(0.5)) for number in range(len(replicates))]
    runs = [verified(number, values) for number, values in enumerate(replicates)]
    board = compute([study(*trials, *runs)])
    ranked = board.sections[0].ranked
    assert [row.rank for row in ranked] == list(range(1, len(ranked) + 1))
    assert all(1 <= row.rank_range[0] <= row.rank <= row.rank_range[1] <= len(ranked) for row in ranked)
    assert [row.next_difference is None for row in ranked] == [False] * (len(ranked) - 1) + [True] * bool(ranked)
    assert rank_rows(board.sections[0].rows) == board.sections[0].rows


def test_a_board_is_a_value() -> None:
    assert compute([records.tpe()]) == compute([records.tpe()])
    assert isinstance(compute([]), Board)
