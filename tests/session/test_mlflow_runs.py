"""MLflow runs, read back from a store of files: each trial once, below the run of its study."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from makers import complete, header, trial

from search.errors import UserError
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation
from search.session.mlflow_runs import EXPERIMENT, MlflowCallback
from search.trial import Cause, EpochReport, Outcome, Phase, State

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows a store of files, which is made in no time, and tries a server once."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(StudyLocation(studies_dir=tmp_path / "studies"), header()) as ledger:
        yield ledger


def opened(folder: Path, ledger: Ledger, messages: list[str]) -> MlflowCallback:
    logs = MlflowCallback((folder / "runs").as_uri(), messages.append)
    logs.on_session_start(SimpleNamespace(), ledger.read(), SimpleNamespace())  # neither plan nor budget is looked at
    return logs


def runs(folder: Path) -> dict[str, Any]:
    """The runs of all trials by name, and that of the study as "study"."""
    client = mlflow.MlflowClient(tracking_uri=(folder / "runs").as_uri())
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert len(found) == len({run.info.run_name for run in found})
    return {run.info.run_name: run for run in found}


def curve(folder: Path, run: Any, metric: str) -> list[tuple[int, float]]:
    client = mlflow.MlflowClient(tracking_uri=(folder / "runs").as_uri())
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, metric)]


def test_trials_and_test_runs_are_nested_runs_with_their_own_metrics(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger, [])
    verified = trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=1, seed=9)
    logs.on_trial_end(trial(0), complete(1.5, epochs=3))
    logs.on_trial_end(verified, complete(1.25, epochs=1))
    logs.close()
    found = runs(tmp_path)
    assert set(found) == {"study", "trial 0", "trial 0, test run 2"}
    study, searched, tested = found["study"], found["trial 0"], found["trial 0, test run 2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in (searched, tested)} == {study.info.run_id}
    assert study.data.params["sampler"] == "random"
    assert searched.data.params == {"width": "16", "optimizer": "adam", "learning_rate": "0.001"}
    assert curve(tmp_path, searched, "validation_error_percent") == [(1, 3.5), (2, 2.5), (3, 1.5)]
    assert not any(name.startswith("test") for name in searched.data.metrics)
    assert tested.data.metrics["test_error_percent"] == 1.25
    assert not any(name.startswith("validation") for name in tested.data.metrics)
    assert searched.data.tags.items() >= {"origin": "baseline", "state": "complete", "phase": "search"}.items()
    assert tested.data.tags.items() >= {"phase": "verification", "seed": "9", "trial": "0"}.items()
    assert {run.info.status for run in found.values()} == {"FINISHED"}


def test_a_later_session_writes_what_is_missing_once(tmp_path: Path, ledger: Ledger) -> None:
    def end(number: int, outcome: Outcome) -> None:
        ledger.begin(trial(number))
        ledger.finish(trial(number), outcome)

    history = (EpochReport(epoch=1, training_loss=float("nan"), metrics={"loss": 2.0}, seconds=1.0),)
    end(0, complete(1.5))
    end(1, Outcome(state=State.FAILED, cause=Cause.NOT_FINITE, history=history))
    end(2, Outcome(state=State.INTERRUPTED, cause=Cause.CANCELLED))
    opened(tmp_path, ledger, []).close()
    first = runs(tmp_path)
    assert (first["trial 1"].info.status, first["trial 1"].data.metrics) == ("FAILED", {"validation_loss": 2.0})
    logs = opened(tmp_path, ledger, [])
    logs.on_trial_end(trial(2), complete(1.0))
    logs.close()
    second = runs(tmp_path)
    assert {name: run.info.run_id for name, run in second.items() if name != "trial 2"} == {
        name: run.info.run_id for name, run in first.items() if name != "trial 2"
    }
    assert second["trial 2"].data.tags["state"] == "complete"


def test_a_store_that_is_lost_ends_the_log_and_not_the_search(tmp_path: Path, ledger: Ledger) -> None:
    messages: list[str] = []
    logs = opened(tmp_path, ledger, messages)
    shutil.rmtree(tmp_path / "runs")
    for number in range(2):
        logs.on_trial_end(trial(number), complete())
    logs.close()
    assert len(messages) == 1
    assert messages[0].startswith("MLflow")


def test_a_server_that_does_not_answer_is_refused(ledger: Ledger) -> None:
    logs = MlflowCallback("http://user:secret@127.0.0.1:9", print)
    with pytest.raises(UserError, match="--mlflow") as refusal:
        logs.on_session_start(SimpleNamespace(), ledger.read(), SimpleNamespace())
    assert "secret" not in str(refusal.value)
