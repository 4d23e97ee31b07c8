"""Training for real, on a small piece of MNIST: the tutorial's numbers, reproducibility, failures."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from search.data.dataset import prepare
from search.training.epochs import Hooks
from search.training.runtime import Precision
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Cause, EpochReport, Outcome, Phase, State, TrialFiles
from tests.training.small_trials import CNN, RICH, numbers, trial

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_outcome_is_complete(trainer: Trainer) -> None:
    reports: list[EpochReport] = []
    outcome = trainer.run(trial(), Hooks(report=reports.append))
    assert outcome.state is State.COMPLETE, outcome.traceback
    assert tuple(reports) == outcome.history
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert outcome.error_percent == reports[-1].error_percent < reports[0].error_percent < 60
    assert outcome.parameter_count == 592_074
    assert all(outcome.seconds[part] > 0 for part in ("build", "fit", "evaluate"))
    assert outcome.peak_memory_mib > 100
    assert outcome.environment["backend"] == "tensorflow"
    assert outcome.environment["threads"] == 1
    assert "keras" in outcome.environment["versions"]


@pytest.mark.parametrize("config", [CNN.baseline, RICH], ids=["baseline", "rich"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(trainer: Trainer, config: dict) -> None:
    first = trainer.run(trial(config, epochs=2))
    assert first.state is State.COMPLETE, first.traceback
    assert numbers(trainer.run(trial(config, epochs=2))) == numbers(first)
    assert numbers(trainer.run(trial(config, epochs=2, seed=0))) != numbers(first)


def test_the_same_seed_gives_the_same_bits_in_another_process(straight: Outcome, task: Task) -> None:
    code = (
        "import os, pickle, sys\n"
        "task, trial = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "os.environ.update(task.runtime.environment_variables())\n"
        "from search.training.runtime import import_keras\n"
        "import_keras()\n"
        "from search.training.trainer import Trainer\n"
        "import json\n"
        "print(json.dumps(Trainer(task).run(trial).to_json()))\n"
    )
    sent = pickle.dumps((task, trial(RICH))).hex()
    command = [sys.executable, "-c", code, sent]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    other = Outcome.from_json(json.loads(printed.splitlines()[-1]))
    assert other.environment["pid"] != straight.environment["pid"]
    assert numbers(other) == numbers(straight)


def test_bfloat16_is_recorded_changes_little_and_resumes_bit_for_bit(
    straight: Outcome, task: Task, tmp_path: Path
) -> None:
    in_bfloat16 = dataclasses.replace(task.runtime, precision=Precision.BFLOAT16)
    coarse = Trainer(dataclasses.replace(task, runtime=in_bfloat16))
    whole = coarse.run(trial(RICH))
    assert whole.state is State.COMPLETE, whole.traceback
    assert (whole.environment["precision"], straight.environment["precision"]) == ("bfloat16", "tf32")
    first = whole.history[0].training_loss
    assert first == pytest.approx(straight.history[0].training_loss, rel=0.02)
    assert first != straight.history[0].training_loss
    coarse.run(trial(RICH, target_epoch=1), files=TrialFiles(checkpoint=str(tmp_path / "state.npz")))
    resumed = coarse.run(trial(RICH), files=TrialFiles(resume_from=str(tmp_path / "state-1.npz")))
    assert resumed.epochs_trained == 2
    assert numbers(resumed) == numbers(whole)


def test_on_a_cpu_tf32_is_float32_to_the_bit(trainer: Trainer, task: Task) -> None:
    in_full = dataclasses.replace(task, runtime=dataclasses.replace(task.runtime, precision=Precision.FLOAT32))
    assert numbers(Trainer(in_full).run(trial(epochs=1))) == numbers(trainer.run(trial(epochs=1)))


LOAD_WITH_KERAS_ALONE = """
import sys, keras, numpy
model, images = keras.saving.load_model(sys.argv[1]), numpy.load(sys.argv[2])
assert "search" not in sys.modules
print(model.predict(images, verbose=0).argmax(axis=1).tolist())
"""


def test_the_saved_model_needs_keras_only(trainer: Trainer, tmp_path: Path) -> None:
    model, pixels = tmp_path / "model.keras", tmp_path / "pixels.npy"
    outcome = trainer.run(trial(RICH, epochs=2, phase=Phase.VERIFICATION), files=TrialFiles(model=str(model)))
    (images,) = trainer._phase_images(Phase.VERIFICATION)
    np.save(pixels, images.evaluation_images)
    command = [sys.executable, "-I", "-c", LOAD_WITH_KERAS_ALONE, str(model), str(pixels)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    wrong = np.flatnonzero(np.array(json.loads(done.stdout.splitlines()[-1])) != images.evaluation_labels)
    assert tuple(wrong) == outcome.misclassified
    assert "augment" not in zipfile.ZipFile(model).read("config.json").decode()


def test_a_task_that_is_not_scored_trains_the_same_without_opening_the_test_images(task: Task) -> None:
    scored = Trainer(task).run(trial(RICH, epochs=2, phase=Phase.VERIFICATION))
    test_files = list(Path(task.dataset.folder).glob("*test*.npy"))
    assert test_files
    moved = [path.rename(path.with_suffix(".hidden")) for path in test_files]
    try:
        outcome = Trainer(dataclasses.replace(task, is_scored=False)).run(
            trial(RICH, epochs=2, phase=Phase.VERIFICATION)
        )
    finally:
        for path in moved:
            path.rename(path.with_suffix(".npy"))
    assert outcome.state is State.COMPLETE
    assert (outcome.error_percent, outcome.scored_images) == (None, None)
    losses = [report.training_loss for report in outcome.history]
    assert losses == [report.training_loss for report in scored.history]


def test_a_diverging_trial_fails_with_its_cause(trainer: Trainer) -> None:
    config = {**CNN.baseline, "optimizer": "sgd", "learning_rate_sgd": 1e30}
    outcome = trainer.run(trial(config))
    assert (outcome.state, outcome.cause) == (State.FAILED, Cause.NOT_FINITE)
    assert outcome.parameter_count == 592_074


def test_a_broken_configuration_fails_with_its_traceback(trainer: Trainer) -> None:
    outcome = trainer.run(trial({**CNN.baseline, "activation": "no such thing"}))
    assert (outcome.state, outcome.cause) == (State.FAILED, Cause.INVALID)
    assert "no such thing" in outcome.message
    assert "Traceback" in outcome.traceback


def test_the_search_never_opens_the_test_images(task: Task) -> None:
    folder = Path(task.dataset.folder)
    hidden = list(folder.glob("*test*.npy"))
    assert hidden
    moved = [path.rename(path.with_suffix(".hidden")) for path in hidden]
    try:
        fresh = Trainer(task)
        assert fresh.run(trial(epochs=1)).state is State.COMPLETE
        assert fresh.run(trial(epochs=1, phase=Phase.VERIFICATION)).state is State.FAILED
    finally:
        for path, original in zip(moved, hidden, strict=True):
            path.rename(original)


def test_each_phase_trains_and_evaluates_on_its_own_images(trainer: Trainer, task: Task) -> None:
    images = {phase: trainer._phase_images(phase)[0] for phase in Phase}
    training, testing = task.dataset.training_count, task.dataset.test_count
    assert (len(images[Phase.SEARCH].training_images), len(images[Phase.SEARCH].evaluation_images)) == (
        training * 5 // 6,
        training // 6,
    )
    for phase in (Phase.VERIFICATION, Phase.REPRODUCTION):
        assert (len(images[phase].training_images), len(images[phase].evaluation_images)) == (training, testing)
    verified = trainer.run(trial(phase=Phase.VERIFICATION))
    assert [report.error_percent for report in verified.history[:-1]] == [None, None]
    assert verified.error_percent == pytest.approx(100 * len(verified.misclassified) / testing)
    reproduced = trainer.run(trial(phase=Phase.REPRODUCTION))
    assert None not in [report.error_percent for report in reproduced.history]
    assert [report.training_loss for report in reproduced.history] == [r.training_loss for r in verified.history]


def test_a_step_is_traced_once(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    traced: list[object] = []
    step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traced.append(data) or step(model, data))
    assert trainer.run(trial(RICH, epochs=2)).state is State.COMPLETE
    assert len(traced) == 1


LATE = """
from spaces import TRAINING, Int, Space

def build(images, config, classes):
    import keras

    class Late(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.noisy = keras.layers.Dense(classes)

        def call(self, inputs, training=False):
            return self.noisy(inputs) if training else inputs

    return keras.layers.Softmax()(Late()(keras.layers.Dense(classes)(keras.layers.Flatten()(images))))

SPACE = Space(name="late", parameters={"units": Int(1, 2, 1), **TRAINING}, build=build)
"""


@pytest.mark.filterwarnings("ignore:.*unbuilt state:UserWarning")  # Keras, of this very layer
def test_a_layer_that_only_training_calls_is_trained(task: Task, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    late = Trainer(dataclasses.replace(task, space_source=str(tmp_path / "late.py")))
    outcome = late.run(trial({"units": 1}, epochs=1))
    assert outcome.state is State.COMPLETE, outcome.traceback


def test_the_error_agrees_with_keras(trainer: Trainer) -> None:
    """Retrains a configuration with plain Keras in the same order and seed, and lets Keras evaluate it.

    Without dropout, whose random numbers differ; the last bits of the sums differ as well.
    """
    import keras

    config = {**CNN.baseline, "dropout_flatten": 0.0}
    (images,) = trainer._phase_images(Phase.SEARCH)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((28, 28, 1))
    hidden = CNN.build(keras.layers.Rescaling(1 / 255)(inputs), config, 10)
    model = keras.Model(inputs, hidden)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    labels = keras.utils.to_categorical(images.training_labels, 10)
    for epoch in range(3):
        order = np.random.default_rng((3, epoch)).permutation(len(labels))
        model.fit(images.training_images[order], labels[order], batch_size=200, shuffle=False, verbose=0)
    loss, accuracy = model.evaluate(
        images.evaluation_images, keras.utils.to_categorical(images.evaluation_labels, 10), verbose=0
    )
    outcome = trainer.run(trial(config))
    assert outcome.error_percent == pytest.approx(100 * (1 - accuracy), abs=0.5)
    assert outcome.history[-1].loss == pytest.approx(loss, rel=1e-3)


def test_float_images_train_like_the_same_bytes(small_mnist: Path, cache_dir: Path, tmp_path: Path, task: Task) -> None:
    with np.load(small_mnist) as bytes_:
        arrays = {name: bytes_[name] for name in bytes_.files}
    for name in ("x_train", "x_test"):
        arrays[name] = (arrays[name] / np.float32(255)).astype(np.float32)
    np.savez(tmp_path / "floats.npz", **arrays)
    dataset = prepare(str(tmp_path / "floats.npz"), cache_dir)
    floats = Trainer(dataclasses.replace(task, dataset=dataset)).run(trial(epochs=1))
    assert floats.state is State.COMPLETE, floats.traceback
    assert floats.history[0].training_loss == pytest.approx(
        Trainer(task).run(trial(epochs=1)).history[0].training_loss, rel=1e-3
    )


def test_a_trial_stops_within_a_few_steps(trainer: Trainer) -> None:
    looks: list[int] = []

    def should_stop() -> Cause | None:
        looks.append(1)
        return Cause.TIMEOUT if len(looks) == 3 else None

    outcome = trainer.run(trial({**CNN.baseline, "batch_size": 32}, epochs=50), Hooks(should_stop=should_stop))
    assert (outcome.state, outcome.cause, len(looks)) == (State.INTERRUPTED, Cause.TIMEOUT, 3)
