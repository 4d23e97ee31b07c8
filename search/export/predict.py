"""Classifies image files with an exported model.

Finds the files; a subprocess opens the model and the images. Called by the command ``predict``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.errors import UserError
from search.export.keras_subprocess import call_in_subprocess
from search.training.runtime import Device, Runtime

MAX_NAMES = 5
"""Files without a prediction that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """A model's prediction for one image.

    Args:
        file: Its path, as given or found.
        probabilities: Probability of each class, by number.
    """

    file: str
    probabilities: tuple[float, ...]

    @property
    def label(self) -> int:
        """The most probable class."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def probability(self) -> float:
        """The probability of that class."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePredictions:
    """A model's predictions for several images.

    Args:
        classified: Predictions for the readable images, in the given order.
        unreadable: Files that could not be read, with the reason.
        skipped: Files of the folders that are no images by their names, in the order of the folders.
        class_names: Names of the classes; empty if these are the numbers from 0.
    """

    classified: tuple[ImagePrediction, ...]
    unreadable: Mapping[str, str]
    skipped: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def class_name(self, label: int) -> str:
        """Returns the name of a class, or its number."""
        return self.class_names[label] if label < len(self.class_names) else str(label)


def predict_images(model: Path, paths: Iterable[Path], *, resize_mode: str | None = None) -> ImagePredictions:
    """Returns a model's predictions for image files.

    Args:
        model: A ``.keras`` file.
        paths: Files, and folders, of which every image file is taken that is not hidden.
        resize_mode: "digit" or "whole", see ``search.export.image_files``; None for the model's own.

    Raises:
        UserError: The model is missing or unusable, or a folder holds no image.
        FatalError: The subprocess died.
    """
    if not model.is_file():
        raise UserError(
            f"There is no such model file. Received: {str(model)!r}.",
            hint=f"Make one with: python -m search export {_study_name(model)}",
        )
    found = [_files(path) for path in paths]
    files = [str(file) for images, _ in found for file in images]
    request = {"model": str(model.resolve()), "files": files, "resize_mode": resize_mode}
    response = call_in_subprocess("search.export.classifier", request, Runtime(device=Device.CPU))
    probabilities = response["probabilities"]
    classified = tuple(
        ImagePrediction(file=file, probabilities=tuple(probabilities[file])) for file in files if file in probabilities
    )
    return ImagePredictions(
        classified=classified,
        unreadable=response["unreadable"],
        skipped=tuple(str(file) for _, others in found for file in others),
        class_names=tuple(response["class_names"]),
    )


def _study_name(model: Path) -> str:
    """Returns the study and row that ``export`` gives a model's name, or "STUDY" for other names."""
    name, _, row = model.stem.rpartition("-")
    return f"{name} {row}" if name and model.suffix == ".keras" and row in ("winner", "baseline") else "STUDY"


def _files(path: Path) -> tuple[list[Path], list[Path]]:
    """Returns the file, or the image files of the folder and its other files, each sorted by name.

    Hidden files are left out: macOS writes one that is no image beside each image.
    """
    if not path.is_dir():
        return [path], []
    from PIL import Image

    suffixes = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    images = [file for file in files if file.suffix.lower() in suffixes]
    others = [file for file in files if file not in images]
    if not images:
        names = f", which holds {list_names(others)}" if others else ""
        raise UserError(
            f"The folder holds no image file that Pillow reads. Received: {str(path)!r}{names}.",
            hint="Its subfolders are not searched. Convert HEIC or PDF files to JPEG or PNG.",
        )
    return images, others


def list_names(files: Sequence[str | Path]) -> str:
    """Returns the names of files as text, those beyond the first few counted."""
    names = [Path(file).name for file in files[:MAX_NAMES]]
    more = len(files) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
