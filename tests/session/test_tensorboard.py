"""TensorBoard logs, read back from the files: every epoch once, each trial's configuration and outcome."""

from __future__ import annotations

import dataclasses
import signal
import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from makers import complete, header, trial
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from search.errors import UserError
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.session.plan import make_plan
from search.session.settings import Settings
from search.session.tensorboard import FINAL_METRIC, FINAL_SHORT_METRIC, TensorBoardCallback
from search.trial import Cause, EpochReport, Outcome, Phase, State

SUCCESS, FAILURE = 1, 2
"""TensorBoard's numbers for how a session ended."""


def events(folder: Path) -> list[Event]:
    """Every event of a run; each record has its length, a checksum, the event and a checksum (TFRecord)."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            found.append(Event.FromString(content[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, round(value.simple_value, 4)))
    return found


def sessions(folder: Path) -> tuple[dict[str, Any], list[int]]:
    """The configuration of a run in HParams, and its status."""
    values: dict[str, Any] = {}
    ends: list[int] = []
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                for name, one in data.session_start_info.hparams.items():
                    assert name not in values, "a session starts once"
                    values[name] = getattr(one, one.WhichOneof("kind"))
                ends += [data.session_end_info.status] if data.HasField("session_end_info") else []
    return values, ends


def report(epoch: int, error: float | None = 2.0, **changes: Any) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        training_loss=1.0 / epoch,
        metrics={"loss": 0.5} if error is None else {"loss": 0.5, "error_percent": error},
        seconds=1.0,
        **changes,
    )


def ran(logs: TensorBoardCallback, ledger: Ledger, number: int, outcome: Outcome, **changes: Any) -> None:
    """Runs a trial as the loop does: the ledger first, then the callback."""
    one = trial(number, **changes)
    ledger.begin(one)
    logs.on_trial_start(one)
    for known in outcome.history:
        ledger.report(one, known)
        logs.on_epoch_end(one, known)
    ledger.finish(one, outcome)
    logs.on_trial_end(one, outcome)


def opened(tmp_path: Path, ledger: Ledger) -> TensorBoardCallback:
    logs = TensorBoardCallback(tmp_path / "logs")
    logs.on_session_start(SimpleNamespace(), ledger.read(), SimpleNamespace())  # neither plan nor budget is looked at
    return logs


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with open_ledger(StudyLocation(studies_dir=tmp_path / "studies"), header()) as ledger:
        yield ledger


def test_curves_and_the_final_error(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    ran(logs, ledger, 0, complete(1.5, epochs=3))
    logs.close()
    folder = tmp_path / "logs" / "study" / "trial-0000"
    assert scalars(folder) == {
        "training/loss": [(1, 0.1), (2, 0.1), (3, 0.1)],
        "validation/loss": [(1, 0.1), (2, 0.1), (3, 0.1)],
        "validation/error_percent": [(1, 3.5), (2, 2.5), (3, 1.5)],
        FINAL_METRIC: [(3, 1.5)],
    }
    values, ends = sessions(folder)
    assert values == {"width": 16.0, "optimizer": "adam", "learning_rate": 0.001, "origin": "baseline"}
    assert ends == [SUCCESS]


def test_a_short_trial_has_no_error_among_those_of_full_trials(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    ended = dataclasses.replace(complete(1.5, epochs=2), state=State.SCREENED)
    ran(logs, ledger, 0, ended, epochs=2, is_short=True)
    logs.close()
    folder = tmp_path / "logs" / "study" / "trial-0000"
    written = scalars(folder)
    assert FINAL_METRIC not in written
    assert written[FINAL_SHORT_METRIC] == [(2, 1.5)]
    assert "short" in sessions(folder)[0]["origin"]


def test_epochs_are_visible_while_a_trial_runs(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    logs.on_epoch_end(trial(0), report(1))
    logs.on_epoch_end(trial(1), report(1))
    logs.on_epoch_end(trial(0), report(2, error=None))
    assert scalars(tmp_path / "logs" / "study" / "trial-0000") == {
        "training/loss": [(1, 1.0), (2, 0.5)],
        "validation/loss": [(1, 0.5), (2, 0.5)],
        "validation/error_percent": [(1, 2.0)],
    }
    logs.close()


def test_a_failed_trial_has_no_final_error(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    ran(logs, ledger, 0, Outcome(state=State.FAILED, cause=Cause.NOT_FINITE))
    folder = tmp_path / "logs" / "study" / "trial-0000"
    assert scalars(folder) == {}
    assert sessions(folder)[1] == [FAILURE]


def test_runs_on_the_test_images_are_not_written(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    verified = trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
    logs.on_epoch_end(verified, report(1))
    logs.on_trial_end(verified, complete())
    assert not (tmp_path / "logs").exists()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_resumed_session_writes_nothing_twice(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    ran(logs, ledger, 0, complete(1.5))
    logs.close()
    before = content(tmp_path / "logs")
    logs = opened(tmp_path, ledger)
    ran(logs, ledger, 1, complete(1.0))
    logs.close()
    after = content(tmp_path / "logs")
    assert {name: after[name] for name in before} == before
    assert {Path(name).parts[1] for name in after} == {"trial-0000", "trial-0001"}


def test_recorded_trials_are_written_with_their_times(tmp_path: Path, ledger: Ledger) -> None:
    for number in range(2):
        ledger.begin(trial(number))
        ledger.finish(trial(number), complete(1.0 + number))
    opened(tmp_path, ledger).close()
    folder = tmp_path / "logs" / "study" / "trial-0001"
    assert scalars(folder)["validation/error_percent"] == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]
    times = sorted({event.wall_time for event in events(folder) if event.step})
    assert [round(late - early, 2) for early, late in pairwise(times)] == [1.0, 1.0, 1.0]


def test_an_incomplete_log_of_a_killed_session_is_rewritten(tmp_path: Path, ledger: Ledger) -> None:
    logs = opened(tmp_path, ledger)
    ledger.begin(trial(0))
    for known in (report(1), report(2)):
        ledger.report(trial(0), known)
        logs.on_epoch_end(trial(0), known)
    logs.close()
    lost = dataclasses.replace(complete(epochs=3), state=State.INTERRUPTED, cause=Cause.COORDINATOR_DIED)
    ledger.finish(trial(0), lost)
    opened(tmp_path, ledger).close()
    folder = tmp_path / "logs" / "study" / "trial-0000"
    assert [step for step, _ in scalars(folder)["training/loss"]] == [1, 2, 3]
    assert sessions(folder)[1] == [FAILURE]


@pytest.mark.parametrize(("option", "module"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_missing_extra_is_named(option: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python marks a module that cannot be had
    with pytest.raises(UserError, match=f"--{option}") as refusal:
        make_plan(Settings(**{option: str(tmp_path / "logs")}))
    assert f"pip install '.[{option}]'" in refusal.value.hint


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_run(tmp_path: Path, small_mnist: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--tensorboard"):
        make_plan(Settings(dataset=str(small_mnist), tensorboard=str(tmp_path / "file" / "logs")))


@pytest.mark.slow
def test_a_real_search_that_was_killed_and_resumed(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    words = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--study", "s", "--seed", "0")
    small = ("--fix", "filters_1=8", "--fix", "dense_1=32", "--epochs", "3", "--threads", "1", "--workers", "1")
    command = [sys.executable, "-m", "search", "run", *words, *small, "--trials", "3", "--finalists", "0", "--quiet"]
    command += ["--tensorboard", str(tmp_path / "logs")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as first:
        while first.poll() is None and not list(tmp_path.glob("logs/s/trial-0001/events*")):
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=400)
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), "s")
    assert any(known.outcome.cause is Cause.COORDINATOR_DIED for known in record.trials)
    for known in record.trials_in_phase(Phase.SEARCH):
        folder = tmp_path / "logs" / "s" / f"trial-{known.trial.number:04d}"
        written = scalars(folder)
        expected = [one.epoch for one in known.outcome.history]
        assert [step for step, _ in written.get("training/loss", [])] == expected
        metric = FINAL_SHORT_METRIC if known.trial.is_short else FINAL_METRIC
        assert len(written.get(metric, [])) == (known.outcome.error_percent is not None)
        values, ends = sessions(folder)
        assert set(values) == {*known.trial.config, "origin"}
        assert len(ends) == 1
