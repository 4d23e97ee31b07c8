import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.mnist import MNIST_SHA256
from search.leaderboard.board import Board, Row, top_rows
from search.leaderboard.compute import REPRODUCTION_CAVEAT, REPRODUCTION_LABEL, TUTORIAL_CAVEAT, compute
from search.leaderboard.ranking import rank_rows
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import ranked_columns
from search.protocol import ClassWeight, ProtocolName
from search.records.record import StudyRecord
from search.trial import BASELINE, Cause, Outcome, Phase, State
from spaces import Float, Space
from tests.leaderboard import records
from tests.leaderboard.records import header, outcome, reproduced, searched, study, verified


def rows(*studies: StudyRecord) -> dict[str, Row]:
    return {row.name: row for section in compute(studies).sections for row in section.rows}


def baseline(*errors: float):
    config = records.SPACE.baseline
    return searched(0, outcome(1.4), origin=BASELINE, config=config), verified(0, errors, config=config)


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


# The chosen row


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


# Rows pooled over studies


def test_one_configuration_of_several_studies_is_one_row() -> None:
    section = compute([records.of_several("a", 10), records.of_several("b", 20, found=0.7)]).sections[0]
    best, base = section.ranked
    assert best.study_names == base.study_names == ("a", "b")
    assert best.chosen_in == ("a", "b")
    assert [run.seed for run in best.completed_replicates] == [10, 11, 20, 21]
    assert best.validation_error_percent == pytest.approx(0.6)
    assert best.baseline_difference.mean == pytest.approx(-0.6)
    assert [(trial.study, trial.validation_error_percent) for trial in best.pooled] == [("a", 0.5), ("b", 0.7)]
    assert sorted((row.study.name, row.trial, row.rank) for row in section.study_rows) == [
        ("a", 0, 2),
        ("a", 1, 1),
        ("b", 0, 2),
        ("b", 1, 1),
    ]


def test_a_parameter_that_does_nothing_does_not_keep_rows_apart() -> None:
    """Studies of version 0.1.0 recorded clean_epochs without augmentation, too."""
    older = records.of_several("b", 20)
    trials = tuple(
        replace(entry, trial=replace(entry.trial, config={**entry.trial.config, "clean_epochs": 0}))
        for entry in older.trials
    )
    section = compute([records.of_several("a", 10), replace(older, trials=trials)]).sections[0]
    assert [row.study_names for row in section.ranked] == [("a", "b")] * 2


def test_equal_runs_of_two_studies_count_once() -> None:
    section = compute([records.of_several("a", 10), records.of_several("b", 11)]).sections[0]
    assert [run.seed for run in section.ranked[0].completed_replicates] == [10, 11, 12]


def test_runs_of_another_arithmetic_stand_apart_and_what_was_not_recorded_agrees() -> None:
    a, b = records.of_several("a", 10), records.of_several("b", 20, environment={"kernels": "eigen"})
    c = records.of_several("c", 30, environment={"kernels": "onednn"})
    assert [row.study_names for row in compute([b, c]).sections[0].rows if row.trial == 1] == [("b",), ("c",)]
    assert [row.study_names for row in compute([a, b]).sections[0].rows if row.trial == 1] == [("a", "b")]


def test_trainings_of_other_class_weights_are_not_pooled() -> None:
    a, b = records.of_several("a", 10), records.of_several("b", 20)
    weighted = replace(b.header, protocol=replace(b.header.protocol, class_weight=ClassWeight.BALANCED))
    assert compute([a, replace(b, header=weighted)]).sections[0].pooled_rows == ()


def test_networks_of_different_builders_stand_apart() -> None:
    a, b = records.of_several("a", 10), records.of_several("b", 20)
    edited = replace(b, header=replace(b.header, builder_sha256="2" * 64))
    rows = compute([replace(a, header=replace(a.header, builder_sha256="1" * 64)), edited]).sections[0].rows
    assert [row.study_names for row in rows if row.trial == 1] == [("a",), ("b",)]


def test_short_and_full_trainings_are_not_pooled() -> None:
    section = compute([records.screened(), records.short_only()]).sections[0]
    assert section.pooled_rows == ()


# Groups of images


def test_every_study_of_mnist_counts_writers() -> None:
    groups = {}
    for data in (MNIST_SHA256, "3f"):
        judged = records.protocol(dataset="a file of its own", data=data)
        of_data = study(searched(1, outcome(0.5)), verified(1, (0.5, 0.6)), of=header(judged=judged))
        groups[data] = compute([of_data]).sections[0].image_groups
    assert groups == {MNIST_SHA256: 297, "3f": None}


def test_recorded_groups_widen_an_interval() -> None:
    known = records.of_several("a", 10)
    alone = replace(known, header=header("a", judged=records.protocol(data="3f")))
    grouped = replace(alone, test_groups=tuple(index // 20 for index in range(1000)))
    wide, narrow = (compute([each]).sections[0].ranked[0].interval for each in (grouped, alone))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_an_ensemble_is_compared_with_the_chosen_row() -> None:
    (ensemble,) = compute([records.tpe()]).sections[0].ensembles
    assert ensemble.compared_with == "found #6"
    assert ensemble.difference.mean == pytest.approx(0.44 - 1.57 / 3)


# Unbalanced classes


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
