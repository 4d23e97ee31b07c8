"""The network, the optimizer and the loss of a configuration as Python text, for ``search.export.script``.

Needs Keras, so it also runs as a subprocess; see ``search.export.keras_subprocess``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.data.dataset import DatasetInfo, open_training
from search.export.keras_subprocess import call_in_subprocess, serve_request
from search.training.runtime import Device, Precision, Runtime

AUGMENT_VARIABLE = "augment"
"""Name of the augmenting layer in the script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptParts:
    """Parts of a script as Python text.

    Args:
        network: Statements that define ``model``, with ``AUGMENT_VARIABLE`` if it augments.
        optimizer: An expression.
        loss: An expression.
        parameters: Trainable parameters of the network.
        elastic_functions: What elastic augmentation calls; empty without it.
    """

    network: str
    optimizer: str
    loss: str
    parameters: int
    elastic_functions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypermodelParts:
    """Parts of the script of a model that Keras Tuner's builder compiles, as Python text.

    Args:
        source: The builder, as its file has it.
        call: An expression that builds the model from ``hyperparameters``.
        values: Values of the hyperparameters, by Keras Tuner's names.
        shape: Shape of an image that the model takes.
        scale: Factor of the pixels, such as " / 255"; empty for none.
        labels: "sparse", "one-hot" or "one output", as its loss wants them.
        threshold: Output of a single one above which the second class is predicted.
        parameters: Trainable parameters of the model.
    """

    source: str
    call: str
    values: str
    shape: tuple[int, ...]
    scale: str
    labels: str
    threshold: float
    parameters: int


def make_script_parts(
    space_source: str, config: Mapping[str, Any], *, epochs: int, dataset: DatasetInfo, precision: Precision
) -> ScriptParts | HypermodelParts:
    """Returns a configuration's parts from a subprocess that imports Keras.

    Args:
        space_source: Registered name or path of the space's file.
        config: Active parameters and their values.
        epochs: Passes over the training images, for the schedule.
        dataset: The prepared data, for the image shape and the number of steps.
        precision: Precision of the network; bfloat16 is written at its layers.

    Raises:
        UserError: The network holds something that is not Keras's own, and its builder does not compile it.
    """
    request = {
        "space_source": space_source,
        "config": dict(config),
        "epochs": epochs,
        "dataset": asdict(dataset),
        "precision": precision.value,
    }
    answer = call_in_subprocess("search.export.script_parts", request, Runtime(device=Device.CPU))
    return HypermodelParts(**answer) if "call" in answer else ScriptParts(**answer)


def _handle_request(request: Mapping[str, Any]) -> dict[str, Any]:
    from search.export.codegen import network_statements, object_expression
    from search.training.augmentation import RandomAffine
    from search.training.elastic import RandomElastic
    from search.training.epochs import steps_per_epoch
    from search.training.network import make_loss, make_network, make_optimizer, trainable_parameters
    from search.training.own_compile import find_compiled
    from spaces import registry
    from spaces.training import complete

    dataset = DatasetInfo.from_json(request["dataset"])
    config = complete(request["config"])
    build = registry.load_builder(request["space_source"])
    pixels, precision = open_training(dataset).images, Precision(request["precision"])
    model = make_network(build, config, pixels, classes=dataset.classes, seed=0, precision=precision)
    parameters = trainable_parameters(model)
    if find_compiled(model) is not None:
        is_raw = pixels.dtype == np.uint8
        return asdict(_hypermodel_parts(build, config, dataset, is_raw=is_raw, parameters=parameters))
    steps = steps_per_epoch(dataset.training_count, config["batch_size"]) * request["epochs"]
    parts = ScriptParts(
        network=network_statements(
            model, custom_layers={RandomAffine: AUGMENT_VARIABLE, RandomElastic: AUGMENT_VARIABLE}
        ),
        optimizer=object_expression(make_optimizer(config, steps)),
        loss=object_expression(make_loss(config)),
        parameters=parameters,
        elastic_functions=_elastic_functions() if config["elastic"] else "",
    )
    return asdict(parts)


def _elastic_functions() -> str:
    """Returns the source of the functions that displace pixels."""
    from search.training import elastic

    functions = "\n\n".join(inspect.getsource(function) for function in (elastic.smoothing, elastic.resample))
    return f"SIDES_PER_WIDTH = {elastic.SIDES_PER_WIDTH}\n\n\n{functions}".rstrip()


def _hypermodel_parts(
    build: Any, config: Mapping[str, Any], dataset: DatasetInfo, *, is_raw: bool, parameters: int
) -> HypermodelParts:
    """Returns the parts for a builder that compiles its model itself.

    Args:
        build: A ``HypermodelBuilder``.
        config: The complete configuration.
        dataset: The prepared data.
        is_raw: Whether its pixels go to 255.
        parameters: Trainable parameters of the network; a model without an input shape has none before its first call.
    """
    from spaces.hypermodels.builder import expects_logits, is_sparse, scales_raw_pixels
    from spaces.hypermodels.parameters import ConfiguredParameters
    from spaces.hypermodels.source import find_hypermodel

    hypermodel = find_hypermodel(build.path)
    assert hypermodel is not None, "the model was built of this file"
    found, hyperparameters = hypermodel.run(), ConfiguredParameters(config)
    model = hypermodel.bind(found, dataset.image_shape, dataset.classes)(hyperparameters)
    is_single = model.outputs[0].shape[-1] == 1 if getattr(model, "outputs", None) else False
    takes_raw = scales_raw_pixels(model)
    takes_shape = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else dataset.image_shape
    return HypermodelParts(
        source=hypermodel.text,
        call=hypermodel.call(found, dataset.image_shape, dataset.classes, "hyperparameters"),
        values=repr(hyperparameters.values),
        shape=dataset.image_shape if None in takes_shape else takes_shape,
        scale="" if is_raw == takes_raw else " * 255" if takes_raw else " / 255",
        labels="sparse" if is_sparse(model.loss) else "one output" if is_single else "one-hot",
        threshold=0.0 if expects_logits(model.loss) else 0.5,
        parameters=parameters,
    )


if __name__ == "__main__":
    serve_request(_handle_request)
