"""Fast layers and Keras's own: what is recorded, and that a trial with Keras's own repeats plain Keras to the bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.records.arithmetic import Layers
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Config, Phase, State, Trial
from spaces import registry

pytestmark = pytest.mark.usefixtures("one_thread")
CNN = registry.load("cnn")


@pytest.fixture(scope="module")
def task(small_mnist: Path, cache_dir: Path, one_thread: None) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=3)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


def trained(task: Task, layers: Layers, config: Config = CNN.baseline) -> tuple[Trainer, Any]:
    trainer = Trainer(dataclasses.replace(task, runtime=dataclasses.replace(task.runtime, layers=layers)))
    return trainer, trainer.run(Trial(number=0, config=config, seed=3, epochs=3))


def test_the_baseline_with_keras_own_layers_is_plain_keras_to_the_bit(task: Task) -> None:
    import keras

    trainer, outcome = trained(task, Layers.KERAS)
    (images,) = trainer._phase_images(Phase.SEARCH)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, CNN.build(keras.layers.Rescaling(1 / 255)(inputs), CNN.baseline, 10))
    model.compile(optimizer="adam", loss="categorical_crossentropy", jit_compile=False)
    labels = keras.utils.to_categorical(images.training_labels, 10)
    losses = []
    for epoch in range(3):
        order = np.random.default_rng((3, epoch)).permutation(len(labels))
        history = model.fit(images.training_images[order], labels[order], batch_size=200, shuffle=False, verbose=0)
        losses.append(history.history["loss"][0])
    predicted = model.predict(images.evaluation_images, verbose=0).argmax(axis=1)
    assert [report.training_loss for report in outcome.history] == losses
    assert outcome.error_percent == 100 * np.mean(predicted != images.evaluation_labels)
    assert outcome.environment["layers"] == "keras"


def test_fast_layers_learn_as_well_and_are_recorded(task: Task) -> None:
    outcomes = {layers: trained(task, layers)[1] for layers in Layers}
    assert [outcome.state for outcome in outcomes.values()] == [State.COMPLETE] * 3
    assert [outcome.environment["layers"] for outcome in outcomes.values()] == ["compiled", "fast", "keras"]
    fast, own = outcomes[Layers.FAST], outcomes[Layers.KERAS]
    assert fast.history != own.history, "dropout draws other numbers"
    assert fast.history[-1].training_loss == pytest.approx(own.history[-1].training_loss, rel=0.2)


def test_a_compiled_gelu_rounds_otherwise(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.training.tensorflow_cpu import layers

    monkeypatch.setattr(layers, "MIN_COMPILED_VALUES", 0)
    config = {**CNN.baseline, "activation": "gelu"}
    losses = {each: [report.loss for report in trained(task, each, config)[1].history] for each in Layers}
    assert losses[Layers.COMPILED] != losses[Layers.FAST]
    assert losses[Layers.COMPILED] == pytest.approx(losses[Layers.FAST], rel=0.02)
