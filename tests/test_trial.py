"""The JSON of trials, reports and outcomes, whose keys are those of version 0.1.0 and some more; short trials."""

from __future__ import annotations

import json

from makers import as_study_1, complete, header, trial

from search.records.record import StudyHeader
from search.trial import EpochReport, Outcome, Phase, State, Trial, completed_state


def test_each_metric_is_a_key_of_its_own() -> None:
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"loss": 0.1, "error_percent": 4.0}, seconds=2.0)
    expected = {
        "epoch": 1,
        "training_loss": 0.5,
        "loss": 0.1,
        "calibrated_loss": None,
        "error_percent": 4.0,
        "balanced_error_percent": None,
        "seconds": 2.0,
        "restored": False,
    }
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


def test_a_short_trial_ends_as_screened_and_never_as_complete() -> None:
    short = trial(epochs=1, is_short=True)
    assert completed_state(short) is State.SCREENED
    assert completed_state(trial()) is State.COMPLETE
    assert completed_state(trial(target_epoch=2)) is State.PAUSED


def test_a_test_run_of_a_short_trial_is_complete() -> None:
    run = trial(epochs=1, is_short=True, phase=Phase.VERIFICATION, replicate=0, source_trial=0)
    assert completed_state(run) is State.COMPLETE


def test_a_training_is_known_by_its_configuration_seed_and_epochs() -> None:
    one = trial()
    same = [trial(number=7, seed=0), trial(target_epoch=2), trial(config=dict(reversed(one.config.items())))]
    others = [trial(epochs=1, is_short=True), trial(seed=9), trial(config={**one.config, "width": 20})]
    assert {known.training_key for known in same} == {one.training_key}
    assert len({one.training_key, *(other.training_key for other in others)}) == 4


def test_a_short_trial_survives_json_and_its_proposal_names_its_epochs() -> None:
    short = trial(epochs=1, is_short=True)
    assert Trial.from_json(json.loads(json.dumps(short.to_json()))) == short
    assert short.proposal.short_epochs == 1
    assert trial().proposal.short_epochs is None
    assert short.proposal.key != trial().proposal.key


def test_records_without_the_keys_of_short_trials_are_read() -> None:
    assert Trial.from_json(as_study_1(trial().to_json())) == trial()
    assert Outcome.from_json(as_study_1(complete().to_json())) == complete()
    assert StudyHeader.from_json(as_study_1(header().to_json())) == header()
    assert complete().calibrated_loss is None


def test_a_calibrated_loss_survives_json() -> None:
    history = (EpochReport(epoch=1, training_loss=0.5, metrics={"calibrated_loss": 0.2, "error_percent": 4.0}),)
    outcome = Outcome(state=State.SCREENED, metrics=history[0].metrics, history=history)
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    assert outcome.calibrated_loss == 0.2
