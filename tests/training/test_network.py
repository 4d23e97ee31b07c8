"""Networks and their precision; optimizers, schedules and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from search.errors import TrialError
from search.export.codegen import network_statements
from search.training.augmentation import RandomAffine
from search.training.network import make_loss, make_network, make_optimizer, make_schedule, require_savable
from search.training.runtime import Precision
from search.training.vectorized.program_key import program_key
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = {**TUTORIAL_TRAINING, **registry.load("cnn").baseline, "shift": 2, "rotation": 10.0, "zoom": 0.1, "shear": 0.1}
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8)


def make(precision: Precision = Precision.BFLOAT16, build: Callable | None = None) -> Any:
    keras.utils.set_random_seed(1)
    builder = build or registry.load("cnn").build
    return make_network(builder, CONFIG, PIXELS, classes=10, seed=1, precision=precision)


def test_hidden_layers_compute_in_bfloat16_and_every_variable_is_float32() -> None:
    model = make()
    hidden = {layer.compute_dtype for layer in model.layers[3:-1]}
    first_and_last = {layer.compute_dtype for layer in (*model.layers[:3], model.layers[-1])}
    assert (hidden, first_and_last) == ({"bfloat16"}, {"float32"})
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    for one, other in zip(model.trainable_variables, make(Precision.TF32).trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_positions_and_augmented_images_are_those_of_float32_to_the_bit() -> None:
    images = []
    for precision in Precision:
        model = make(precision)
        layer = model.get_layer("augment")
        images.append(keras.Model(model.inputs[0], layer.output)(PIXELS.astype(np.float32), training=True))
    assert [image.dtype.name for image in images] == ["float32"] * 3
    assert not np.array_equal(images[0], PIXELS / np.float32(255))
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


def activated(images: Any, config: Any, classes: int) -> Any:
    return keras.layers.Activation("softmax")(keras.layers.Dense(classes)(keras.layers.Flatten()(images)))


def nested(images: Any, config: Any, classes: int) -> Any:
    layers = [keras.layers.Flatten(), keras.layers.Dense(8), keras.layers.Dense(classes, activation="softmax")]
    return keras.Sequential([keras.Sequential(layers)])(images)


class Head(keras.layers.Layer):
    """A last layer that is made of others."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.outputs = keras.layers.Dense(classes)
        self.softmax = keras.layers.Softmax()

    def build(self, input_shape: Any) -> None:
        self.outputs.build(input_shape)

    def call(self, features: Any) -> Any:
        return self.softmax(self.outputs(features))


def composed(images: Any, config: Any, classes: int) -> Any:
    return Head(classes)(keras.layers.Dense(8)(keras.layers.Flatten()(images)))


def by_a_function(images: Any, config: Any, classes: int) -> Any:
    return keras.ops.softmax(keras.layers.Dense(classes)(keras.layers.Flatten()(images)))


@pytest.mark.parametrize("build", [None, activated, nested, composed])
def test_probabilities_are_computed_in_float32(build: Callable | None) -> None:
    said = make(build=build).predict(PIXELS, verbose=0)
    assert said.dtype == np.float32
    assert np.abs(said.sum(axis=1) - 1).max() < 1e-6
    assert not np.array_equal(said, keras.ops.cast(keras.ops.cast(said, "bfloat16"), "float32"))


def test_the_output_of_a_function_is_cast_to_float32() -> None:
    model = make(build=by_a_function)
    assert model.predict(PIXELS, verbose=0).dtype == np.float32
    assert "keras.ops.cast(x" in network_statements(model, custom_layers={RandomAffine: "augment"})


def test_a_layer_keeps_the_type_that_its_builder_gave_it() -> None:
    def build(images: Any, config: Any, classes: int) -> Any:
        exact = keras.layers.Dense(8, dtype="float32", name="exact")(keras.layers.Flatten()(images))
        return keras.layers.Dense(classes, activation="softmax")(keras.layers.Dense(8, name="coarse")(exact))

    model = make(build=build)
    assert [model.get_layer(name).compute_dtype for name in ("exact", "coarse")] == ["float32", "bfloat16"]


def test_a_failing_builder_does_not_change_the_precision() -> None:
    def build(images: Any, config: Any, classes: int) -> Any:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        make(build=build)
    assert keras.config.dtype_policy().name == "float32"


def test_generated_code_sets_bfloat16_and_computes_the_same() -> None:
    model = make(build=activated)
    text = network_statements(model, custom_layers={RandomAffine: "keras.layers.Identity()"})
    assert 'keras.layers.Dense(10, dtype="mixed_bfloat16")' in text
    assert 'keras.layers.Activation("softmax")' in text
    names: dict[str, Any] = {"keras": keras}
    exec(text, names)
    for layer, other in zip(model.layers[3:], names["model"].layers[2:], strict=True):
        other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(names["model"].predict(PIXELS, verbose=0), model.predict(PIXELS, verbose=0))


def test_trials_of_two_precisions_share_no_program() -> None:
    keys = {precision: program_key(make(precision), CONFIG) for precision in Precision}
    assert keys[Precision.TF32] == keys[Precision.FLOAT32] != keys[Precision.BFLOAT16]


def rates(name: str, steps: int = 1000) -> list[float]:
    schedule = make_schedule(name, 0.01, steps)
    return [schedule if isinstance(schedule, float) else float(schedule(step)) for step in range(steps)]


def test_the_constant_schedule_is_constant() -> None:
    assert set(rates("constant")) == {0.01}


@pytest.mark.parametrize(("name", "warm_up"), [("cosine", 50), ("one_cycle", 300)])
def test_a_schedule_warms_up_to_the_peak_and_decays_to_zero(name: str, warm_up: int) -> None:
    values = rates(name)
    assert values[0] == 0.0
    assert max(values) == pytest.approx(0.01, rel=1e-3)
    assert abs(values.index(max(values)) - warm_up) <= 1
    assert values[: warm_up + 1] == sorted(values[: warm_up + 1])
    assert values[warm_up:] == sorted(values[warm_up:], reverse=True)
    assert values[-1] < 1e-6


def test_the_exponential_schedule_ends_at_a_hundredth() -> None:
    values = rates("exponential")
    assert values[0] == pytest.approx(0.01)
    assert values[-1] == pytest.approx(0.0001, rel=0.01)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "exponential"])
def test_trials_of_few_steps_have_a_schedule(name: str, steps: int) -> None:
    assert all(0 <= rate <= 0.0101 for rate in rates(name, steps))


def test_optimizers_are_keras_classes() -> None:
    tutorial = make_optimizer(TUTORIAL_TRAINING, 100)
    assert (type(tutorial).__name__, float(tutorial.learning_rate)) == ("Adam", pytest.approx(0.001))
    decayed = make_optimizer({**TUTORIAL_TRAINING, "optimizer": "adamw", "weight_decay": 0.01}, 100)
    assert (type(decayed).__name__, decayed.weight_decay) == ("AdamW", 0.01)
    momentum = make_optimizer({**TUTORIAL_TRAINING, "optimizer": "sgd", "learning_rate_sgd": 0.1}, 100)
    assert (type(momentum).__name__, momentum.momentum, momentum.nesterov) == ("SGD", 0.9, True)
    for name, rate in (("rmsprop", 1e-3), ("nadam", 1e-3), ("lion", 1e-4)):
        further = make_optimizer({**TUTORIAL_TRAINING, "optimizer": name}, 100)
        assert (type(further).__name__.lower(), float(further.learning_rate)) == (name, pytest.approx(rate))


def test_the_loss_smooths_labels() -> None:
    assert make_loss({"label_smoothing": 0.05}).label_smoothing == 0.05


def test_class_weights_are_those_of_keras_fit() -> None:
    labels, probabilities = np.array([0, 2, 2, 1]), np.random.default_rng(0).dirichlet(np.ones(3), 4)
    targets, weights = np.eye(3, dtype="float32")[labels], np.array([0.5, 1.0, 4.0])
    smoothed = {"label_smoothing": 0.05}
    expected = make_loss(smoothed)(targets, probabilities, sample_weight=weights[labels])
    assert float(make_loss(smoothed, weights)(targets, probabilities)) == pytest.approx(float(expected), rel=1e-6)


def test_a_network_of_a_class_that_keras_cannot_make_again_is_not_trained_to_be_saved() -> None:
    class Own(keras.Model):
        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(**options)
            self.hidden = keras.layers.Dense(units)

        def call(self, images: Any) -> Any:
            return self.hidden(images)

    class Complete(Own):
        def get_config(self) -> dict[str, Any]:
            return {"units": self.hidden.units}

    inputs = keras.Input((4,))
    require_savable(keras.Model(inputs, Complete(3)(inputs)))
    with pytest.raises(TrialError, match="Own has no get_config"):
        require_savable(keras.Model(inputs, Own(3)(inputs)))
