"""Builds the network of a configuration from a Keras Tuner file, and fits images and outputs to its model.

A model may take images flattened or without channels, scale pixels itself, and return logits or independent
probabilities. Its loss receives what the model returns in training; everything else receives class probabilities.
Keras is imported inside the functions. Called by the trainer and the export.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.errors import SpaceError
from spaces.hypermodels.source import Hypermodel, find_hypermodel

RAW_PIXEL_SCALE = 1.0 / 64.0
"""A first ``Rescaling`` by less than this expects pixels up to 255, others up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypermodelBuilder:
    """A space's model builder that calls a Keras Tuner file; see ``spaces.space.Builder``.

    Args:
        path: The file.
        input_shape: Shape of an image that its model takes, None for unknown sides; None if it fits the data.
        outputs: Number of its model's outputs; None if it fits the data.
        is_for_export: Whether the network must consist of Keras's own layers.
    """

    path: Path
    input_shape: tuple[int | None, ...] | None = None
    outputs: int | None = None
    is_for_export: bool = False

    def __call__(self, images: Any, config: Mapping[str, Any], classes: int) -> Any:
        """Returns class probabilities, (batch, classes).

        Raises:
            SpaceError: The file cannot be used, or its model takes other images or has other outputs.
        """
        from spaces.hypermodels.parameters import ConfiguredParameters

        hypermodel, found = _run(self.path)
        image_shape = tuple(images.shape[1:])
        model = hypermodel.bind(found, image_shape, classes)(ConfiguredParameters(config))
        outputs = model(_fit_images(images, model, self.path))
        _check_outputs(model, self.path, outputs.shape[-1], classes)
        probabilities = _class_probabilities(outputs, model, is_for_export=self.is_for_export)
        if self.is_for_export:  # loading would need the functions of the file that its compile names
            model.compiled, model.optimizer = False, None
        return probabilities


@functools.lru_cache(maxsize=1)
def _run(path: Path) -> tuple[Hypermodel, object]:
    hypermodel = find_hypermodel(path)
    assert hypermodel is not None, "the space was made of this file"
    return hypermodel, hypermodel.run()


def check_data(build: object, image_shape: tuple[int, int, int], classes: int) -> None:
    """Checks that a model of a Keras Tuner file takes the images and has an output for each class.

    Args:
        build: A space's model builder; others than ``HypermodelBuilder`` pass.
        image_shape: (height, width, channels) of the data.
        classes: Number of classes of the data.

    Raises:
        SpaceError: It does not.
    """
    if not isinstance(build, HypermodelBuilder):
        return
    if build.input_shape is not None and not _fits(image_shape, build.input_shape):
        raise SpaceError(_shape_problem(build.path, image_shape, build.input_shape))
    if build.outputs is not None:
        _check_outputs(None, build.path, build.outputs, classes)


def _fits(image_shape: tuple[int, ...], input_shape: tuple[int | None, ...]) -> bool:
    if _equals(image_shape, input_shape):
        return True
    return None not in input_shape and math.prod(side or 0 for side in input_shape) == math.prod(image_shape)


def _equals(image_shape: tuple[int, ...], input_shape: tuple[int | None, ...]) -> bool:
    """Returns whether an image has the sides of an input, those of unknown length left out."""
    return len(image_shape) == len(input_shape) and all(
        own in (None, side) for own, side in zip(input_shape, image_shape, strict=True)
    )


def _shape_problem(path: Path, image_shape: tuple[int, ...], input_shape: tuple[int | None, ...]) -> str:
    hint = ""
    if len(input_shape) == 3:
        height, width, channels = input_shape
        size = [] if None in (height, width) else [f"--image-size {height}x{width}"]
        hint = " ".join([*size, *([f"--channels {channels}"] if channels in (1, 3) else [])])
    return (
        f"The model of {path} takes other images. Expected: {input_shape}. Received: {tuple(image_shape)}. "
        f"{f'For files of images, {hint} may bring them to this shape; else change' if hint else 'Change'} the model's "
        "input shape."
    )


def _check_outputs(model: Any, path: Path, outputs: int, classes: int) -> None:
    if outputs != classes and not (outputs == 1 and classes == 2):
        raise SpaceError(
            f"The model of {path} must have an output for each class. Expected: {classes}. Received: {outputs}. "
            "Change the units of its last layer."
        )


def _fit_images(images: Any, model: Any, path: Path) -> Any:
    """Returns images as a model's input wants them: with raw pixel values if it scales them, and reshaped."""
    import keras

    if scales_raw_pixels(model):
        images = keras.layers.Rescaling(255.0)(images)
    if not getattr(model, "inputs", None):
        return images
    input_shape, image_shape = tuple(model.inputs[0].shape[1:]), tuple(images.shape[1:])
    if _equals(image_shape, input_shape):
        return images
    if not _fits(image_shape, input_shape):
        raise SpaceError(_shape_problem(path, image_shape, input_shape))
    return keras.layers.Reshape(input_shape)(images)


def scales_raw_pixels(model: Any) -> bool:
    """Returns whether the model's first layer of this kind divides pixels by 255 or so."""
    import keras

    scales = [layer.scale for layer in model._flatten_layers() if isinstance(layer, keras.layers.Rescaling)]
    return bool(scales) and isinstance(scales[0], float | int) and abs(scales[0]) < RAW_PIXEL_SCALE


def output_problem(model: Any) -> str:
    """Returns why a model cannot be trained here, or an empty text."""
    import keras

    if type(model).train_step not in (keras.Model.train_step, keras.Sequential.train_step):
        return "it has a train_step of its own, which would not be used."
    if len(getattr(model, "inputs", None) or [0]) != 1 or len(getattr(model, "outputs", None) or [0]) != 1:
        return "it needs one input and one output."
    if getattr(model, "outputs", None) and len(model.outputs[0].shape) != 2:
        return f"its output must be (batch, classes). Received: {tuple(model.outputs[0].shape)}."
    if model.compiled and _output_kind(model) == "linear" and _expects_probabilities(model.loss):
        return (
            "its last layer has no softmax, and its loss expects probabilities. Add activation='softmax', or "
            "from_logits=True to the loss."
        )
    return ""


def _class_probabilities(outputs: Any, model: Any, *, is_for_export: bool) -> Any:
    """Returns what a model returns in training, and class probabilities otherwise."""
    import keras

    from spaces.hypermodels.output import ClassProbabilities, to_probabilities

    kind = _output_kind(model)
    if model.compiled and expects_logits(model.loss):
        is_binary = _loss_name(model.loss).startswith("binary") or outputs.shape[-1] == 1
        kind = "sigmoid logits" if is_binary else "linear"
    if kind == "softmax":
        return outputs
    if is_for_export:
        return to_probabilities(outputs, kind)
    if model.compiled:
        return ClassProbabilities(kind, name="class_probabilities")(outputs)
    return keras.layers.Softmax(dtype="float32")(outputs) if kind == "linear" else outputs


def _output_kind(model: Any) -> str:
    """Returns the last activation: softmax, sigmoid, or linear; softmax for one that is not known."""
    import keras

    last = _last_operation(model)
    if isinstance(last, keras.layers.Softmax) or type(last).__name__ == "Softmax":
        return "softmax"
    if type(last).__name__ == "Sigmoid":
        return "sigmoid"
    activation = getattr(last, "activation", None)
    if activation is keras.activations.sigmoid:
        return "sigmoid"
    is_linear = activation is keras.activations.linear and isinstance(last, keras.layers.Layer)
    return "linear" if is_linear else "softmax"


def _last_operation(model: Any) -> Any:
    """Returns the layer or function that makes a model's output; for a nested model, that of the nested one."""
    import keras

    if getattr(model, "outputs", None):
        operation = model.outputs[0]._keras_history.operation
    elif getattr(model, "layers", None):
        operation = model.layers[-1]
    else:
        return None
    return _last_operation(operation) if isinstance(operation, keras.Model) else operation


def expects_logits(loss: Any) -> bool:
    """Returns whether a loss applies softmax or sigmoid itself."""
    loss = first_loss(loss)
    settings = getattr(loss, "_fn_kwargs", {})
    name = _loss_name(loss)
    return bool(settings.get("from_logits")) or "from_logits" in name or "with_logits" in name


def _expects_probabilities(loss: Any) -> bool:
    return "crossentropy" in _loss_name(loss) and not expects_logits(loss)


def is_sparse(loss: Any) -> bool:
    """Returns whether a loss takes the numbers of the classes, and not one-hot labels."""
    return "sparse" in _loss_name(loss)


def first_loss(loss: Any) -> Any:
    """Returns the loss of a model's one output."""
    if isinstance(loss, dict):
        return next(iter(loss.values()))
    return loss[0] if isinstance(loss, list | tuple) else loss


def _loss_name(loss: Any) -> str:
    """Returns a loss's name in lower case without underscores."""
    loss = first_loss(loss)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", "") or type(loss).__name__
    return name.lower().replace("_", "").replace("withlogits", "with_logits").replace("fromlogits", "from_logits")
