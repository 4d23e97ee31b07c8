"""What members of one program may differ in, and which networks share one: a pure function of a built model.

What shapes the program is the structure of the model, the batch size and the optimizer's class. Everything else travels
as arrays, one value a member: initial weights, the values below, and those that the configuration alone holds. Where
that is wanted, widths and batch sizes are rounded up, so that more members share a program.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from search.training.augmentation import AUGMENTATION, RandomAffine
from search.training.population.convolution import Form, FormedConvolution, is_simple
from search.training.population.layers import (
    PartialNormalization,
    TravellingDropout,
    is_plain_dropout,
    is_plain_normalization,
)
from search.training.population.widening import Layout, Room

Values = tuple[Mapping[str, Any], ...]
"""The values that travel, one mapping a layer that has some, in the order of the layers."""
ADAPTIVE = ("adam", "adamw")
"""Optimizers that are one: Adam is AdamW without decay."""


def program_key(model: Any, config: Mapping[str, Any], room: Room) -> str:  # noqa: ANN401 - Keras model
    """Returns a text that two trials share when one program can train both.

    Args:
        model: The trial's network, as it would be trained alone.
        config: Its configuration, every training parameter among it.
        room: What its program has room for.
    """
    structure = model.get_config()
    structure.pop("name")
    travelling = {layer.name: _travelling(layer) for layer in model.layers}
    for layer in structure["layers"]:  # functions, such as keras.ops.softmax, among them
        layer.pop("build_config", None)  # shapes that follow from the rest
        name = layer["config"].get("name")
        layer["config"] |= room.ceilings.get(name, {})
        initial = [value for value in layer["config"] if value.endswith("_initializer")]
        for value in (*initial, *travelling.get(name, ())):
            layer["config"].pop(value, None)
    text = json.dumps(_renamed(structure, _names(structure)), sort_keys=True, default=str)
    optimizer = ADAPTIVE[0] if config["optimizer"] in ADAPTIVE else config["optimizer"]
    return f"{optimizer} {room.batch} {room.is_shared} {text}"


def values_of(model: Any, layout: Layout) -> Values:  # noqa: ANN401 - Keras model
    """Returns the values of a trial's network that travel.

    Args:
        model: The network.
        layout: Where it lies in its program's.
    """
    values = [_values(layer) for layer in model.layers if _is_travelling(layer)]
    dropouts = [own for own in values if "keep" in own]
    for own, (places, size) in zip(dropouts, layout.dropouts, strict=False):
        own |= {"places": places, "size": np.uint32(size)}
    return tuple(values)


def carrier_of(model: Any, form: Form, room: Room) -> Any:  # noqa: ANN401 - Keras models
    """Returns a model of the same structure and variables whose values can be set to arrays.

    Args:
        model: A trial's network.
        form: How its convolutions are computed.
        room: What its program has room for.
    """
    return keras.models.clone_model(
        model, clone_function=lambda layer: _clone(layer, form, room.ceilings.get(layer.name, {}))
    )


@contextmanager
def set_values(carrier: Any, values: Values, present: Any) -> Iterator[None]:  # noqa: ANN401 - Keras model
    """Sets a carrier's values, and which images of a batch are present, (batch,), while it is traced."""
    layers = [layer for layer in carrier.layers if _is_travelling(layer)]
    normalizations = [layer for layer in carrier.layers if type(layer) is PartialNormalization]
    before = [{name: getattr(layer, name) for name in own} for layer, own in zip(layers, values, strict=True)]
    _assign(layers, values)
    _assign(normalizations, [{"present": present}] * len(normalizations))
    try:
        yield
    finally:
        _assign(layers, before)
        _assign(normalizations, [{"present": None}] * len(normalizations))


def _names(structure: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Returns the layers' names by their places, those within layers too; Keras counts those of a whole process."""
    names: dict[str, str] = {}
    for place, layer in enumerate(structure["layers"]):
        own = f"{prefix}#{place}"
        names[layer["config"].get("name", own)] = own
        if "layers" in layer["config"]:
            names |= _names(layer["config"], own)
    return names


def _renamed(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Returns a model's structure with its layers called by their places."""
    if isinstance(node, dict):
        shape = {"shape"} if "keras_history" in node else set()  # of a tensor; it follows from the layers
        renamed = {key: _renamed(part, names) for key, part in node.items() if key not in shape}
        return {**renamed, "name": names.get(node["name"], node["name"])} if "name" in node else renamed
    if not isinstance(node, (list, tuple)):
        return node
    is_tensor = len(node) == 3 and isinstance(node[0], str) and node[0] in names  # its layer, and which of its outputs
    if is_tensor:
        return [names[node[0]], *node[1:]]
    return [_renamed(part, names) for part in node]


def _travelling(layer: Any) -> tuple[str, ...]:  # noqa: ANN401 - Keras layer
    """Returns what of the configuration of a trial's layer travels."""
    if is_plain_dropout(layer):
        return ("rate",)
    return (*AUGMENTATION, "seed") if type(layer) is RandomAffine else ()


def _is_travelling(layer: Any) -> bool:  # noqa: ANN401 - Keras layer
    """Says whether a layer, a trial's or a carrier's, has values that travel."""
    return type(layer) is TravellingDropout or bool(_travelling(layer))


def _values(layer: Any) -> dict[str, Any]:  # noqa: ANN401 - Keras layer
    if is_plain_dropout(layer):
        return {"keep": np.float32(1.0 - layer.rate)}
    return {name: np.float32(getattr(layer, name)) for name in AUGMENTATION}


def _clone(layer: Any, form: Form, changes: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Keras layers
    if is_plain_dropout(layer):
        return TravellingDropout(1.0 - layer.rate, name=layer.name, dtype=layer.dtype_policy)
    config = {**layer.get_config(), **changes}
    if is_simple(layer):
        return FormedConvolution(form, **config)
    kind = PartialNormalization if is_plain_normalization(layer) else type(layer)
    return kind.from_config(config)


def _assign(layers: list[Any], values: Any) -> None:  # noqa: ANN401 - Keras layers
    for layer, own in zip(layers, values, strict=True):
        for name, value in own.items():
            setattr(layer, name, value)
