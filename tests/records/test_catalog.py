"""A study is found by its name, its folder wherever that was copied to, a report's folder, or its file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makers import complete, header, trial

from search.errors import FatalError, UserError
from search.leaderboard.files import write
from search.records import study_file
from search.records.catalog import find, locate, one
from search.records.ledger import Ledger
from search.records.storage import Place


def keep(place: Place, name: str, *, trials: int = 1, **changes: str) -> None:
    """Writes a study with so many complete trials."""
    with Ledger.open(place, header(name, **changes)) as ledger:
        for number in range(len(ledger.read().trials), trials):
            ledger.begin(trial(number))
            ledger.finish(trial(number), complete(float(number + 1)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Studies ``one`` and ``two``, copies of both elsewhere, and published reports."""
    place = Place(studies_dir=tmp_path / "studies")
    keep(place, "one", trials=2)
    keep(place, "two")
    shutil.copytree(place.studies_dir, tmp_path / "elsewhere" / "studies")
    shutil.copytree(place.folder("one"), tmp_path / "backup" / "renamed")
    for folder in ("reports/one", "reports/baselines/two"):
        record = find([folder.rpartition("/")[2]], place)[0].record
        write(tmp_path / folder / study_file.NAME, study_file.dumps(record))
    return place


def names(texts: list[str], place: Place) -> list[tuple[str, str]]:
    return [(found.record.header.name, found.where) for found in find(texts, place)]


def test_names_and_none_for_all(place: Place) -> None:
    assert names(["two"], place) == [("two", "two")]
    assert names([], place) == [("one", "one"), ("two", "two")]


def test_folders_and_files_of_ledgers(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(["elsewhere/studies/two"], place) == [("two", "elsewhere/studies/two")]
    assert names(["backup/renamed/ledger.journal"], place) == [("one", "backup/renamed/ledger.journal")]
    assert names(["elsewhere"], place) == [("one", "elsewhere/studies/one"), ("two", "elsewhere/studies/two")]
    monkeypatch.chdir(tmp_path / "backup" / "renamed")
    assert names(["."], place) == [("one", ".")]


def test_folders_and_files_of_reports(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(["reports"], place) == [("one", "reports/one"), ("two", "reports/baselines/two")]
    (found,) = find([f"reports/one/{study_file.NAME}"], place)
    assert found.record == find(["one"], place)[0].record
    assert found.file == Path("reports/one", study_file.NAME)


def test_a_name_goes_before_a_path(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "elsewhere" / "studies")
    keep(place, "one", trials=3)
    assert len(one("one", place).trials) == 3
    assert len(one("./one", place).trials) == 2


def test_a_database_and_paths_side_by_side(place: Place, tmp_path: Path) -> None:
    shared = Place(studies_dir=tmp_path / "shared", storage=f"sqlite:///{tmp_path}/studies.db")
    keep(shared, "three")
    assert names(["three", str(place.folder("one"))], shared) == [("three", "three"), ("one", str(place.folder("one")))]
    with pytest.raises(UserError, match="Unknown study") as refusal:
        find(["thre"], shared)
    assert "Did you mean 'three'? Known in the storage: three." in refusal.value.hint


def test_near_names_are_offered(place: Place) -> None:
    with pytest.raises(UserError, match="Received: 'onee'") as refusal:
        find(["onee"], place)
    assert f"Did you mean 'one'? Known in {place.studies_dir}: one, two." in refusal.value.hint
    with pytest.raises(UserError) as refusal:
        find(["no/such/folder"], place)
    assert "Did you mean" not in refusal.value.hint


def test_many_names_are_not_all_listed(tmp_path: Path) -> None:
    for number in range(15):
        (tmp_path / f"s{number:02d}").mkdir()
        (tmp_path / f"s{number:02d}" / "ledger.journal").touch()
    with pytest.raises(UserError) as refusal:
        find(["x"], Place(studies_dir=tmp_path))
    assert refusal.value.hint.endswith("s11 and 3 more.")


def test_a_folder_without_a_study_says_what_is_expected(place: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no study in the folder") as refusal:
        find([str(tmp_path / "empty")], place)
    assert "study.json.gz" in refusal.value.hint


def test_a_folder_of_several_is_not_one_study(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="One study is expected") as refusal:
        one(str(tmp_path / "reports"), place)
    assert "reports/one" in refusal.value.hint


def test_another_file_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text('{"schema": "leaderboard/4"}', encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match="no study's file"):
        find([str(tmp_path / "board.json")], place)
    with pytest.raises(UserError, match="cannot be read, or is damaged"):
        find([str(tmp_path / "picture.png")], place)


def test_a_damaged_ledger_elsewhere_is_told_as_one_here(place: Place, tmp_path: Path) -> None:
    journal = tmp_path / "elsewhere" / "studies" / "one" / "ledger.journal"
    journal.write_bytes(b"junk\n" + journal.read_bytes())
    with pytest.raises(FatalError, match="damaged in the middle"):
        find([str(journal.parent)], place)


def test_a_study_that_never_began_elsewhere_is_told(place: Place, tmp_path: Path) -> None:
    (tmp_path / "unborn").mkdir()
    (tmp_path / "unborn" / "ledger.journal").touch()
    with pytest.raises(UserError, match="stopped before it began"):
        find([str(tmp_path / "unborn")], place)


def test_who_watches_needs_a_ledger(place: Place, tmp_path: Path) -> None:
    assert locate("one", place) == (place, "one")
    assert locate(str(tmp_path / "backup" / "renamed"), place) == (Place(studies_dir=tmp_path / "backup"), "renamed")
    with pytest.raises(UserError, match="can still be written"):
        locate(str(tmp_path / "reports" / "one"), place)
    with pytest.raises(UserError, match="Unknown study"):
        locate("thre", place)
