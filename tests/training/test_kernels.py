"""TensorFlow's kernels: chosen before the import, recorded as TensorFlow reports them, and deterministic each."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.records.arithmetic import Kernels
from search.training.runtime import ONEDNN_SWITCH, ONEDNN_VARIABLE, Device, Runtime, has_both_kernels
from search.training.task import Task
from search.trial import Outcome, State, Trial
from spaces import registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_both_kernels(), reason="TensorFlow has one kind of kernels here"),
]
CODE = """
import os, pickle, sys
task, trial = pickle.loads(bytes.fromhex(sys.argv[1]))
os.environ.update(task.runtime.environment_variables())
from search.training.runtime import import_keras
import_keras()
from search.training.trainer import Trainer
import json
print(json.dumps(Trainer(task).run(trial).to_json()))
"""


def train(data: Path, cache_dir: Path, kernels: Kernels | None, variables: Mapping[str, str]) -> Outcome:
    """Trains an epoch of a small convolutional network in a process of its own."""
    dataset = prepare(str(data), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=1)
    runtime = Runtime(device=Device.CPU, kernels=kernels)
    task = Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=runtime)
    config = {**registry.load("cnn").baseline, "filters_1": 8, "dense_1": 32}
    trial = Trial(number=0, config=config, seed=3, epochs=1)
    command = [sys.executable, "-c", CODE, pickle.dumps((task, trial)).hex()]
    env = {name: value for name, value in os.environ.items() if name != ONEDNN_VARIABLE} | dict(variables)
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    outcome = Outcome.from_json(json.loads(done.stdout.splitlines()[-1]))
    assert outcome.state is State.COMPLETE, outcome.traceback
    return outcome


def numbers(outcome: Outcome) -> list[tuple[float | None, ...]]:
    """The numbers that must agree bit for bit."""
    return [(report.training_loss, report.loss, report.error_percent) for report in outcome.history]


def test_equal_kernels_give_equal_bits_in_another_process_and_others_do_not(small_mnist: Path, cache_dir: Path) -> None:
    chosen = {kernels: train(small_mnist, cache_dir, kernels, {}) for kernels in Kernels}
    for kernels, outcome in chosen.items():
        assert outcome.environment["kernels"] == kernels.value
        by_variable = train(small_mnist, cache_dir, None, {ONEDNN_VARIABLE: ONEDNN_SWITCH[kernels]})
        assert by_variable.environment["kernels"] == kernels.value, "as TensorFlow reports them"
        assert numbers(by_variable) == numbers(outcome)
    assert numbers(chosen[Kernels.ONEDNN]) != numbers(chosen[Kernels.EIGEN])


def test_kernels_that_tensorflow_does_not_use_are_refused(small_mnist: Path, cache_dir: Path) -> None:
    code = (
        "from search.records.arithmetic import Kernels; from search.training.backends import configure_backend;"
        "from search.training.runtime import Device, Runtime;"
        "configure_backend(Runtime(device=Device.CPU, kernels=Kernels.ONEDNN))"
    )
    env = {**os.environ, ONEDNN_VARIABLE: "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode != 0
    assert "Expected: onednn. Received: eigen." in done.stderr
