"""Rows pooled over studies, and groups of images."""

from dataclasses import replace

import pytest

from search.data.mnist import MNIST_SHA256
from search.leaderboard.compute import compute
from search.protocol import ClassWeight
from search.trial import BASELINE
from spaces import Int
from tests.leaderboard import records
from tests.leaderboard.records import header, outcome, searched, study, verified


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


def test_what_one_study_found_and_another_has_as_its_baseline_is_called_found() -> None:
    moved = replace(records.SPACE, parameters={**records.SPACE.parameters, "shift": Int(0, 4, 2)})
    begun_from_it = study(
        searched(0, outcome(0.5), origin=BASELINE), verified(0, (0.5, 0.4), first_seed=500), of=header("b", space=moved)
    )
    for order in (1, -1):
        studies = [records.of_several("a", 10), begun_from_it][::order]
        best = compute(studies).sections[0].ranked[0]
        assert (best.label, len(best.completed_replicates)) == ("found", 4)
        assert best.baseline_difference is not None


def test_a_parameter_that_does_nothing_does_not_keep_rows_apart() -> None:
    """Studies of version 0.1.0 recorded clean_epochs without augmentation, too."""
    older = records.of_several("b", 20)
    trials = tuple(
        replace(entry, trial=replace(entry.trial, config={**entry.trial.config, "clean_epochs": 0}))
        for entry in older.trials
    )
    section = compute([records.of_several("a", 10), replace(older, trials=trials)]).sections[0]
    assert [row.study_names for row in section.ranked] == [("a", "b")] * 2


def test_a_study_from_before_a_parameter_is_pooled_with_those_at_its_baseline() -> None:
    newer = records.of_several("b", 20)
    space = replace(newer.header.space, parameters={**records.SPACE.parameters, "convolutions": Int(1, 2, 1)})
    trials = tuple(
        replace(entry, trial=replace(entry.trial, config={**entry.trial.config, "convolutions": 1}))
        for entry in newer.trials
    )
    newer = replace(newer, header=replace(newer.header, space=space), trials=trials)
    section = compute([records.of_several("a", 10), newer]).sections[0]
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
