"""Studies from several machines on one board: each run counts once, whatever was copied from where."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.leaderboard.compute import compute
from search.records import study_json
from search.records.merge import LocatedStudy, is_copy, merge_studies
from search.records.record import StudyRecord, TrialRecord
from search.trial import BASELINE, COPIED_FROM_KEY, PROPOSED, EpochReport, Outcome, Phase, State, Trial
from tests.leaderboard.records import BETTER, SPACE, header, joined


def run(number: int, error: float, *, clock: random.Random, **changes: object) -> TrialRecord:
    """A complete trial that took some time, as measured."""
    fields = {"config": BETTER, "seed": 1000 + number, "epochs": 2, "origin": PROPOSED, **changes}
    history = tuple(
        EpochReport(
            epoch=epoch,
            training_loss=round(clock.random(), 6),
            metrics={"error_percent": error + 2 - epoch},
            seconds=round(clock.uniform(1, 9), 4),
        )
        for epoch in (1, 2)
    )
    outcome = Outcome(
        state=State.COMPLETE,
        metrics={"error_percent": error},
        history=history,
        seconds={"fit": sum(report.seconds for report in history)},
        environment={"host": "h", "pid": 1, "processor": "A Processor", "cores": 2, "device": "CPU"},
        elapsed_seconds=10.0 * number,
    )
    return TrialRecord(
        trial=Trial(number=number, **fields),  # type: ignore[arg-type]
        outcome=outcome,
        started=f"2026-11-20T10:{number:02d}:00+00:00",
    )


def searched(machine: int, numbers: range, **of: object) -> StudyRecord:
    """A study of a machine: the baseline and found configurations, the first two of them verified."""
    clock = random.Random(machine)
    trials = [
        run(
            number,
            1.0 + number / 10,
            clock=clock,
            origin=BASELINE if number == 0 else PROPOSED,
            config=SPACE.baseline if number == 0 else {**BETTER, "rotation": number},
        )
        for number in numbers
    ]
    verified = [
        run(
            place,
            1.1 - of_trial / 10 + replicate / 100,
            clock=clock,
            phase=Phase.VERIFICATION,
            source_trial=of_trial,
            replicate=replicate,
            config=trials[of_trial].trial.config,
            origin=trials[of_trial].trial.origin,
            seed=50 + replicate,
        )
        for place, (of_trial, replicate) in enumerate((a, b) for a in (0, 1) for b in (0, 1))
    ]
    return StudyRecord(header=replace(header(), **of), trials=(*trials, *verified), spent_seconds=100.0)


ONE, OTHER = searched(1, range(4)), searched(2, range(4), created="2026-11-21T10:00:00+00:00")


def cut(study: StudyRecord, ended: int) -> StudyRecord:
    """The study as it was when so many trials had ended, and the next was running."""
    running = tuple(replace(known, outcome=None) for known in study.trials[ended : ended + 1])
    return replace(study, trials=(*study.trials[:ended], *running), spent_seconds=10.0 * ended)


def gone_on(study: StudyRecord, machine: int, ended: int = 3) -> StudyRecord:
    """A copy of the study that another machine took up after so many search trials, and verified by itself."""
    clock = random.Random(machine)
    more = tuple(run(number, 0.5, clock=clock, config={**BETTER, "rotation": 20}) for number in range(ended, ended + 2))
    return replace(study, trials=(*study.trials[:ended], *more), spent_seconds=70.0)


def board(*studies: StudyRecord):
    merged = merge_studies([LocatedStudy(study, f"place {at}") for at, study in enumerate(studies)])
    return compute(merged.records), merged


def test_one_study_is_as_it_was() -> None:
    merged = merge_studies([LocatedStudy(ONE, "here")])
    assert merged.records == (ONE,)
    assert merged.notes == ()


@pytest.mark.parametrize("ended", range(1, len(ONE.trials)))
@pytest.mark.parametrize("published", [False, True])
def test_an_earlier_copy_is_left_out_in_either_order(ended: int, published: bool) -> None:
    early = cut(ONE, ended)
    if published:
        early = study_json.loads(study_json.dumps(early), "there")
    for order in ((early, ONE), (ONE, early)):
        seen, merged = board(*order)
        assert seen == compute([ONE])
        assert f"earlier copy, with {ended} trials ended" in merged.notes[0]
    assert is_copy(early, ONE)
    assert not is_copy(ONE, early)


def test_the_same_study_given_twice_counts_once() -> None:
    published = study_json.loads(study_json.dumps(ONE), "there")
    _, merged = board(ONE, published, ONE)
    assert len(merged.records) == 1
    assert [note.count("counts once") for note in merged.notes] == [1, 1]


def test_two_studies_of_one_name_are_told_apart_whatever_their_order() -> None:
    for order in ((ONE, OTHER), (OTHER, ONE)):
        seen, merged = board(*order)
        (section,) = seen.sections
        assert {study.name for study in section.studies} == {"cnn-tpe", "cnn-tpe-2"}
        assert [record.header.created for record in merged.records] == [ONE.header.created, OTHER.header.created]
        assert len(section.study_rows) == 8
        assert len(section.rows) == 6  # both verified the same two configurations
        assert section.test_openings == 8
        assert section.states == {"complete": 8}
        assert "cnn-tpe-2 is another study named cnn-tpe: place" in merged.notes[0]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("cnn-tpe", "cnn-tpe-60m"), ("cnn-tpe", "cnn-tpe-60m")),
        (("cnn-tpe-15m", "cnn-tpe"), ("cnn-tpe-15m", "cnn-tpe")),
        (("cnn-tpe-15m", "cnn-tpe-60m"), ("cnn-tpe", "cnn-tpe-60m")),
        (("a/cnn-tpe", "b/cnn-tpe"), ("cnn-tpe", "cnn-tpe-2")),
        (("a/long", "b/long"), ("cnn-tpe", "long")),
    ],
)
def test_studies_of_one_name_are_called_as_their_folders(folders: tuple[str, str], names: tuple[str, str]) -> None:
    files = [Path("/reports") / folder / "study.json.gz" for folder in folders]
    given = [LocatedStudy(study, str(file), file) for study, file in zip((ONE, OTHER), files, strict=True)]
    for order in (given, given[::-1]):
        assert tuple(record.header.name for record in merge_studies(order).records) == names


def test_spaces_of_one_name_with_different_builders_are_noted() -> None:
    first, second = (
        replace(study, header=replace(study.header, builder_sha256=sha)) for study, sha in ((ONE, "1"), (OTHER, "2"))
    )
    assert "in the studies cnn-tpe and in cnn-tpe-2" in board(first, second)[1].notes[-1]
    assert not any("builder" in note for note in board(first, OTHER)[1].notes)


def test_equal_seeds_and_errors_on_two_machines_are_two_runs_that_say_the_same() -> None:
    """Deterministic training gives both the same errors; the time that each epoch took tells them apart.

    In a row, which pools them, they count once.
    """
    twin = searched(2, range(4))
    assert [known.outcome.error_percent for known in twin.trials] == [
        known.outcome.error_percent for known in ONE.trials
    ]
    (section,) = board(ONE, twin)[0].sections
    assert section.test_openings == 8
    assert [len(row.completed_replicates) for row in section.ranked] == [2, 2]


def test_a_copy_that_another_machine_went_on_with_counts_what_it_added() -> None:
    fork = gone_on(ONE, machine=3)
    for order in ((ONE, fork), (fork, ONE)):
        seen, merged = board(*order)
        (section,) = seen.sections
        assert len(merged.records) == 2
        assert len(section.rows) == 4 + 2
        assert section.states == {"complete": 6}
        assert section.test_openings == ONE.test_evaluations
        assert any(note.endswith("where they count: 3.") for note in merged.notes)
        assert section.spent_seconds == ONE.spent_seconds + fork.spent_seconds - 20.0, "until the third trial ended"


def copied(study: StudyRecord, of: StudyRecord, **changes: object) -> StudyRecord:
    """The study with its baseline's verification runs taken over from another, as a tournament does."""
    trials = list(study.trials)
    for at, known in enumerate(trials):
        if known.trial.phase is Phase.VERIFICATION and known.trial.source_trial == 0:
            theirs = of.trials[at].outcome
            environment = {**theirs.environment, COPIED_FROM_KEY: of.header.name}
            trials[at] = replace(known, outcome=replace(theirs, environment=environment, elapsed_seconds=None))
    return replace(study, trials=tuple(trials), header=replace(study.header, **changes))


def test_runs_taken_over_from_another_study_count_there_and_are_still_compared_with() -> None:
    second = copied(searched(5, range(4)), ONE, name="cnn-random", created="2026-11-19T10:00:00+00:00")
    alone, _ = board(second)
    assert [row.copied_from for row in alone.sections[0].rows if row.is_baseline] == ["cnn-tpe"]
    seen, merged = board(ONE, second)
    (section,) = seen.sections
    ranked = [(row.study.name, row.trial) for row in section.ranked]
    assert ranked == [("cnn-random", 1), ("cnn-tpe", 0)]
    assert section.ranked[0].baseline_difference == alone.sections[0].ranked[0].baseline_difference
    assert section.test_openings == 6
    assert merged.notes == ("Runs of study cnn-random that are those of study cnn-tpe, where they count: 2.",)


def test_a_study_that_has_only_the_name_of_the_one_copied_from_is_another() -> None:
    second = copied(searched(5, range(4)), ONE, name="cnn-random", created="2026-11-19T10:00:00+00:00")
    seen, merged = board(OTHER, second)
    (baseline,) = (row for row in seen.sections[0].ranked if row.is_baseline)
    assert baseline.study_names == ("cnn-random", "cnn-tpe")
    assert merged.notes == ()


def test_other_data_and_other_protocol_versions_never_share_a_ranking() -> None:
    judged = ONE.header.protocol
    others = [
        searched(7, range(4), name="b", protocol=replace(judged, version="2.0")),
        searched(8, range(4), name="c", protocol=replace(judged, data_sha256="4" * 64)),
    ]
    seen, _ = board(ONE, *others)
    assert [[study.name for study in section.studies] for section in seen.sections] == [["cnn-tpe"], ["c"], ["b"]]
    assert all(section.ranked[0].rank == 1 for section in seen.sections)


MANY = [ONE, cut(ONE, 2), OTHER, gone_on(ONE, 3), copied(searched(5, range(4)), ONE, name="x")]


@settings(max_examples=25)
@given(st.permutations(range(len(MANY))))
def test_the_board_does_not_depend_on_the_order(order: list[int]) -> None:
    expected, merged = board(*MANY)
    assert {row.study.name for row in expected.sections[0].rows} == {"cnn-tpe", "cnn-tpe-2", "cnn-tpe-3", "x"}
    assert len(merged.records) == 4
    assert board(*(MANY[at] for at in order))[0] == expected


def test_a_failed_run_of_a_copy_counts_once() -> None:
    failed = TrialRecord(
        trial=Trial(number=2, config=BETTER, seed=9, epochs=2),
        outcome=Outcome(state=State.FAILED, message="no room"),
        started="2026-11-20T10:02:00+00:00",
    )
    one = replace(ONE, trials=(*ONE.trials[:2], failed, *ONE.trials[3:]))
    seen, _ = board(one, gone_on(one, machine=3))
    (failure,) = seen.sections[0].failures
    assert len(failure.trials) == 1


def test_an_ensemble_of_a_copy_counts_once() -> None:
    one = replace(ONE, ensembles=joined("mean", wrong=range(44), members=(0, 1)))
    assert is_copy(ONE, one)
    assert not is_copy(one, ONE)
    merged = board(ONE, one)[1]
    assert len(merged.records) == 1
    assert "earlier copy" in merged.notes[0]
    fork = gone_on(one, machine=3)
    seen, merged = board(one, fork)
    assert [ensemble.copied_from for record in merged.records for ensemble in record.ensembles] == ["", "cnn-tpe"]
    assert len(seen.sections[0].ensembles) == 1
    assert seen.sections[0].test_openings == one.test_evaluations
