"""Ledgers of version 0.1.0 are read and continued; each epoch is stored once from then on.

``data/version-0.1.0.*`` were written by that version: a journal with trials of every kind, and ``study.json`` of it.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from makers import as_study_1, complete, trial

from search.records import study_json
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.redact import redacted
from search.records.storage.locations import StudyLocation
from search.records.storage.optuna_codec import LEDGER_SCHEMA
from search.study.peers import interrupt_orphans
from search.trial import Cause

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def place(tmp_path: Path) -> StudyLocation:
    """A studies folder with the old ledger."""
    (tmp_path / "study").mkdir()
    shutil.copy(DATA / "version-0.1.0.journal", tmp_path / "study" / "ledger.journal")
    return StudyLocation(studies_dir=tmp_path)


def test_the_old_ledger_says_what_its_study_file_says(place: StudyLocation) -> None:
    content = (DATA / "version-0.1.0.json").read_bytes()
    record = read_study(place, "study")
    assert as_study_1(json.loads(gzip.decompress(study_json.dumps(record)))) == json.loads(content)
    assert repr(study_json.loads(content, "here")) == repr(redacted(record))  # a loss is NaN


def test_the_old_ledger_is_continued(place: StudyLocation) -> None:
    before = read_study(place, "study")
    with open_ledger(place, before.header) as ledger:
        assert interrupt_orphans(ledger) == 1
        ledger.begin(trial(5, origin="found"))
        ledger.finish(trial(5, origin="found"), complete(0.5))
    after = read_study(place, "study")
    assert repr(after.trials[:4]) == repr(before.trials[:4])
    interrupted, new = after.trials[4:6]
    assert (interrupted.outcome.cause, interrupted.outcome.history) == (
        Cause.COORDINATOR_DIED,
        before.trials[4].reports,
    )
    assert new.outcome == complete(0.5)
    assert f'"schema":{LEDGER_SCHEMA}' in place.journal("study").read_text()  # version 0.1.0 refuses it from now on


def test_each_epoch_is_stored_once(place: StudyLocation) -> None:
    with open_ledger(place, read_study(place, "study").header) as ledger:
        ledger.begin(trial(5))
        for report in complete().history[:2]:
            ledger.report(trial(5), report)
        ledger.finish(trial(5), complete())
    new = place.journal("study").read_text().removeprefix((DATA / "version-0.1.0.journal").read_text())
    assert new.count('"training_loss"') == 4


def test_an_ensemble_whose_recording_was_interrupted_is_left_out(place: StudyLocation) -> None:
    (ensemble,) = read_study(place, "study").ensembles
    assert (ensemble.origin, ensemble.weights, ensemble.misclassified) == ("mean", {0: 0.5, 1: 0.5}, (1, 5))
    path = place.journal("study")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"trial_id":6' not in line))
    before = read_study(place, "study")
    assert before.ensembles == ()
    with open_ledger(place, before.header) as ledger:
        assert len(ledger.orphans()) == 1
        ledger.record_ensemble(ensemble)
    assert len(read_study(place, "study").ensembles) == 1
