"""The ledger's contract on a journal file, SQLite and PostgreSQL, faults of files, and ledgers broken on purpose."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from pathlib import Path

import pytest
from ledger_contract import LedgerContract
from makers import complete, header, trial
from postgres import Server

import search.records
from search.errors import FatalError, UserError
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import EnsembleRecord, StudyHeader
from search.records.storage.database_ledger import DatabaseLedger
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation, lock_study
from search.records.storage.optuna_codec import LEDGER_SCHEMA
from search.records.storage.storages import open_storage
from search.trial import EpochReport, Outcome, Trial


class TestJournal(LedgerContract):
    kind = FileLedger

    @staticmethod
    def place(tmp_path: Path) -> StudyLocation:
        return StudyLocation(studies_dir=tmp_path / "studies")


class TestSqlite(LedgerContract):
    kind = FileLedger

    @staticmethod
    def place(tmp_path: Path) -> StudyLocation:
        return StudyLocation(studies_dir=tmp_path / "studies", storage=f"sqlite:///{tmp_path}/studies.db")


class TestPostgres(LedgerContract):
    kind = DatabaseLedger
    server: Server

    @pytest.fixture(autouse=True)
    def _running(self, postgres: Server) -> None:
        TestPostgres.server = postgres

    @staticmethod
    def place(tmp_path: Path) -> StudyLocation:
        return StudyLocation(studies_dir=tmp_path / "studies", storage=TestPostgres.server.database())


def test_every_ledger_has_a_contract() -> None:
    for module in pkgutil.walk_packages(search.records.__path__, "search.records."):
        importlib.import_module(module.name)
    assert {suite.kind for suite in LedgerContract.__subclasses__()} == set(Ledger.__subclasses__())


class _LedgerWithoutHistory(FileLedger):
    def report(self, trial: Trial, report: EpochReport) -> bool:
        return True


class _LedgerWithoutOutcomes(FileLedger):
    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        return outcome


class _LedgerWithoutEnsembles(FileLedger):
    def record_ensemble(self, ensemble: EnsembleRecord) -> None:
        pass


class _LedgerWithoutTrials(_LedgerWithoutOutcomes):
    def begin(self, trial: Trial) -> None:
        pass


class _RenumberingLedger(FileLedger):
    def begin(self, trial: Trial) -> None:
        super().begin(dataclasses.replace(trial, number=self._next_numbers[trial.phase]))


class _CarelessLedger(FileLedger):
    @classmethod
    def open(cls, location: StudyLocation, header: StudyHeader) -> FileLedger:
        with lock_study(location, header.name) as resources:
            storage, commit = open_storage(location, header.name)
            ledger = cls(location, header, storage, commit)
            ledger._resources = resources.pop_all()
            return ledger


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (_LedgerWithoutHistory, "test_what_is_written_is_read"),
        (_LedgerWithoutOutcomes, "test_every_state_survives_with_its_cause"),
        (_LedgerWithoutOutcomes, "test_what_is_written_is_read"),
        (_LedgerWithoutEnsembles, "test_an_ensemble_is_no_trial"),
        (_LedgerWithoutTrials, "test_a_running_trial_has_no_outcome"),
        (_LedgerWithoutTrials, "test_studies_stand_apart"),
        (_RenumberingLedger, "test_trial_numbers_have_no_gaps"),
        (_CarelessLedger, "test_another_study_of_the_same_name_is_refused"),
        (_LedgerWithoutTrials, "test_a_study_is_taken_up_again"),
    ],
)
def test_the_contract_catches_a_broken_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: type[FileLedger], test: str
) -> None:
    monkeypatch.setattr("search.records.storage.file_ledger.FileLedger", broken)
    suite = TestJournal()
    suite.kind = broken
    with pytest.raises((AssertionError, IndexError, UserError, pytest.fail.Exception)):
        getattr(suite, test)(tmp_path)


@pytest.mark.parametrize("suite", [TestJournal, TestSqlite])
def test_only_one_process_writes_a_file(tmp_path: Path, suite: type[LedgerContract]) -> None:
    place = suite.place(tmp_path)
    with open_ledger(place, header()), pytest.raises(UserError, match="another process"):
        open_ledger(place, header())
    with open_ledger(place, header()):
        pass


def _journal(tmp_path: Path) -> tuple[StudyLocation, Path]:
    place = StudyLocation(studies_dir=tmp_path)
    with open_ledger(place, header()) as ledger:
        for number in range(3):
            ledger.begin(trial(number))
            ledger.finish(trial(number), complete(float(number)))
    return place, tmp_path / "study" / "ledger.journal"


def test_a_line_cut_short_costs_that_line_only(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    before = read_study(place, "study")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 5, "worker')
    assert read_study(place, "study") == before
    with open_ledger(place, header()) as ledger:
        ledger.begin(trial(3))
        ledger.finish(trial(3), complete(9.0))
    assert read_study(place, "study").trials[:3] == before.trials
    assert len(read_study(place, "study").trials) == 4


def test_a_lock_left_by_a_killed_writer_is_cleared_away(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    left = path.with_name("ledger.journal.lock")
    left.touch()
    with open_ledger(place, header()) as ledger:
        assert not left.exists()
        ledger.begin(trial(3))
    assert len(read_study(place, "study").trials) == 4


def test_a_journal_cut_anywhere_in_its_last_line_keeps_the_lines_before(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for cut in (start + 1, (start + len(whole)) // 2, len(whole) - 2):
        path.write_bytes(whole[:cut])
        with open_ledger(place, header()) as ledger:
            assert [known.trial.number for known in ledger.read().trials] == [0, 1, 2]
        assert path.read_bytes().startswith(whole[:start])


def test_a_damaged_line_in_the_middle_is_an_error_that_says_where(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[4:]]))
    with pytest.raises(FatalError, match=r"ledger\.journal"):
        read_study(place, "study")


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    text = path.read_text()
    assert f'"schema":{LEDGER_SCHEMA}' in text
    path.write_text(text.replace(f'"schema":{LEDGER_SCHEMA}', '"schema":99'))
    with pytest.raises(UserError, match="newer version"):
        read_study(place, "study")


def test_a_trial_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    place, path = _journal(tmp_path)
    path.write_text(path.read_text().replace('"replicate":', '"newer":'))
    with pytest.raises(FatalError, match=r"cannot read: trial 0 .*newer") as refusal:
        read_study(place, "study")
    assert "--study" in refusal.value.hint


def test_every_line_of_a_journal_is_json(tmp_path: Path) -> None:
    _, path = _journal(tmp_path)
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("storage", "named"),
    [
        ("nonsense", "cannot be read"),
        ("mysql+nodriver://host/db", "cannot be reached"),
        ("postgresql+pg8000://somebody:secret@127.0.0.1:1/db", r"optional dependency.\n.*\.\[postgres\]"),
        ("postgresql+psycopg://somebody:secret@127.0.0.1:1/db", "cannot be reached"),
        ("sqlite:////nowhere/at/all.db", "cannot be reached"),
    ],
)
def test_a_storage_that_cannot_be_used_is_an_error_without_its_password(
    tmp_path: Path, storage: str, named: str
) -> None:
    with pytest.raises(UserError, match=named) as refusal:
        open_ledger(StudyLocation(studies_dir=tmp_path / "studies", storage=storage), header())
    assert "secret" not in str(refusal.value)
    assert not (tmp_path / "studies").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be written"):
        open_ledger(StudyLocation(studies_dir=tmp_path / "studies"), header())
