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
from search.training.population.convolution import is_simple
from search.training.population.layers import is_plain_dropout, is_plain_normalization

WIDTHS = {keras.layers.Dense: "units", keras.layers.Conv2D: "filters"}
"""What Keras calls the width of a layer."""
APART = (
    *WIDTHS,
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
SILENT = (
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
HARMLESS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
"""Regularizers that leave what is 0 alone."""

Axes = tuple[np.ndarray, ...] | None
"""Where a variable lies in a larger one: its places along each axis; None where there is no larger one."""


class Room(NamedTuple):
    """What a program has room for, where that is more than a trial's own.

    Args:
        batch: Images a step.
        ceilings: What becomes of the configurations of layers, by their names; of those that are as the trial has them,
            nothing.
        is_shared: Whether there may be trials whose batches are smaller, and whose steps are therefore more.
        is_padded: Whether a batch of fewer images is filled up, since further ones count for nothing; else the last
            one of an epoch has a program of its own size.
    """

    batch: int
    ceilings: Mapping[str, Mapping[str, int]] = {}
    is_shared: bool = False
    is_padded: bool = False


class Layout(NamedTuple):
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


def rounded_up(count: int) -> int:
    """Returns the units of a layer, or images of a step, that a program has room for: the next power of four.

    Powers of two would waste less and have three times as many programs compiled; see ``docs/LOG.md``.
    """
    return int(4 ** math.ceil(math.log2(count) / 2))


def make_room(model: Any, batch_size: int, *, is_shared: bool) -> Room:  # noqa: ANN401 - Keras model
    """Returns the room of the program that a network is trained in.

    Args:
        model: The network.
        batch_size: Its own.
        is_shared: Whether widths and batch sizes are rounded up where nothing comes of it: batch sizes, where the
            images of a batch are nothing to each other; widths, where the network is also a chain of layers to which
            units can be added without a trace.
    """
    has_functions = len(model.operations) > len(model.layers)
    if has_functions or not all(map(_is_apart, model.layers)):
        return Room(batch_size)
    if not is_shared:
        return Room(batch_size, is_padded=True)
    return Room(rounded_up(batch_size), _ceilings(model), is_shared=True, is_padded=True)


def _ceilings(model: Any) -> Mapping[str, Mapping[str, int]]:  # noqa: ANN401 - Keras model
    *inner, last = model.layers
    if not (_is_chain(model.layers) and type(last) is keras.layers.Dense and all(map(_is_silent, inner))):
        return {}
    names = {layer.name: WIDTHS[type(layer)] for layer in inner if type(layer) in WIDTHS}
    return {layer: {name: rounded_up(getattr(model.get_layer(layer), name))} for layer, name in names.items()}


def layout(model: Any, carrier: Any) -> Layout:  # noqa: ANN401 - Keras models
    """Returns where a network lies in a carrier whose widths are rounded up."""
    axes: dict[int, Axes] = {}
    dropouts = []
    features = np.arange(model.input.shape[-1])
    for layer, wide in zip(model.layers[1:], carrier.layers[1:], strict=True):
        before, shape = features, wide.input.shape[1:]
        if type(layer) in WIDTHS:
            features = np.arange(getattr(layer, WIDTHS[type(layer)]))
        elif type(layer) is keras.layers.Flatten:
            pixels = np.arange(math.prod(shape[:-1]))
            features = (pixels[:, np.newaxis] * shape[-1] + features).ravel()
        elif is_plain_dropout(layer):
            dropouts.append(_places(shape, features))
        if type(layer) in WIDTHS or is_plain_normalization(layer):
            axes |= {id(one): _axes(one.shape, before, features) for one in layer.weights}
    trainable, others = ([axes.get(id(one)) for one in part] for part in _parts(model))
    return Layout(trainable, others, dropouts)


def plain_layout(model: Any) -> Layout:  # noqa: ANN401 - Keras model
    """Returns where a network lies in one of its own widths."""
    trainable, others = ([None] * len(part) for part in _parts(model))
    return Layout(trainable, others)


def lay(array: Any, axes: Axes, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ANN401 - array
    """Returns a variable of some shape that is 0 but for an array, which lies there."""
    if axes is None:
        return np.asarray(array)
    wide = np.zeros(shape, np.asarray(array).dtype)
    wide[np.ix_(*axes)] = array
    return wide


def cut(array: np.ndarray, axes: Axes) -> np.ndarray:
    """Returns the array that lies in a variable."""
    return array if axes is None else array[np.ix_(*axes)]


def _parts(model: Any) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: ANN401 - Keras model
    return model.trainable_variables, model.non_trainable_variables


def _is_chain(layers: Sequence[Any]) -> bool:
    try:
        return all(after.input is before.output for before, after in pairwise(layers))
    except (AttributeError, ValueError):  # a layer that is used twice has no one input
        return False


def _is_apart(layer: Any) -> bool:  # noqa: ANN401 - Keras layer
    """Says whether the images of a batch are nothing to each other there, but for those that a normalization counts."""
    is_known = type(layer) in APART or is_plain_dropout(layer) or is_plain_normalization(layer)
    return is_known and layer.activity_regularizer is None


def _is_silent(layer: Any) -> bool:  # noqa: ANN401 - Keras layer
    """Says whether a unit whose weights are 0 can be added to a layer without a trace."""
    own = vars(layer).items()
    claims = (
        getattr(layer, "data_format", "channels_last") == "channels_last",
        type(layer) is not keras.layers.Conv2D or is_simple(layer),
        type(layer) is not keras.layers.Rescaling or (np.ndim(layer.scale) == 0 and not np.any(layer.offset)),
        getattr(layer, "activation", keras.activations.linear) in SILENT,
        all(value is None or type(value) in HARMLESS for name, value in own if name.endswith("_regularizer")),
        all(value is None for name, value in own if name.endswith("_constraint")),
    )
    return all(claims)


def _axes(shape: tuple[int, ...], before: np.ndarray, features: np.ndarray) -> Axes:
    """Returns where features lie, or a kernel that leads from those before to them."""
    return (*map(np.arange, shape[:-2]), before, features)[-len(shape) :]


def _places(shape: tuple[int, ...], features: np.ndarray) -> tuple[np.ndarray, int]:
    own = (*shape[:-1], len(features))
    places = np.zeros(shape, np.uint32)
    places[..., features] = np.arange(math.prod(own), dtype=np.uint32).reshape(own)
    return places, math.prod(own)
