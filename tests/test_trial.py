"""The JSON of trials, reports and outcomes: its keys are those of version 0.1.0."""

from __future__ import annotations

import json

from makers import complete, trial

from search.trial import EpochReport, Outcome, State, Trial


def test_each_metric_is_a_key_of_its_own() -> None:
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"loss": 0.1, "error_percent": 4.0}, seconds=2.0)
    expected = {"epoch": 1, "training_loss": 0.5, "loss": 0.1, "error_percent": 4.0, "seconds": 2.0, "restored": False}
    assert report.to_json() == expected
    assert EpochReport.from_json(expected) == report


def test_metrics_that_were_not_measured_are_null() -> None:
    report, failed = EpochReport(epoch=1, training_loss=0.5), Outcome(state=State.FAILED)
    assert (report.to_json()["loss"], report.to_json()["error_percent"]) == (None, None)
    assert failed.to_json()["error_percent"] is None
    assert EpochReport.from_json(report.to_json()) == report
    assert Outcome.from_json(failed.to_json()) == failed


def test_a_metric_that_this_version_does_not_name_is_kept() -> None:
    outcome = Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0, "balanced_error_percent": 2.0})
    assert outcome.to_json()["balanced_error_percent"] == 2.0
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_an_outcome_survives_json() -> None:
    outcome = complete()
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_paths_in_ledgers_of_version_0_1_0_are_ignored() -> None:
    paths = {"resume_from": "/x/1.npz", "save_to": "/x/0.npz", "model_to": None, "predictions_to": "/x/p.npz"}
    assert Trial.from_json({**trial(3).to_json(), **paths}) == trial(3)
    assert not trial(3).to_json().keys() & paths.keys()
