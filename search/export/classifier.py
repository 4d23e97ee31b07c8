"""Loads a model from a ``.keras`` file and classifies image files, for ``search.export.predict``.

Needs Keras, so it runs as a subprocess; see ``search.export.keras_subprocess``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.data.mnist import MNIST_SHA256
from search.errors import UserError
from search.export import model_metadata
from search.export.image_files import IMAGE_READ_ERRORS, InputSpec, ResizeMode, load_image
from search.export.keras_subprocess import serve_request
from search.training.calibration import are_probabilities

IMAGES_PER_BATCH = 1000
"""Images that are held in memory together."""
MODEL_LOAD_ERRORS = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile)
"""Errors that Keras raises for files that are no models, or hold unknown layers."""
MNIST_IMAGE_SIZE = (28, 28)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A model and its input.

    Args:
        model: The Keras model.
        input_spec: Its input.
        class_names: Names of the classes; empty if these are the numbers from 0.
    """

    model: Any
    input_spec: InputSpec
    class_names: tuple[str, ...] = ()

    def predict_probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the probabilities (images, classes).

        Raises:
            UserError: The model's output is not probabilities.
        """
        batch = np.stack(images).astype(np.float32) * np.float32(self.input_spec.white / 255)
        probabilities: np.ndarray = self.model.predict(batch, verbose=0)
        if not are_probabilities(probabilities, tolerance=1e-3):
            raise UserError("The model's output is not probabilities, such as those of a softmax.")
        return probabilities


def load_model(file: Path, resize_mode: ResizeMode | None) -> Classifier:
    """Returns the model in a file.

    Args:
        file: A ``.keras`` file.
        resize_mode: How images are resized; None for the mode that suits its training data.

    Raises:
        UserError: It is not a model that classifies images of a fixed size.
    """
    import keras

    try:
        model = keras.saving.load_model(file, compile=False)
    except MODEL_LOAD_ERRORS as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        reason = first_line.partition(". ")[0].removesuffix(".")  # Keras adds sentences about its file formats
        raise UserError(
            f"Keras cannot load the model: {reason}. Received: {str(file)!r}.",
            hint="Make one with: python -m search export STUDY --as model",
        ) from None
    shape = _input_shape(model)
    metadata = model_metadata.read(file)
    is_mnist = metadata.data_sha256 == MNIST_SHA256 if metadata else shape == (*MNIST_IMAGE_SIZE, 1)
    layers = (layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Rescaling))
    scale = next((float(np.max(layer.scale)) for layer in layers), 1.0)  # also of one in a nested model
    rescaled_white = 255.0 if scale < 0.5 else 1.0
    input_spec = InputSpec(
        height=shape[0],
        width=shape[1],
        channels=shape[2],
        resize_mode=resize_mode or (ResizeMode.DIGIT if is_mnist else ResizeMode.WHOLE),
        is_dark=metadata.is_dark if metadata else True,
        white=(metadata and metadata.white) or rescaled_white,
    )
    return Classifier(
        model=model,
        input_spec=input_spec,
        class_names=metadata.class_names if metadata else (),
    )


def _input_shape(model: Any) -> tuple[int, int, int]:
    """Returns the image shape (height, width, channels) that a model classifies."""
    input_shape, output_shape = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    match input_shape, output_shape:
        case (_, int(height), int(width), 1 | 3 as channels), (_, int(classes)) if classes > 1:
            return height, width, channels
    raise UserError(
        "The model does not classify images of a fixed size. Expected: input (height, width, 1 or 3), "
        f"output (classes,). Received: {input_shape} and {output_shape}."
    )


def _handle_request(request: Mapping[str, Any]) -> dict[str, Any]:
    resize_mode = ResizeMode(request["resize_mode"]) if request["resize_mode"] else None
    classifier = load_model(Path(request["model"]), resize_mode)
    unreadable: dict[str, str] = {}
    probabilities_by_file: dict[str, list[float]] = {}
    for files in _batches(request["files"]):
        images_by_file = dict(_load_images(files, classifier.input_spec, unreadable))
        if images_by_file:
            probabilities = classifier.predict_probabilities(list(images_by_file.values()))
            probabilities_by_file |= {
                file: row.tolist() for file, row in zip(images_by_file, probabilities, strict=True)
            }
    return {
        "probabilities": probabilities_by_file,
        "unreadable": unreadable,
        "class_names": list(classifier.class_names),
    }


def _batches(files: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(files), IMAGES_PER_BATCH):
        yield files[first : first + IMAGES_PER_BATCH]


def _load_images(
    files: Sequence[str], input_spec: InputSpec, errors_by_file: dict[str, str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields files and images; records the reason for a file that cannot be read."""
    for file in files:
        try:
            yield file, load_image(Path(file), input_spec)
        except IMAGE_READ_ERRORS as error:
            errors_by_file[file] = getattr(error, "strerror", None) or str(error) or type(error).__name__


if __name__ == "__main__":
    serve_request(_handle_request)
