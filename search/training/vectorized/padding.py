"""Networks of several widths in one program: each lies in a wider one, whose further units are 0 and stay 0.

A unit whose weights are all 0, those that lead away from it among them, says 0, and its loss has no slope: the gradient
of each of its weights is 0, so that no optimizer ever moves it. Layer widths that are rounded up to powers of four thus
share a program, and each network is trained as it would be alone. That holds for chains of the layers below whose
activations are 0 at 0; the last layer, whose units are the classes, keeps its width.

A layout says where the variables of one network lie in those of the wider one. Pure functions of built models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np

from search.training.augmentation import RandomAffine
from search.training.vectorized.convolution import is_supported_convolution
from search.training.vectorized.layers import is_supported_batch_norm, is_supported_dropout

WIDTH_ATTRIBUTES = {keras.layers.Dense: "units", keras.layers.Conv2D: "filters"}
"""What Keras calls the width of a layer."""
SAMPLEWISE_LAYERS = (
    *WIDTH_ATTRIBUTES,
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    RandomAffine,
    keras.layers.Activation,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)
"""Layers, beside plain dropout and batch normalization, to which the images of a batch are nothing to each other."""
ZERO_PRESERVING_ACTIVATIONS = (
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.leaky_relu,
    keras.activations.elu,
    keras.activations.selu,
    keras.activations.gelu,
    keras.activations.silu,
    keras.activations.mish,
    keras.activations.tanh,
)
"""Activations of each unit by itself that are 0 at 0."""
ZERO_PRESERVING_REGULARIZERS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
"""Regularizers that leave what is 0 alone."""

Axes = tuple[np.ndarray, ...] | None
"""Where a variable lies in a larger one: its places along each axis; None where there is no larger one."""


class ProgramShape(NamedTuple):
    """What a program has room for, where that is more than a trial's own.

    Args:
        batch_size: Images a step.
        padded_widths: What becomes of the configurations of layers, by their names; of those that are as the trial has
            them,
            nothing.
        pads_to_share: Whether there may be trials whose batches are smaller, and whose steps are therefore more.
        pads_last_batch: Whether a batch of fewer images is filled up, since further ones count for nothing; else the
            last
            one of an epoch has a program of its own size.
    """

    batch_size: int
    padded_widths: Mapping[str, Mapping[str, int]] = {}
    pads_to_share: bool = False
    pads_last_batch: bool = False


class PaddedLayout(NamedTuple):
    """Where a network lies in its program's.

    Args:
        trainable: Where each trainable variable lies.
        others: Where each other variable lies.
        dropouts: Of each dropout, where the network alone would have each value of an image (...), and how many it has;
            none where it has all that there are.
    """

    trainable: Sequence[Axes]
    others: Sequence[Axes]
    dropouts: Sequence[tuple[np.ndarray, int]] = ()


def next_power_of_four(count: int) -> int:
    """Returns the units of a layer, or images of a step, that a program has room for: the next power of four.

    Powers of two would waste less and have three times as many programs compiled; see ``docs/LOG.md``.
    """
    return int(4 ** math.ceil(math.log2(count) / 2))


def make_program_shape(model: Any, batch_size: int, *, pads_to_share: bool) -> ProgramShape:
    """Returns the room of the program that a network is trained in.

    Args:
        model: The network.
        batch_size: Its own.
        pads_to_share: Whether widths and batch sizes are rounded up where nothing comes of it: batch sizes, where the
            images of a batch are nothing to each other; widths, where the network is also a chain of layers to which
            units can be added without a trace.
    """
    has_functions = len(model.operations) > len(model.layers)
    if has_functions or not all(map(_is_samplewise, model.layers)):
        return ProgramShape(batch_size)
    if not pads_to_share:
        return ProgramShape(batch_size, pads_last_batch=True)
    return ProgramShape(
        next_power_of_four(batch_size), _padded_widths_of(model), pads_to_share=True, pads_last_batch=True
    )


def _padded_widths_of(model: Any) -> Mapping[str, Mapping[str, int]]:
    *inner, last = model.layers
    if not (_is_chain(model.layers) and type(last) is keras.layers.Dense and all(map(_is_zero_preserving, inner))):
        return {}
    names = {layer.name: WIDTH_ATTRIBUTES[type(layer)] for layer in inner if type(layer) in WIDTH_ATTRIBUTES}
    return {layer: {name: next_power_of_four(getattr(model.get_layer(layer), name))} for layer, name in names.items()}


def padded_layout(model: Any, template: Any) -> PaddedLayout:
    """Returns where a network lies in a carrier whose widths are rounded up."""
    axes: dict[int, Axes] = {}
    dropouts = []
    features = np.arange(model.input.shape[-1])
    for layer, wide in zip(model.layers[1:], template.layers[1:], strict=True):
        before, shape = features, wide.input.shape[1:]
        if type(layer) in WIDTH_ATTRIBUTES:
            features = np.arange(getattr(layer, WIDTH_ATTRIBUTES[type(layer)]))
        elif type(layer) is keras.layers.Flatten:
            pixels = np.arange(math.prod(shape[:-1]))
            features = (pixels[:, np.newaxis] * shape[-1] + features).ravel()
        elif is_supported_dropout(layer):
            dropouts.append(_dropout_positions(shape, features))
        if type(layer) in WIDTH_ATTRIBUTES or is_supported_batch_norm(layer):
            axes |= {id(one): _axes(one.shape, before, features) for one in layer.weights}
    trainable, others = ([axes.get(id(one)) for one in part] for part in _parts(model))
    return PaddedLayout(trainable, others, dropouts)


def unpadded_layout(model: Any) -> PaddedLayout:
    """Returns where a network lies in one of its own widths."""
    trainable, others = ([None] * len(part) for part in _parts(model))
    return PaddedLayout(trainable, others)


def embed(array: Any, axes: Axes, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a variable of some shape that is 0 but for an array, which lies there."""
    if axes is None:
        return np.asarray(array)
    wide = np.zeros(shape, np.asarray(array).dtype)
    wide[np.ix_(*axes)] = array
    return wide


def extract(array: np.ndarray, axes: Axes) -> np.ndarray:
    """Returns the array that lies in a variable."""
    return array if axes is None else array[np.ix_(*axes)]


def _parts(model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    return model.trainable_variables, model.non_trainable_variables


def _is_chain(layers: Sequence[Any]) -> bool:
    try:
        return all(after.input is before.output for before, after in pairwise(layers))
    except (AttributeError, ValueError):  # a layer that is used twice has no one input
        return False


def _is_samplewise(layer: Any) -> bool:
    """Says whether the images of a batch are nothing to each other there, but for those that a normalization counts."""
    is_known = type(layer) in SAMPLEWISE_LAYERS or is_supported_dropout(layer) or is_supported_batch_norm(layer)
    return is_known and layer.activity_regularizer is None


def _is_zero_preserving(layer: Any) -> bool:
    """Says whether a unit whose weights are 0 can be added to a layer without a trace."""
    own = vars(layer).items()
    conditions = (
        getattr(layer, "data_format", "channels_last") == "channels_last",
        type(layer) is not keras.layers.Conv2D or is_supported_convolution(layer),
        type(layer) is not keras.layers.Rescaling or (np.ndim(layer.scale) == 0 and not np.any(layer.offset)),
        getattr(layer, "activation", keras.activations.linear) in ZERO_PRESERVING_ACTIVATIONS,
        all(
            value is None or type(value) in ZERO_PRESERVING_REGULARIZERS
            for name, value in own
            if name.endswith("_regularizer")
        ),
        all(value is None for name, value in own if name.endswith("_constraint")),
    )
    return all(conditions)


def _axes(shape: tuple[int, ...], before: np.ndarray, features: np.ndarray) -> Axes:
    """Returns where features lie, or a kernel that leads from those before to them."""
    return (*map(np.arange, shape[:-2]), before, features)[-len(shape) :]


def _dropout_positions(shape: tuple[int, ...], features: np.ndarray) -> tuple[np.ndarray, int]:
    own = (*shape[:-1], len(features))
    places = np.zeros(shape, np.uint32)
    places[..., features] = np.arange(math.prod(own), dtype=np.uint32).reshape(own)
    return places, math.prod(own)
