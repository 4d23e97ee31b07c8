"""How often the test images of a study were opened, by what, and how many search trials began afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from makers import complete, header, trial

from search.cli.retraining import record_test_openings
from search.cli.status_json import brief_json
from search.records import study_json
from search.records.opening import open_ledger
from search.records.openings import FILE_NAME, record_openings
from search.records.reader import read_study
from search.records.record import EnsembleRecord, StudyRecord, TrialRecord
from search.records.status import study_status
from search.records.storage.locations import StudyLocation
from search.trial import COPIED_FROM_KEY, PROPOSED, Phase


def searched(number: int, second: int) -> TrialRecord:
    return TrialRecord(
        trial=trial(number, origin=PROPOSED), outcome=complete(), started=f"2026-01-01T00:00:{second:02d}"
    )


def verified(number: int, second: int, *, copied_from: str = "") -> TrialRecord:
    outcome = complete()
    if copied_from:
        outcome = replace(outcome, environment={**outcome.environment, COPIED_FROM_KEY: copied_from})
    return TrialRecord(
        trial=trial(number, phase=Phase.VERIFICATION, source_trial=0, replicate=number),
        outcome=outcome,
        started=f"2026-01-01T00:00:{second:02d}",
    )


STUDY = StudyRecord(
    header=header(),
    trials=(
        *(searched(number, 10 * number) for number in range(4)),
        verified(0, 1, copied_from="other"),
        verified(1, 15),
    ),
    ensembles=(
        EnsembleRecord(origin="mean", weights={1: 1.0}, error_percent=1.0, scored_images=10, parameter_count=1),
    ),
    opened_by={"export": 1, "reproduce": 2},
)


def test_each_opening_counts_with_what_made_it() -> None:
    assert STUDY.test_openings == {"verification": 1, "ensemble": 1, "export": 1, "reproduce": 2}
    assert STUDY.test_evaluations == 5
    assert replace(STUDY, trials=(), ensembles=(), opened_by={}).test_openings == {}


def test_search_trials_after_the_first_opening_are_counted() -> None:
    assert STUDY.searched_after_opening == 2, "a run that was taken over opens nothing here"
    assert replace(STUDY, trials=STUDY.trials[:5]).searched_after_opening == 0


def test_the_studys_file_keeps_the_counts() -> None:
    assert study_json.loads(study_json.dumps(STUDY), "here").test_openings == STUDY.test_openings


def test_commands_count_beside_the_ledger(tmp_path: Path) -> None:
    location = StudyLocation(studies_dir=tmp_path)
    with open_ledger(location, header()) as ledger:
        record_test_openings("study", location, by="export", count=1)  # while a coordinator holds the ledger
        record_test_openings("study", location, by="reproduce", count=3)
        record_test_openings("study", location, by="reproduce", count=0)
        with (ledger.folder / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write('{"by": "export", "cou')  # the disk was full
    assert read_study(location, "study").opened_by == {"export": 1, "reproduce": 3}
    assert brief_json(study_status(location, "study"))["test_openings"] == {"export": 1, "reproduce": 3}


def test_a_published_study_and_a_folder_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / study_json.FILE_NAME).write_bytes(study_json.dumps(STUDY))
    record_test_openings(str(tmp_path), StudyLocation(studies_dir=tmp_path / "none"), by="export", count=1)
    record_openings(tmp_path / "none", by="export", count=1)
    assert [path.name for path in tmp_path.iterdir()] == [study_json.FILE_NAME]
