"""Trials that were paused or interrupted go on bit for bit, or begin again where their state is lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from search.protocol import Split
from search.training import predictions
from search.training.epochs import Hooks
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Cause, EpochReport, Outcome, State, TrialFiles
from spaces import registry
from tests.training.small_trials import RICH, numbers, trial

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_interrupted_trial_resumes_bit_for_bit(trainer: Trainer, straight: Outcome, tmp_path: Path) -> None:
    paused_after = 2  # the parts of a trial begin after the first epoch
    path = tmp_path / "state.npz"
    done: list[EpochReport] = []
    hooks = Hooks(report=done.append, should_stop=lambda: Cause.CANCELLED if len(done) == paused_after else None)
    paused = trainer.run(trial(RICH), hooks, TrialFiles(checkpoint=str(path)))
    assert paused.state is not State.FAILED, paused.traceback
    assert (paused.state, paused.cause, len(paused.history)) == (State.INTERRUPTED, Cause.CANCELLED, paused_after)
    resumed = trainer.run(trial(RICH), files=TrialFiles(resume_from=str(path)))
    assert resumed.state is State.COMPLETE, resumed.traceback
    assert numbers(resumed) == numbers(straight)


def test_the_networks_of_folds_are_those_of_single_trainings_also_when_resumed(task: Task, tmp_path: Path) -> None:
    """The last of six blocks validates what the last sixth does, so its network and that of one split are equal."""

    config = {**registry.load("mlp").baseline, "width_1": 64, "batch_norm": True, "dropout": 0.3, "schedule": "cosine"}

    def folded(folds: int) -> Trainer:
        protocol = dataclasses.replace(task.protocol, split=Split.BLOCK, folds=folds)
        return Trainer(dataclasses.replace(task, protocol=protocol, space_source="mlp"), checkpoint_seconds=0.0)

    path, done = tmp_path / "state.npz", list[EpochReport]()
    files = {folds: TrialFiles(predictions=str(tmp_path / f"{folds}.npz")) for folds in (1, 6)}
    single = folded(1).run(trial(config, epochs=2), files=files[1])
    hooks = Hooks(report=done.append, should_stop=lambda: Cause.CANCELLED if done else None)
    stopped = folded(6).run(trial(config, epochs=2), hooks, TrialFiles(checkpoint=str(path)))
    assert (stopped.cause, stopped.epochs_trained) == (Cause.CANCELLED, 1), stopped.traceback
    outcome = folded(6).run(trial(config, epochs=2), files=dataclasses.replace(files[6], resume_from=str(path)))
    assert (outcome.state, outcome.epochs_trained, outcome.scored_images) == (State.COMPLETE, 1, 1200)
    assert single.scored_images == 200
    whole, last = (predictions.load(Path(files[folds].predictions)) for folds in (6, 1))
    assert np.array_equal(whole.probabilities[1000:], last.probabilities)
    error_percent = 100.0 * np.mean(whole.probabilities.argmax(axis=1) != whole.labels)
    assert outcome.error_percent == pytest.approx(error_percent, abs=0.5)  # saved in half precision, with ties


def test_a_resumed_trial_reports_its_whole_history_and_cost(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    first = trainer.run(trial(epochs=3, target_epoch=2), files=TrialFiles(checkpoint=str(path)))
    path = tmp_path / "state-2.npz"
    reports: list[EpochReport] = []
    resumed = trainer.run(trial(epochs=3), Hooks(report=reports.append), TrialFiles(resume_from=str(path)))
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[:2] == [dataclasses.replace(report, restored=True) for report in first.history]
    assert not reports[2].restored
    assert resumed.epochs_trained == 1
    assert resumed.seconds["fit"] > first.seconds["fit"]


def test_a_trial_in_parts_equals_the_whole_bit_for_bit(trainer: Trainer, straight: Outcome, tmp_path: Path) -> None:
    """As Hyperband trains it: each part a trial of its own, the schedule and the clean epochs those of the whole."""
    path = str(tmp_path / "state.npz")
    first = trainer.run(trial(RICH, target_epoch=1), files=TrialFiles(checkpoint=path))
    assert (first.state, first.epochs_trained) == (State.PAUSED, 1)
    one, two = (str(tmp_path / f"state-{epoch}.npz") for epoch in (1, 2))
    second = trainer.run(
        trial(RICH, number=5, target_epoch=2, parent=0), files=TrialFiles(checkpoint=path, resume_from=one)
    )
    assert (second.state, second.epochs_trained) == (State.PAUSED, 1)
    last = trainer.run(trial(RICH, number=9, parent=5), files=TrialFiles(checkpoint=path, resume_from=two))
    assert (last.state, last.epochs_trained) == (State.COMPLETE, 1)
    assert numbers(last) == numbers(straight)
    assert numbers(second) == numbers(straight)[:2]


def test_a_pause_is_always_saved(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    Trainer(task, checkpoint_seconds=1000.0).run(trial(target_epoch=1), files=TrialFiles(checkpoint=str(path)))
    assert {one.name for one in tmp_path.iterdir()} == {"state-1.npz"}


def test_a_trial_saves_its_state_at_each_rung_and_another_resumes_from_it(trainer: Trainer, tmp_path: Path) -> None:
    whole = trainer.run(trial(RICH, rungs=(1, 2)), files=TrialFiles(checkpoint=str(tmp_path / "state.npz")))
    assert {one.name for one in tmp_path.iterdir()} >= {"state-1.npz", "state-2.npz"}
    later = trainer.run(trial(RICH, number=5, parent=0), files=TrialFiles(resume_from=str(tmp_path / "state-2.npz")))
    assert (later.state, later.epochs_trained) == (State.COMPLETE, 1)
    assert numbers(later) == numbers(whole)


def test_a_trial_whose_state_cannot_be_saved_completes_with_a_message(trainer: Trainer) -> None:
    outcome = trainer.run(trial(epochs=2, rungs=(1,)), files=TrialFiles(checkpoint="/dev/full/state.npz"))
    assert outcome.state is State.COMPLETE, outcome.traceback
    assert "checkpoint cannot be written" in outcome.message


@pytest.mark.parametrize("damage", ["garbage", "missing", "of another configuration", "history"])
def test_with_an_unusable_checkpoint_a_trial_starts_over(trainer: Trainer, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.npz"
    if damage == "garbage":
        path.write_bytes(b"not a checkpoint")
    elif damage == "of another configuration":
        trainer.run(trial(RICH, target_epoch=1), files=TrialFiles(checkpoint=str(path)))
        (tmp_path / "state-1.npz").rename(path)
    elif damage == "history":
        trainer.run(trial(epochs=2, target_epoch=1), files=TrialFiles(checkpoint=str(path)))
        with np.load(tmp_path / "state-1.npz") as saved:
            np.savez(path, **{**saved, "reached": '{"history": [{"epoch": 1}], "seconds": {}}'})
    assert numbers(trainer.run(trial(epochs=1), files=TrialFiles(resume_from=str(path)))) == numbers(
        trainer.run(trial(epochs=1))
    )
