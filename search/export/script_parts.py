"""The network, the optimizer and the loss of a configuration as Python text, for ``search.export.script``.

Needs Keras, so it also runs as a subprocess; see ``search.export.keras_subprocess``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from search.data.dataset import DatasetInfo, open_training
from search.errors import UserError
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
    """

    network: str
    optimizer: str
    loss: str
    parameters: int


def make_script_parts(
    space_source: str, config: Mapping[str, Any], *, epochs: int, dataset: DatasetInfo, precision: Precision
) -> ScriptParts:
    """Returns a configuration's parts from a subprocess that imports Keras.

    Args:
        space_source: Registered name or path of the space's file.
        config: Active parameters and their values.
        epochs: Passes over the training images, for the schedule.
        dataset: The prepared data, for the image shape and the number of steps.
        precision: Precision of the network; bfloat16 is written at its layers.

    Raises:
        UserError: The network holds something that is not Keras's own.
    """
    request = {
        "space_source": space_source,
        "config": dict(config),
        "epochs": epochs,
        "dataset": asdict(dataset),
        "precision": precision.value,
    }
    return ScriptParts(**call_in_subprocess("search.export.script_parts", request, Runtime(device=Device.CPU)))


def _handle_request(request: Mapping[str, Any]) -> dict[str, Any]:
    from search.export.codegen import network_statements, object_expression
    from search.training.augmentation import RandomAffine
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
    if find_compiled(model) is not None:
        raise UserError(
            "A script is written of networks that this project compiles. Received: a model of Keras Tuner, "
            f"{request['space_source']}.",
            hint="Export it with --as model; its file is the script of the network.",
        )
    steps = steps_per_epoch(dataset.training_count, config["batch_size"]) * request["epochs"]
    parts = ScriptParts(
        network=network_statements(model, custom_layers={RandomAffine: AUGMENT_VARIABLE}),
        optimizer=object_expression(make_optimizer(config, steps)),
        loss=object_expression(make_loss(config)),
        parameters=trainable_parameters(model),
    )
    return asdict(parts)


if __name__ == "__main__":
    serve_request(_handle_request)
