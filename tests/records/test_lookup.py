"""A study is found by its name, its folder wherever that was copied to, a report's folder, or its file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makers import complete, header, trial

from search.errors import FatalError, UserError
from search.files import write_atomic
from search.records import study_json
from search.records.lookup import find_studies, find_study, locate_ledger
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation


def keep(place: StudyLocation, name: str, *, trials: int = 1, **changes: str) -> None:
    """Writes a study with so many complete trials."""
    with open_ledger(place, header(name, **changes)) as ledger:
        for number in range(len(ledger.read().trials), trials):
            ledger.begin(trial(number))
            ledger.finish(trial(number), complete(float(number + 1)))


@pytest.fixture
def place(tmp_path: Path) -> StudyLocation:
    """Studies ``one`` and ``two``, copies of both elsewhere, and published reports."""
    place = StudyLocation(studies_dir=tmp_path / "studies")
    keep(place, "one", trials=2)
    keep(place, "two")
    shutil.copytree(place.studies_dir, tmp_path / "elsewhere" / "studies")
    shutil.copytree(place.folder("one"), tmp_path / "backup" / "renamed")
    for folder in ("reports/one", "reports/baselines/two"):
        record = find_studies([folder.rpartition("/")[2]], place)[0].record
        write_atomic(tmp_path / folder / study_json.FILE_NAME, study_json.dumps(record), what="study file")
    return place


def names(texts: list[str], place: StudyLocation) -> list[tuple[str, str]]:
    return [(found.record.header.name, found.source) for found in find_studies(texts, place)]


def test_names_and_none_for_all(place: StudyLocation) -> None:
    assert names(["two"], place) == [("two", "two")]
    assert names([], place) == [("one", "one"), ("two", "two")]


def test_folders_and_files_of_ledgers(place: StudyLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(["elsewhere/studies/two"], place) == [("two", "elsewhere/studies/two")]
    assert names(["backup/renamed/ledger.journal"], place) == [("one", "backup/renamed/ledger.journal")]
    assert names(["elsewhere"], place) == [("one", "elsewhere/studies/one"), ("two", "elsewhere/studies/two")]
    monkeypatch.chdir(tmp_path / "backup" / "renamed")
    assert names(["."], place) == [("one", ".")]


def test_folders_and_files_of_reports(place: StudyLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(["reports"], place) == [("one", "reports/one"), ("two", "reports/baselines/two")]
    (found,) = find_studies([f"reports/one/{study_json.FILE_NAME}"], place)
    assert found.record == find_studies(["one"], place)[0].record
    assert found.file == Path("reports/one", study_json.FILE_NAME)


def test_a_name_goes_before_a_path(place: StudyLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "elsewhere" / "studies")
    keep(place, "one", trials=3)
    assert len(find_study("one", place).trials) == 3
    assert len(find_study("./one", place).trials) == 2


def test_a_database_and_paths_side_by_side(place: StudyLocation, tmp_path: Path) -> None:
    shared = StudyLocation(studies_dir=tmp_path / "shared", storage=f"sqlite:///{tmp_path}/studies.db")
    keep(shared, "three")
    assert names(["three", str(place.folder("one"))], shared) == [("three", "three"), ("one", str(place.folder("one")))]
    with pytest.raises(UserError, match="Unknown study") as refusal:
        find_studies(["thre"], shared)
    assert "Did you mean 'three'? Known in the storage: three." in refusal.value.hint


def test_near_names_are_offered(place: StudyLocation) -> None:
    with pytest.raises(UserError, match="Received: 'onee'") as refusal:
        find_studies(["onee"], place)
    assert f"Did you mean 'one'? Known in {place.studies_dir}: one, two." in refusal.value.hint
    with pytest.raises(UserError) as refusal:
        find_studies(["no/such/folder"], place)
    assert "Did you mean" not in refusal.value.hint


def test_many_names_are_not_all_listed(tmp_path: Path) -> None:
    for number in range(15):
        (tmp_path / f"s{number:02d}").mkdir()
        (tmp_path / f"s{number:02d}" / "ledger.journal").touch()
    with pytest.raises(UserError) as refusal:
        find_studies(["x"], StudyLocation(studies_dir=tmp_path))
    assert refusal.value.hint.endswith("s11 and 3 more.")


def test_a_folder_without_a_study_says_what_is_expected(place: StudyLocation, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no study in the folder") as refusal:
        find_studies([str(tmp_path / "empty")], place)
    assert "study.json.gz" in refusal.value.hint


def test_a_folder_of_several_is_not_one_study(place: StudyLocation, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="One study is expected") as refusal:
        find_study(str(tmp_path / "reports"), place)
    assert "reports/one" in refusal.value.hint


def test_another_file_is_refused(place: StudyLocation, tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text('{"schema": "leaderboard/5"}', encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match="no study's file"):
        find_studies([str(tmp_path / "board.json")], place)
    with pytest.raises(UserError, match="cannot be read, or is damaged"):
        find_studies([str(tmp_path / "picture.png")], place)


def test_a_damaged_ledger_elsewhere_is_told_as_one_here(place: StudyLocation, tmp_path: Path) -> None:
    journal = tmp_path / "elsewhere" / "studies" / "one" / "ledger.journal"
    journal.write_bytes(b"junk\n" + journal.read_bytes())
    with pytest.raises(FatalError, match="damaged in the middle"):
        find_studies([str(journal.parent)], place)


def test_a_study_that_never_began_elsewhere_is_told(place: StudyLocation, tmp_path: Path) -> None:
    (tmp_path / "unborn").mkdir()
    (tmp_path / "unborn" / "ledger.journal").touch()
    with pytest.raises(UserError, match="stopped before it began"):
        find_studies([str(tmp_path / "unborn")], place)


def test_who_watches_needs_a_ledger(place: StudyLocation, tmp_path: Path) -> None:
    assert locate_ledger("one", place) == (place, "one")
    assert locate_ledger(str(tmp_path / "backup" / "renamed"), place) == (
        StudyLocation(studies_dir=tmp_path / "backup"),
        "renamed",
    )
    with pytest.raises(UserError, match="can still be written"):
        locate_ledger(str(tmp_path / "reports" / "one"), place)
    with pytest.raises(UserError, match="Unknown study"):
        locate_ledger("thre", place)
