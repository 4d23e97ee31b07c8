"""A model out of a ``.keras`` file, and what it says of pictures.

Run as a process of its own; see ``search.training.errand``. Called for by ``search.export.predict``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import UserError
from search.training import provenance
from search.training.errand import serve
from search.training.picture_files import UNREADABLE, Style, Wanted, load
from search.training.sources import MNIST_SHA256

AT_ONCE = 1000
"""Pictures that are held in memory together."""
NOT_A_MODEL = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile)
"""What Keras raises for files that are no models, or hold layers that it does not know."""
MNIST_SIZE = (28, 28)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A model and the pictures it takes.

    Args:
        model: Keras's.
        wanted: The pictures.
        white: What white is to it: 255, or 1 where it does not scale its input itself.
    """

    model: Any
    wanted: Wanted
    white: float

    def probabilities(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (pictures, classes).

        Raises:
            UserError: They are no probabilities.
        """
        given = np.stack(pictures).astype(np.float32) * np.float32(self.white / 255)
        said: np.ndarray = self.model.predict(given, verbose=0)
        if not np.allclose(said.sum(axis=1), 1, atol=1e-3) or said.min() < 0:
            raise UserError("The model gives no probabilities, such as a softmax does.")
        return said


def open_model(file: Path, style: Style | None) -> Classifier:
    """Returns the model in a file.

    Args:
        file: A ``.keras`` file.
        style: How pictures are brought to its size; None for what suits the data that it was trained on.

    Raises:
        UserError: It is no model, or none that classifies pictures of a fixed size.
    """
    import keras

    try:
        model = keras.saving.load_model(file, compile=False)
    except NOT_A_MODEL as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"The file is no model that Keras can load by itself: {reason} Received: {str(file)!r}.",
            hint="Make one with: python -m search export STUDY --as model",
        ) from None
    shape = _shape(model)
    known = provenance.read(file)
    is_mnist = known.data_sha256 == MNIST_SHA256 if known else shape == (*MNIST_SIZE, 1)
    wanted = Wanted(
        height=shape[0],
        width=shape[1],
        channels=shape[2],
        style=style or (Style.DIGIT if is_mnist else Style.WHOLE),
        is_dark=known.is_dark if known else True,
    )
    scales = [layer.scale for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    return Classifier(model=model, wanted=wanted, white=255.0 if any(scale < 0.5 for scale in scales) else 1.0)


def _shape(model: Any) -> tuple[int, int, int]:  # noqa: ANN401 - Keras model
    """Returns the shape of a picture, of a model that classifies them."""
    given, said = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    match given, said:
        case (_, int(height), int(width), 1 | 3 as channels), (_, int(classes)) if classes > 1:
            return height, width, channels
    raise UserError(
        "The model does not classify pictures of a fixed size. Expected: input (height, width, 1 or 3), "
        f"output (classes,). Received: {given} and {said}."
    )


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    style = Style(question["style"]) if question["style"] else None
    classifier = open_model(Path(question["model"]), style)
    unreadable: dict[str, str] = {}
    said: dict[str, list[float]] = {}
    for files in _portions(question["files"]):
        pictures = dict(_pictures(files, classifier.wanted, unreadable))
        if pictures:
            probabilities = classifier.probabilities(list(pictures.values()))
            said |= {file: row.tolist() for file, row in zip(pictures, probabilities, strict=True)}
    wanted = classifier.wanted
    shape = [wanted.height, wanted.width, wanted.channels]
    return {"shape": shape, "style": wanted.style.value, "said": said, "unreadable": unreadable}


def _portions(files: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(files), AT_ONCE):
        yield files[first : first + AT_ONCE]


def _pictures(files: Sequence[str], wanted: Wanted, unreadable: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields files and pictures; notes why a file cannot be read."""
    for file in files:
        try:
            yield file, load(Path(file), wanted)
        except UNREADABLE as error:
            unreadable[file] = getattr(error, "strerror", None) or str(error) or type(error).__name__


if __name__ == "__main__":
    serve(_answer)
