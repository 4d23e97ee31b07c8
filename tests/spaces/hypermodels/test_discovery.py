"""Keras Tuner's models as spaces: their parameters, their networks and their losses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from search.training.network import make_inference_network, make_network
from search.training.own_compile import OwnLoss, find_compiled
from search.training.runtime import Precision
from spaces import Choice, Condition, Domain, Float, Int, Space, SpaceError
from spaces.hypermodels import HypermodelBuilder, check_data
from spaces.hypermodels.counting import count_parameters
from spaces.hypermodels.discovery import discover, main
from spaces.training import complete

pytestmark = pytest.mark.usefixtures("one_thread")
FILE = Path(__file__).parents[2] / "own_hypermodel.py"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), np.uint8)
LABELS = np.array([0, 3, 9, 3, 1, 0])


@pytest.fixture(scope="module")
def document(one_thread: None) -> dict[str, Any]:
    return discover(FILE)


@pytest.fixture(scope="module")
def space(document: dict[str, Any]) -> Space:
    return Space.from_json(document["space"], build=HypermodelBuilder(path=FILE))


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text("import keras\n" + text)
    return path


def test_every_parameter_is_found_with_range_default_and_condition(space: Space) -> None:
    without_doc = {name: replace(domain, doc="") for name, domain in space.parameters.items()}
    assert "'rotation'" in space.parameters["model_rotation"].doc
    assert without_doc == {
        "hidden_layers": Int(1, 3, 2),
        "units_0": Int(8, 28, 8, step=4),
        "units_1": Int(8, 28, 8, step=4, when=Condition(parameter="hidden_layers", values=(2, 3))),
        "units_2": Int(8, 28, 8, step=4, when=Condition(parameter="hidden_layers", values=(3,))),
        "dropout": Choice((False, True), False),
        "model_rotation": Float(0.1, 0.5, 0.1, step=0.2, when=Condition(parameter="dropout", values=(True,))),
        "learning_rate": Float(1e-4, 1e-1, 1e-2, log=True),
        "optimizer": Choice(("adam", "sgd"), "adam"),
        "momentum": Choice((0.9,), 0.9, when=Condition(parameter="optimizer", values=("sgd",))),
        "batch": Choice((8, 16, 32, 64), 16),
        "batch_size": Int(64, 64, 64),
    }


def test_a_network_is_that_of_its_configuration_and_keeps_its_compile(space: Space) -> None:
    config = complete({**space.baseline, "hidden_layers": 1, "units_0": 12, "optimizer": "sgd", "momentum": 0.9})
    model = make_network(space.build, config, PIXELS, classes=10, seed=0)
    own = find_compiled(model)
    assert [layer.units for layer in own.layers] == [12, 10]
    assert (type(own.optimizer), float(own.optimizer.learning_rate)) == (keras.optimizers.SGD, pytest.approx(1e-2))


def test_a_model_of_logits_is_scored_after_softmax_and_trained_before(space: Space) -> None:
    model = make_network(space.build, complete(space.baseline), PIXELS, classes=10, seed=0)
    own = find_compiled(model)
    logits = own(PIXELS.reshape(6, 784) / np.float32(255))
    np.testing.assert_allclose(model(PIXELS), keras.ops.softmax(logits), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model(PIXELS, training=True), logits, rtol=1e-4, atol=1e-6)
    loss = OwnLoss(own.loss, None)(np.eye(10, dtype=np.float32)[LABELS], model(PIXELS, training=True))
    np.testing.assert_allclose(loss, own.loss(LABELS, logits), rtol=1e-4, atol=1e-6)
    exported = make_inference_network(
        space.build, complete(space.baseline), PIXELS, trained_model=model, precision=Precision.TF32, white=16.0
    )
    given = PIXELS * np.float32(16 / 255)  # white was 16 in the data as given
    np.testing.assert_allclose(exported(given), model(PIXELS), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy", "mse"])
def test_a_loss_by_name_receives_the_labels_that_it_wants(loss: str) -> None:
    one_hot, probabilities = np.eye(10, dtype=np.float32)[LABELS], np.full((6, 10), 0.1, np.float32)
    labels = LABELS if loss.startswith("sparse") else one_hot
    expected = keras.ops.mean(keras.losses.get(loss)(labels, probabilities))
    np.testing.assert_allclose(OwnLoss(loss, None)(one_hot, probabilities), expected, rtol=1e-6)
    doubled = OwnLoss(loss, np.full(10, 2.0))(one_hot, probabilities)
    np.testing.assert_allclose(doubled, 2 * expected, rtol=1e-6)


def test_two_classes_may_have_one_output(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """def build_model(hp):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model
""",
    )
    model = make_network(HypermodelBuilder(path=path), complete({}), PIXELS, classes=2, seed=0)
    probabilities, outputs = model(PIXELS), model(PIXELS, training=True)
    np.testing.assert_allclose(np.asarray(probabilities)[:, 1:], outputs, rtol=1e-6)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1.0, rtol=1e-6)
    labels = np.array([0, 1, 1, 0, 1, 0])
    loss = OwnLoss("binary_crossentropy", None)(np.eye(2, dtype=np.float32)[labels], outputs)
    expected = keras.ops.mean(keras.losses.binary_crossentropy(labels[:, None].astype(np.float32), outputs))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_keras_tuners_own_explanation_of_a_model_that_is_not_compiled_gets_training_parameters(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """import keras_tuner
class Mine(keras_tuner.HyperModel):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.shape, self.classes = input_shape, num_classes
    def build(self, hp):
        inputs = keras.Input(self.shape)
        hidden = keras.layers.Dense(hp.Choice("units", [4, 8]))(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.Dense(self.classes, activation="softmax")(hidden))
""",
    )
    document = discover(path)
    assert {"units", "batch_size", "optimizer", "shift"} <= set(document["space"]["parameters"])
    assert "outputs" not in document
    model = make_network(HypermodelBuilder(path=path), complete({"units": 8}), PIXELS, classes=3, seed=0)
    assert find_compiled(model) is None
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build_model(hp):\n    return hp.Int('units', 9, 3)", "line 3"),
        ("def build_model(hp):\n    return hp.Int('units', 3, 9)", "keras.Model"),
        (
            "def build_model(hp):\n    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])\n"
            "    model.compile('adam', 'sparse_categorical_crossentropy')\n    return model",
            "softmax",
        ),
    ],
)
def test_a_builder_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    main(str(path), str(tmp_path / "result"))
    error = json.loads((tmp_path / "result").read_text())["error"]
    assert message in error
    assert str(path) in error


@pytest.mark.parametrize(
    ("shape", "classes", "fits"),
    [((28, 28, 1), 10, True), ((28, 28, 3), 10, False), ((28, 28, 1), 9, False)],
)
def test_data_must_fit_the_model(
    document: dict[str, Any], shape: tuple[int, int, int], classes: int, fits: bool
) -> None:
    builder = HypermodelBuilder(path=FILE, input_shape=tuple(document["input_shape"]), outputs=document["outputs"])
    if fits:
        check_data(builder, shape, classes)
        return
    with pytest.raises(SpaceError, match=r"Expected: .* Received: "):
        check_data(builder, shape, classes)


def test_scopes_of_one_name_become_parameters_of_their_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """def build_model(hp):
    kind = hp.Choice("kind", ["small", "large"])
    units = 4
    with hp.conditional_scope("kind", ["small"]):
        units = hp.Int("units", 4, 8) or units
    with hp.conditional_scope("kind", ["large"]):
        units = hp.Int("units", 16, 32) or units
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "mse")
    return model
""",
    )
    space = Space.from_json(discover(path)["space"])
    assert space.parameters["units"].when == Condition(parameter="kind", values=("small",))
    assert space.parameters["units__2"] == Int(16, 32, 16, when=Condition(parameter="kind", values=("large",)))
    config = space.active({"kind": "large", "units": 5, "units__2": 20, "batch_size": 32})
    model = make_network(HypermodelBuilder(path=path), complete(config), PIXELS[:, :2, :2], classes=3, seed=0)
    assert find_compiled(model).layers[0].units == 20


def test_a_value_at_which_the_model_cannot_be_built_is_said(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """def build_model(hp):
    units = {4: 4}[hp.Choice("units", [4, 8])]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "mse")
    return model
""",
    )
    document = discover(path)
    expected = "At 8 the model of the defaults fails: KeyError on line 3"
    assert expected in document["space"]["parameters"]["units"]["doc"]
    assert "units" in document["notices"][0]
    assert expected in document["notices"][0]


OWN_FIT = """
import keras_tuner
class Mine(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", "mse")
        return model
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size={size}, shuffle=hp.Boolean("shuffle"), **kwargs)
"""


@pytest.mark.parametrize(
    ("size", "domain"),
    [
        ('hp.Choice("batch_size", [16, 64], default=64)', Choice((16, 64), 64)),
        ('hp.Int(name="batch_size", min_value=16, max_value=64, step=16)', Int(16, 64, 16, step=16)),
        ('hp.Choice("batch_size", SIZES)', Int(32, 32, 32)),
        ("48", Int(48, 48, 48)),
    ],
)
def test_a_batch_size_that_fit_searches_is_searched_and_the_rest_of_fit_is_said_to_be_unused(
    tmp_path: Path, size: str, domain: Domain
) -> None:
    path = written(tmp_path, OWN_FIT.format(size=size))
    document = discover(path)
    parameters = Space.from_json(document["space"]).parameters
    assert {name: replace(found, doc="") for name, found in parameters.items()} == {"batch_size": domain}
    (notice,) = document["notices"]
    assert "fit method of Mine" in notice
    assert notice in document["space"]["doc"]


def test_the_parameters_of_a_network_are_counted_by_building_it(space: Space) -> None:
    config = {**space.baseline, "hidden_layers": 1, "units_0": 12}
    assert isinstance(space.build, HypermodelBuilder)
    assert count_parameters(space.build, config, (28, 28, 1), 10) == 785 * 12 + 13 * 10


def test_names_are_identifiers_that_the_trainer_does_not_apply() -> None:
    from spaces.hypermodels.parameters import parameter_name

    hp_types = keras_tuner.engine.hyperparameters
    named = {name: parameter_name(hp_types.Choice(name, [1, 2])) for name in ("a b", "1st", "zoom", "batch_size")}
    assert named == {"a b": "a_b", "1st": "p_1st", "zoom": "model_zoom", "batch_size": "batch_size"}
    assert parameter_name(hp_types.Choice("batch_size", ["small"])) == "model_batch_size"
