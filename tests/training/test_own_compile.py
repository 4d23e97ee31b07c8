"""Models that their builder compiles: trained by their own optimizer and loss, and saved without them."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.training.own_compile import find_compiled
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Phase, State, Trial, TrialFiles

pytestmark = pytest.mark.usefixtures("one_thread")
FILE = """
import keras

def own_loss(labels, probabilities):
    return keras.losses.categorical_crossentropy(labels, probabilities)

def build_model(hp):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    model.compile(getattr(keras.optimizers, hp.Choice("optimizer", ["Adamax"]))(), own_loss)
    return model
"""


def test_optimizer_and_loss_may_be_any_and_are_not_saved(small_mnist: Path, cache_dir: Path, tmp_path: Path) -> None:
    path, model = tmp_path / "mine.py", tmp_path / "model.keras"
    path.write_text(FILE)
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=1)
    task = Task(protocol=protocol, dataset=dataset, space_source=str(path), runtime=Runtime(device=Device.CPU))
    config = {"optimizer": "Adamax", "batch_size": 64}
    trial = Trial(number=0, config=config, seed=3, epochs=1, phase=Phase.VERIFICATION)
    outcome = Trainer(task).run(trial, files=TrialFiles(model=str(model)))
    assert outcome.state is State.COMPLETE, outcome.traceback
    assert find_compiled(keras.models.load_model(model)) is None, "which would need the file's function"
