"""What members of one program may differ in, and which networks share one: a pure function of a built model.

What shapes the program is the structure of the model, the batch size and the optimizer's class. Everything else travels
as arrays, one value a member: initial weights, the values below, and those that the configuration alone holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np

from search.training.augmentation import AUGMENTATION, RandomAffine
from search.training.population.convolution import Form, FormedConvolution, is_simple

Values = tuple[Mapping[str, Any], ...]
"""The values that travel, one mapping a layer that has some, in the order of the layers."""
ADAPTIVE = ("adam", "adamw")
"""Optimizers that are one: Adam is AdamW without decay."""


class TravellingDropout(keras.layers.Layer):  # type: ignore[misc]
    """Keras's dropout, mask for mask, with a rate that may be an array.

    Args:
        keep: Share of the values that is kept, in (0, 1].
    """

    def __init__(self, keep: float, **kwargs: Any) -> None:  # noqa: ANN401 - Keras's own
        super().__init__(**kwargs)
        self.keep = keep
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: ANN401 - tensors
        """Maps inputs to the same shape."""
        if not training:
            return inputs
        mask = jax.random.bernoulli(self.seed_generator.next(), self.keep, inputs.shape)
        keep = jax.numpy.asarray(self.keep, inputs.dtype)  # an array would have bfloat16 become float32
        return jax.numpy.where(mask, inputs / keep, 0.0)

    def compute_output_shape(self, input_shape: Any) -> Any:  # noqa: ANN401 - Keras's own
        """Returns the shape of the inputs."""
        return input_shape


def program_key(model: Any, config: Mapping[str, Any]) -> str:  # noqa: ANN401 - Keras model
    """Returns a text that two trials share when one program can train both.

    Args:
        model: The trial's network, as it would be trained alone.
        config: Its configuration, every training parameter among it.
    """
    structure = model.get_config()
    structure.pop("name")
    for layer in structure["layers"]:
        initial = [name for name in layer["config"] if name.endswith("_initializer")]
        for value in ("name", *initial, *_travelling(layer["class_name"], layer["config"])):
            layer["config"].pop(value, None)
    names = {layer.name: f"#{index}" for index, layer in enumerate(model.layers)}
    text = json.dumps(_renamed(structure, names), sort_keys=True, default=str)
    optimizer = ADAPTIVE[0] if config["optimizer"] in ADAPTIVE else config["optimizer"]
    return f"{optimizer} {config['batch_size']} {text}"


def values_of(model: Any) -> Values:  # noqa: ANN401 - Keras model
    """Returns the values of a trial's network that travel."""
    return tuple(_values(layer) for layer in model.layers if _is_travelling(layer))


def carrier_of(model: Any, form: Form) -> Any:  # noqa: ANN401 - Keras models
    """Returns a model of the same structure and variables whose values can be set to arrays.

    Args:
        model: A trial's network.
        form: How its convolutions are computed.
    """
    return keras.models.clone_model(model, clone_function=lambda layer: _clone(layer, form))


@contextmanager
def set_values(carrier: Any, values: Values) -> Iterator[None]:  # noqa: ANN401 - Keras model
    """Sets a carrier's values while it is traced."""
    layers = [layer for layer in carrier.layers if _is_travelling(layer)]
    before = [{name: getattr(layer, name) for name in own} for layer, own in zip(layers, values, strict=True)]
    _assign(layers, values)
    try:
        yield
    finally:
        _assign(layers, before)


def _renamed(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Returns a model's structure with its layers called by their places; Keras counts those of a whole process."""
    if isinstance(node, dict):
        renamed = {key: _renamed(part, names) for key, part in node.items()}
        return {**renamed, "name": names.get(node["name"], node["name"])} if "name" in node else renamed
    if not isinstance(node, (list, tuple)):
        return node
    if len(node) == 3 and node[0] in names:  # a tensor: its layer, and which of its outputs
        return [names[node[0]], *node[1:]]
    return [_renamed(part, names) for part in node]


def _travelling(kind: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    if kind == keras.layers.Dropout.__name__ and config["noise_shape"] is None:
        return ("rate",)
    return (*AUGMENTATION, "seed") if kind == RandomAffine.__name__ else ()


def _is_travelling(layer: Any) -> bool:  # noqa: ANN401 - Keras layer
    return type(layer) is TravellingDropout or bool(_travelling(type(layer).__name__, layer.get_config()))


def _values(layer: Any) -> Mapping[str, np.float32]:  # noqa: ANN401 - Keras layer
    if type(layer) is keras.layers.Dropout:
        return {"keep": np.float32(1.0 - layer.rate)}
    return {name: np.float32(getattr(layer, name)) for name in AUGMENTATION}


def _clone(layer: Any, form: Form) -> Any:  # noqa: ANN401 - Keras layers
    if is_simple(layer):
        return FormedConvolution(form, **layer.get_config())
    if type(layer) is keras.layers.Dropout and layer.noise_shape is None:
        return TravellingDropout(1.0 - layer.rate, name=layer.name, dtype=layer.dtype_policy)
    return type(layer).from_config(layer.get_config())


def _assign(layers: list[Any], values: Any) -> None:  # noqa: ANN401 - Keras layers
    for layer, own in zip(layers, values, strict=True):
        for name, value in own.items():
            setattr(layer, name, value)
