"""Fixtures of the tests of the trainer: a task on a small piece of MNIST, its trainer, and one outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Outcome, State
from tests.training.small_trials import RICH, trial


@pytest.fixture(scope="module")
def task(small_mnist: Path, cache_dir: Path, one_thread: None) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=3)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


@pytest.fixture(scope="module")
def trainer(task: Task) -> Trainer:
    return Trainer(task, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def straight(trainer: Trainer) -> Outcome:
    """The outcome of the rich configuration without a stop."""
    outcome = trainer.run(trial(RICH))
    assert outcome.state is State.COMPLETE, outcome.traceback
    return outcome
