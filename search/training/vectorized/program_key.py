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

from search.training.augmentation import RandomAffine
from search.training.vectorized.convolution import ConvolutionMethod, VectorizedConv2D, is_supported_convolution
from search.training.vectorized.layers import (
    MaskedBatchNorm,
    PerMemberDropout,
    is_supported_batch_norm,
    is_supported_dropout,
)
from search.training.vectorized.padding import PaddedLayout, ProgramShape
from spaces.training import AUGMENTATION_PARAMETERS

TracedValues = tuple[Mapping[str, Any], ...]
"""The values that travel, one mapping a layer that has some, in the order of the layers."""
ADAM_FAMILY = ("adam", "adamw")
"""Optimizers that are one: Adam is AdamW without decay."""


def program_key(model: Any, config: Mapping[str, Any], shape: ProgramShape) -> str:
    """Returns a text that two trials share when one program can train both.

    Args:
        model: The trial's network, as it would be trained alone.
        config: Its configuration, every training parameter among it.
        shape: What its program has room for.
    """
    structure = model.get_config()
    structure.pop("name")
    traced_keys = {layer.name: _traced_config_keys(layer) for layer in model.layers}
    for layer in structure["layers"]:  # functions, such as keras.ops.softmax, among them
        layer.pop("build_config", None)  # shapes that follow from the rest
        name = layer["config"].get("name")
        layer["config"] |= shape.padded_widths.get(name, {})
        initial = [value for value in layer["config"] if value.endswith("_initializer")]
        for value in (*initial, *traced_keys.get(name, ())):
            layer["config"].pop(value, None)
    text = json.dumps(_with_positional_names(structure, _positional_names(structure)), sort_keys=True, default=str)
    optimizer = ADAM_FAMILY[0] if config["optimizer"] in ADAM_FAMILY else config["optimizer"]
    return f"{optimizer} {shape.batch_size} {shape.pads_to_share} {text}"


def traced_values_of(model: Any, layout: PaddedLayout) -> TracedValues:
    """Returns the values of a trial's network that travel.

    Args:
        model: The network.
        layout: Where it lies in its program's.
    """
    values = [_layer_values(layer) for layer in model.layers if _has_traced_values(layer)]
    dropouts = [own for own in values if "keep" in own]
    for own, (places, size) in zip(dropouts, layout.dropouts, strict=False):
        own |= {"places": places, "size": np.uint32(size)}
    return tuple(values)


def make_template(model: Any, method: ConvolutionMethod, shape: ProgramShape) -> Any:
    """Returns a model of the same structure and variables whose values can be set to arrays.

    Args:
        model: A trial's network.
        method: How its convolutions are computed.
        shape: What its program has room for.
    """
    return keras.models.clone_model(
        model, clone_function=lambda layer: _clone_layer(layer, method, shape.padded_widths.get(layer.name, {}))
    )


@contextmanager
def traced_values_set(template: Any, values: TracedValues, present: Any) -> Iterator[None]:
    """Sets a carrier's values, and which images of a batch are present, (batch,), while it is traced."""
    layers = [layer for layer in template.layers if _has_traced_values(layer)]
    normalizations = [layer for layer in template.layers if type(layer) is MaskedBatchNorm]
    previous = [{name: getattr(layer, name) for name in own} for layer, own in zip(layers, values, strict=True)]
    _set_attributes(layers, values)
    _set_attributes(normalizations, [{"present": present}] * len(normalizations))
    try:
        yield
    finally:
        _set_attributes(layers, previous)
        _set_attributes(normalizations, [{"present": None}] * len(normalizations))


def _positional_names(structure: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Returns the layers' names by their places, those within layers too; Keras counts those of a whole process."""
    names: dict[str, str] = {}
    for place, layer in enumerate(structure["layers"]):
        own = f"{prefix}#{place}"
        names[layer["config"].get("name", own)] = own
        if "layers" in layer["config"]:
            names |= _positional_names(layer["config"], own)
    return names


def _with_positional_names(node: Any, names: Mapping[str, str]) -> Any:
    """Returns a model's structure with its layers called by their places."""
    if isinstance(node, dict):
        shape = {"shape"} if "keras_history" in node else set()  # of a tensor; it follows from the layers
        renamed = {key: _with_positional_names(part, names) for key, part in node.items() if key not in shape}
        return {**renamed, "name": names.get(node["name"], node["name"])} if "name" in node else renamed
    if not isinstance(node, (list, tuple)):
        return node
    is_tensor = len(node) == 3 and isinstance(node[0], str) and node[0] in names  # its layer, and which of its outputs
    if is_tensor:
        return [names[node[0]], *node[1:]]
    return [_with_positional_names(part, names) for part in node]


def _traced_config_keys(layer: Any) -> tuple[str, ...]:
    """Returns what of the configuration of a trial's layer travels."""
    if is_supported_dropout(layer):
        return ("rate",)
    return (*AUGMENTATION_PARAMETERS, "seed") if type(layer) is RandomAffine else ()


def _has_traced_values(layer: Any) -> bool:
    """Says whether a layer, a trial's or a carrier's, has values that travel."""
    return type(layer) is PerMemberDropout or bool(_traced_config_keys(layer))


def _layer_values(layer: Any) -> dict[str, Any]:
    if is_supported_dropout(layer):
        return {"keep": np.float32(1.0 - layer.rate)}
    return {name: np.float32(getattr(layer, name)) for name in AUGMENTATION_PARAMETERS}


def _clone_layer(layer: Any, method: ConvolutionMethod, changes: Mapping[str, Any]) -> Any:
    if is_supported_dropout(layer):
        return PerMemberDropout(1.0 - layer.rate, name=layer.name, dtype=layer.dtype_policy)
    config = {**layer.get_config(), **changes}
    if is_supported_convolution(layer):
        return VectorizedConv2D(method, **config)
    kind = MaskedBatchNorm if is_supported_batch_norm(layer) else type(layer)
    return kind.from_config(config)


def _set_attributes(layers: list[Any], values: Any) -> None:
    for layer, own in zip(layers, values, strict=True):
        for name, value in own.items():
            setattr(layer, name, value)
