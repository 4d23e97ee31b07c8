"""A study as one file: it comes back as it was, without what is private; whatever else a file holds is refused."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from makers import ADDED_KEYS, TINY, as_study_1, complete, header, trial

from search.errors import UserError
from search.records import study_json
from search.records.record import StudyRecord, TrialRecord
from search.records.redact import redacted
from search.trial import Cause, EpochReport, Outcome, Phase, State
from tests.leaderboard import records

NOT_A_NUMBER = EpochReport(
    epoch=1, training_loss=math.nan, metrics={"loss": math.inf, "error_percent": 90.0}, seconds=1.0
)
WHOLE = StudyRecord(
    header=header(command="python -m search run --space /home/me/tiny.py"),
    trials=(
        TrialRecord(trial=trial(0), outcome=complete(), started="2026-01-01T00:00:00+00:00"),
        TrialRecord(
            trial=trial(1, parent=0, rungs=(1, 2), target_epoch=2, engine_metadata={"bracket": 1}), outcome=None
        ),
        TrialRecord(
            trial=trial(2), outcome=Outcome(state=State.FAILED, cause=Cause.NOT_FINITE, history=(NOT_A_NUMBER,))
        ),
        TrialRecord(trial=trial(3), outcome=None, reports=(EpochReport(epoch=1, training_loss=0.5),)),
        TrialRecord(
            trial=trial(4, epochs=1, is_short=True),
            outcome=dataclasses.replace(
                complete(epochs=1), state=State.SCREENED, metrics={"calibrated_loss": 0.2, "error_percent": 4.0}
            ),
        ),
        TrialRecord(
            trial=trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=1),
            outcome=dataclasses.replace(complete(), scored_images=300, misclassified=(3, 7), predicted_classes=(1, 2)),
        ),
    ),
    ensembles=tuple(
        dataclasses.replace(ensemble, balanced_error_percent=2.5)
        for ensemble in records.joined("mean", wrong=(3, 9), members=(0,))
    ),
    spent_seconds=12.5,
    exhausted_seconds=10.0,
    test_groups=(0, 1, 1),
    test_labels=(1, 0, 1),
)
REPORTS = Path(__file__).parents[2] / "reports"
LATE_HEADER_KEYS = ("max_parameters",)
DOCUMENT = json.loads(gzip.decompress(study_json.dumps(WHOLE)))


@pytest.mark.parametrize(
    "study", [WHOLE, records.tpe(), records.other(), records.reproduction()], ids=lambda one: one.header.name
)
def test_a_study_comes_back_as_it_may_be_shown(study: StudyRecord) -> None:
    back = study_json.loads(study_json.dumps(study), "here")
    assert repr(back) == repr(redacted(study))  # a loss that is not a number does not equal itself
    assert study_json.dumps(back) == study_json.dumps(study)


@pytest.mark.parametrize("file", sorted(REPORTS.rglob(study_json.FILE_NAME)), ids=lambda file: file.parent.name)
def test_a_published_study_is_read_and_gives_the_same_json(file: Path) -> None:
    published = json.loads(gzip.decompress(file.read_bytes()))
    written = json.loads(gzip.decompress(study_json.dumps(study_json.loads(file.read_bytes(), str(file)))))
    if published["schema"] == "study/1":
        written = as_study_1(written)
    else:  # a file may be older than a key of the header that has its default here
        published = {"test_labels": [], **published}
        published["header"] = {**{name: ADDED_KEYS[name] for name in LATE_HEADER_KEYS}, **published["header"]}
    assert written == published


def test_losses_that_are_no_numbers_are_valid_json_and_come_back() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(gzip.decompress(study_json.dumps(WHOLE)), parse_constant=refuse)
    (report,) = study_json.loads(study_json.dumps(WHOLE), "here").trials[2].outcome.history
    assert math.isnan(report.training_loss)
    assert report.loss == math.inf


def test_the_json_alone_is_read_too() -> None:
    assert study_json.loads(json.dumps(DOCUMENT).encode(), "here").header.space == TINY


def refused(content: bytes) -> UserError:
    with pytest.raises(UserError) as refusal:
        study_json.loads(content, "board/study.json.gz")
    assert "board/study.json.gz" in refusal.value.message
    assert refusal.value.hint
    return refusal.value


def test_a_newer_schema_is_refused_with_the_remedy() -> None:
    error = refused(json.dumps({**DOCUMENT, "schema": "study/3"}).encode())
    assert "newer version" in error.message
    assert "Update" in error.hint


@pytest.mark.parametrize("schema", ["leaderboard/5", None, "study", "study/x", 7])
def test_another_document_is_refused(schema: Any) -> None:
    assert "no study's file" in refused(json.dumps({**DOCUMENT, "schema": schema}).encode()).message


@settings(max_examples=60)
@given(st.integers(0, len(study_json.dumps(WHOLE)) - 1), st.integers(1, 255))
def test_a_file_with_one_byte_changed_is_refused_or_read_as_it_was(at: int, change: int) -> None:
    content = bytearray(study_json.dumps(WHOLE))
    content[at] ^= change
    try:
        study = study_json.loads(bytes(content), "here")
    except UserError:
        return
    assert repr(study) == repr(redacted(WHOLE))  # gzip's header holds bytes that mean nothing


@settings(max_examples=30)
@given(st.integers(0, len(study_json.dumps(WHOLE)) - 1))
def test_a_file_cut_short_is_refused(length: int) -> None:
    refused(study_json.dumps(WHOLE)[:length])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


ODD = (None, "text", "\ud800", -1, 1.5, 1e308, 10**400, math.nan, True, [], {}, [None], {"a": None}, "drop")
PLACES = [place for place in places(DOCUMENT) if place]


@settings(max_examples=100)
@given(st.sampled_from(PLACES), st.sampled_from(ODD))
@example(("trials", 0, "outcome", "error_percent"), "text")
@example(("trials", 0, "outcome", "history", 0, "seconds"), [])
@example(("trials", 0, "trial", "phase"), "nothing")
@example(("header", "name"), None)
@example(("header", "space", "parameters"), {})
@example(("trials", 0, "trial", "config", "width"), "\ud800")
@example(("trials", 0, "trial", "seed"), 10**400)
@example(("trials", 6, "trial", "notes", "weights"), None)
def test_a_document_with_one_value_changed_is_refused_or_gives_a_board(place: tuple[Any, ...], value: Any) -> None:
    from search.leaderboard.compute import compute
    from search.leaderboard.files import FORMATS

    document = json.loads(json.dumps(DOCUMENT))
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    if value == "drop":
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    try:
        study = study_json.loads(json.dumps(document).encode(), "here")
    except UserError:
        return
    for form in FORMATS.values():
        assert form(compute([study])).encode()
