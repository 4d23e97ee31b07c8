"""The storage behind the dashboard: shows what a running study adds, and changes nothing."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from makers import complete, header, trial
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from search.dashboard.read_only import ReadOnlyError, ReadOnlyStorage
from search.dashboard.server import open_storage
from search.errors import FatalError, UserError
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.storage.journal import COMMIT_INTERVAL_SECONDS
from search.records.storage.locations import StudyLocation
from search.trial import Cause, EpochReport, Outcome, Phase, State


@pytest.fixture(params=["journal", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StudyLocation:
    """Where the study is kept."""
    storage = f"sqlite:///{tmp_path}/studies.db" if request.param == "database" else None
    return StudyLocation(studies_dir=tmp_path / "studies", storage=storage)


@pytest.fixture
def ledger(place: StudyLocation) -> Iterator[Ledger]:
    """A study that runs: one trial complete, one verified, one begun; and another study beside it."""
    with open_ledger(place, header("beside")) as other:
        other.begin(trial(0))
    with open_ledger(place, header(command="python -m search run")) as ledger:
        ledger.begin(trial(0))
        ledger.finish(trial(0), complete(1.5))
        verified = trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
        ledger.begin(verified)
        ledger.finish(verified, complete(1.25))
        ledger.begin(trial(1))
        ledger.report(trial(1), EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 4.0}))
        time.sleep(COMMIT_INTERVAL_SECONDS)
        ledger.flush()
        yield ledger


def shown(place: StudyLocation) -> ReadOnlyStorage:
    storage, note = open_storage(place, "study")
    assert note == ""
    return storage


def trials(storage: BaseStorage) -> list[tuple[int, TrialState, dict[int, float]]]:
    found = storage.get_all_trials(storage.get_study_id_from_name("study/search"))
    return [(one.number, one.state, one.intermediate_values) for one in found]


def test_one_study_is_shown_with_its_phases_that_hold_trials(ledger: Ledger, place: StudyLocation) -> None:
    storage = shown(place)
    assert [study.study_name for study in storage.get_all_studies()] == ["study/search", "study/verification"]


def test_new_trials_are_shown(ledger: Ledger, place: StudyLocation) -> None:
    storage = shown(place)
    assert [(number, state) for number, state, _ in trials(storage)] == [
        (0, TrialState.COMPLETE),
        (1, TrialState.RUNNING),
    ]
    ledger.report(trial(1), EpochReport(epoch=2, training_loss=0.4, metrics={"error_percent": 3.0}))
    ledger.finish(trial(1), Outcome(state=State.FAILED, cause=Cause.KILLED, message="killed"))
    ledger.begin(trial(2))
    ledger.finish(trial(2), complete(0.5, epochs=1))
    assert trials(storage)[1:] == [(1, TrialState.FAIL, {1: 4.0, 2: 3.0}), (2, TrialState.COMPLETE, {1: 0.5})]
    attributes = storage.get_all_trials(storage.get_study_id_from_name("study/search"))[1].user_attrs
    assert (attributes["ended"], attributes["cause"], attributes["origin"]) == ("failed", "worker killed", "baseline")
    study = optuna.load_study(study_name="study/search", storage=storage)
    assert (study.best_value, study.metric_names) == (0.5, ["validation error %"])


def test_attributes_are_numbers_and_words(ledger: Ledger, place: StudyLocation) -> None:
    storage = shown(place)
    for study in storage.get_all_studies():
        for one in (study, *storage.get_all_trials(study._study_id)):
            assert all(isinstance(value, int | float | str) for value in one.user_attrs.values())
    assert storage.get_study_user_attrs(storage.get_study_id_from_name("study/search"))["engine"] == "optuna:random"


CHANGES = [
    (name, inspect.signature(getattr(BaseStorage, name)))
    for name in sorted(BaseStorage.__abstractmethods__)
    if name.startswith(("create", "delete", "set"))
]


@pytest.mark.parametrize(("name", "signature"), CHANGES, ids=[name for name, _ in CHANGES])
def test_every_change_is_refused(ledger: Ledger, place: StudyLocation, name: str, signature: inspect.Signature) -> None:
    storage = shown(place)
    before = trials(storage)
    needed = [one for one in list(signature.parameters.values())[1:] if one.default is one.empty]
    with pytest.raises(ReadOnlyError):
        getattr(storage, name)(*(0 for _ in needed))
    assert trials(storage) == before


def test_many_threads_read_while_one_writes(ledger: Ledger, place: StudyLocation) -> None:
    storage, faults, done = shown(place), list[Exception](), threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                trials(storage)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                faults.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    ledger.finish(trial(1), complete(1.0))
    for number in range(2, 12):
        ledger.begin(trial(number))
        ledger.finish(trial(number), complete(float(number)))
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(trials(storage)) == 12


@pytest.fixture
def journal(tmp_path: Path) -> tuple[StudyLocation, Path]:
    """A study with two trials, and its journal."""
    place = StudyLocation(studies_dir=tmp_path)
    with open_ledger(place, header()) as ledger:
        for number in range(2):
            ledger.begin(trial(number))
            ledger.finish(trial(number), complete())
    return place, place.journal("study")


def test_an_incomplete_last_line_is_read_once_complete(journal: tuple[StudyLocation, Path]) -> None:
    place, path = journal
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    storage = shown(place)
    assert [state for _, state, _ in trials(storage)] == [TrialState.COMPLETE, TrialState.RUNNING]
    path.write_bytes(whole)
    assert [state for _, state, _ in trials(storage)] == [TrialState.COMPLETE, TrialState.COMPLETE]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("garbage", [b"junk\n", b'{"op_code": 99, "worker_id": "x"}\n', bytes(64)])
def test_a_damaged_end_is_skipped_and_reported(journal: tuple[StudyLocation, Path], garbage: bytes) -> None:
    place, path = journal
    path.write_bytes(path.read_bytes() + garbage)
    storage, note = open_storage(place, "study")
    assert "damaged from line" in note
    assert len(trials(storage)) == 2
    assert len(trials(storage)) == 2


def test_later_garbage_is_not_shown(journal: tuple[StudyLocation, Path]) -> None:
    place, path = journal
    storage, sound = shown(place), path.read_bytes()
    path.write_bytes(sound + b"junk\n")
    assert len(trials(storage)) == 2
    path.write_bytes(sound)
    with open_ledger(place, header()) as ledger:
        ledger.begin(trial(2))
        ledger.finish(trial(2), complete())
    assert len(trials(storage)) == 3


def test_a_journal_damaged_in_the_middle_and_an_unknown_study_are_refused(journal: tuple[StudyLocation, Path]) -> None:
    place, path = journal
    with pytest.raises(UserError, match="Unknown study"):
        open_storage(place, "nothing")
    path.write_bytes(b"junk\n" + path.read_bytes())
    with pytest.raises(FatalError, match="damaged in the middle"):
        open_storage(place, "study")
