"""Which networks share a program, and the template model that a program is traced from.

The structure of the model, the batch size and the optimizer's class shape a program. All else is passed to it as
arrays, one value a member: initial weights, dropout rates, augmentation, learning rates, weight decay and label
smoothing. Pure functions of built models. Called by members and programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic
from search.training.vectorized.convolution import ConvolutionMethod, VectorizedConv2D, is_supported_convolution
from spaces.training import AUGMENTATION_PARAMETERS

TracedValues = tuple[Mapping[str, Any], ...]
"""The per-member values of a network: one mapping for each layer that has some, in the order of the layers."""
ADAM_FAMILY = ("adam", "adamw")
"""Optimizers of one class: Adam is AdamW without decay."""
SAMPLEWISE_LAYERS = (
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    RandomAffine,
    RandomElastic,
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.Activation,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)
"""Layers, besides plain dropout, in which the images of a batch do not affect each other."""


class PerMemberDropout(keras.layers.Layer):  # type: ignore[misc]
    """Keras's dropout with a rate that may be an array; draws the same masks.

    Args:
        keep: Share of the values that is kept, in (0, 1].
    """

    def __init__(self, keep: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep = keep
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps inputs to the same shape."""
        if not training:
            return inputs
        is_kept = jax.random.bernoulli(self.seed_generator.next(), self.keep, inputs.shape)
        return jnp.where(is_kept, inputs / jnp.asarray(self.keep, inputs.dtype), 0.0)  # keeps bfloat16

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape


class MaskedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalization over the images of a batch that the mask selects.

    Attributes:
        present: The mask, (batch,) bool; None for all images.
    """

    present: Any = None

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Maps inputs (batch, ..., features) to the same shape."""
        if training and self.present is not None:
            mask = jnp.broadcast_to(self.present.reshape(-1, *[1] * (inputs.ndim - 2)), inputs.shape[:-1])
        return super().call(inputs, training=training, mask=mask)


def program_key(model: Any, config: Mapping[str, Any]) -> str:
    """Returns a text that is equal for trials that one program can train.

    Args:
        model: The trial's network.
        config: Its complete configuration.
    """
    structure = model.get_config()
    structure.pop("name")
    traced_keys = {layer.name: _traced_config_keys(layer) for layer in model.layers}
    for layer in structure["layers"]:  # also functions, such as keras.ops.softmax
        layer.pop("build_config", None)  # shapes that follow from the rest
        initializers = [key for key in layer["config"] if key.endswith("_initializer")]
        for key in (*initializers, *traced_keys.get(layer["config"].get("name"), ())):
            layer["config"].pop(key, None)
    text = json.dumps(_with_positional_names(structure, _positional_names(structure)), sort_keys=True, default=str)
    optimizer = ADAM_FAMILY[0] if config["optimizer"] in ADAM_FAMILY else config["optimizer"]
    return f"{optimizer} {config['batch_size']} {text}"


def is_samplewise(model: Any) -> bool:
    """Returns whether images of a batch affect each other in no layer but batch normalization.

    A short last batch can then be filled up and masked. Otherwise it needs a program of its own size.
    """
    has_functions = len(model.operations) > len(model.layers)
    return not has_functions and all(
        (type(layer) in SAMPLEWISE_LAYERS or _is_plain_dropout(layer) or _is_plain_batch_norm(layer))
        and layer.activity_regularizer is None
        for layer in model.layers
    )


def traced_values_of(model: Any) -> TracedValues:
    """Returns the per-member values of a trial's network."""
    return tuple(_layer_values(layer) for layer in model.layers if _has_traced_values(layer))


def make_template(model: Any, method: ConvolutionMethod) -> Any:
    """Returns a model of the same structure and variables whose per-member values can be set to arrays.

    Args:
        model: A trial's network.
        method: How its convolutions are computed.
    """
    return keras.models.clone_model(model, clone_function=lambda layer: _clone_layer(layer, method))


@contextmanager
def traced_values_set(template: Any, values: TracedValues, present: Any) -> Iterator[None]:
    """Sets a template's per-member values and the mask of a batch's images, (batch,), while it is traced."""
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
    """Returns names by position for all layers, nested ones included; Keras numbers its own over the whole process."""
    names: dict[str, str] = {}
    for position, layer in enumerate(structure["layers"]):
        name = f"{prefix}#{position}"
        names[layer["config"].get("name", name)] = name
        if "layers" in layer["config"]:
            names |= _positional_names(layer["config"], name)
    return names


def _with_positional_names(node: Any, names: Mapping[str, str]) -> Any:
    """Returns a model's structure with its layers named by position."""
    if isinstance(node, dict):
        shape = {"shape"} if "keras_history" in node else set()  # of a tensor; it follows from the layers
        renamed = {key: _with_positional_names(part, names) for key, part in node.items() if key not in shape}
        return {**renamed, "name": names.get(node["name"], node["name"])} if "name" in node else renamed
    if not isinstance(node, (list, tuple)):
        return node
    is_tensor = len(node) == 3 and isinstance(node[0], str) and node[0] in names  # (layer, node index, tensor index)
    if is_tensor:
        return [names[node[0]], *node[1:]]
    return [_with_positional_names(part, names) for part in node]


def _is_plain_dropout(layer: Any) -> bool:
    """Returns whether ``PerMemberDropout`` can replace a layer."""
    return type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.rate > 0


def _is_plain_batch_norm(layer: Any) -> bool:
    """Returns whether ``MaskedBatchNorm`` can replace a layer."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.axis in (-1, len(layer.input.shape) - 1)
        and not layer.renorm
    )


def _traced_config_keys(layer: Any) -> tuple[str, ...]:
    """Returns the keys of a layer's configuration that are per-member values."""
    if _is_plain_dropout(layer):
        return ("rate",)
    return (*_magnitudes(layer), "seed") if isinstance(layer, RandomAffine) else ()


def _magnitudes(layer: Any) -> tuple[str, ...]:
    """Returns the augmentation parameters that a layer has; only elastic ones have all."""
    return tuple(name for name in AUGMENTATION_PARAMETERS if hasattr(layer, name))


def _has_traced_values(layer: Any) -> bool:
    """Returns whether a layer, of a trial's network or a template, has per-member values."""
    return type(layer) is PerMemberDropout or bool(_traced_config_keys(layer))


def _layer_values(layer: Any) -> dict[str, Any]:
    if _is_plain_dropout(layer):
        return {"keep": np.float32(1.0 - layer.rate)}
    return {name: np.float32(getattr(layer, name)) for name in _magnitudes(layer)}


def _clone_layer(layer: Any, method: ConvolutionMethod) -> Any:
    if _is_plain_dropout(layer):
        return PerMemberDropout(1.0 - layer.rate, name=layer.name, dtype=layer.dtype_policy)
    if is_supported_convolution(layer):
        return VectorizedConv2D(method, **layer.get_config())
    kind = MaskedBatchNorm if _is_plain_batch_norm(layer) else type(layer)
    return kind.from_config(layer.get_config())


def _set_attributes(layers: list[Any], values: Any) -> None:
    for layer, own in zip(layers, values, strict=True):
        for name, value in own.items():
            setattr(layer, name, value)
