"""Predicting: what an exported model says of picture files.

Finds the files; the model and the pictures are opened in a process of their own. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.errors import UserError
from search.export.keras_subprocess import call_in_subprocess
from search.training.runtime import Device, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """What a model says of one picture.

    Args:
        file: Its path, as it was given or found.
        probabilities: Of each class, by number.
    """

    file: str
    probabilities: tuple[float, ...]

    @property
    def label(self) -> int:
        """The most probable class."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def probability(self) -> float:
        """Of that class."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePredictions:
    """What a model says of several pictures.

    Args:
        classified: Of each that could be read, in the order they were given.
        unreadable: Files that could not be, with the reason.
        fit_mode: How the pictures were brought to the model's size.
    """

    classified: tuple[ImagePrediction, ...]
    unreadable: Mapping[str, str]
    fit_mode: str


def predict_images(model: Path, paths: Iterable[Path], *, style: str | None = None) -> ImagePredictions:
    """Returns what a model says of picture files.

    Args:
        model: A ``.keras`` file.
        paths: Files, and folders of which every file that looks like a picture is taken.
        style: "digit" or "whole", see ``search.export.image_files``; None for what suits the model.

    Raises:
        UserError: There is no such model, or it is none; or a folder holds no picture.
        FatalError: The process that opens it died.
    """
    if not model.is_file():
        raise UserError(
            f"There is no such model file. Received: {str(model)!r}.",
            hint="Make one with: python -m search export STUDY --as model",
        )
    files = [str(file) for path in paths for file in _files(path)]
    request = {"model": str(model.resolve()), "files": files, "style": style}
    response = call_in_subprocess("search.export.classifier", request, Runtime(device=Device.CPU))
    probabilities, unreadable = response["said"], response["unreadable"]
    classified = tuple(
        ImagePrediction(file=file, probabilities=tuple(probabilities[file])) for file in files if file in probabilities
    )
    return ImagePredictions(classified=classified, unreadable=unreadable, fit_mode=response["style"])


def _files(path: Path) -> list[Path]:
    """Returns a file, or the pictures that stand in a folder, by name."""
    if not path.is_dir():
        return [path]
    from PIL import Image

    suffixes = Image.registered_extensions()
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise UserError(
            f"The folder holds no picture. Received: {str(path)!r}.", hint="Folders in it are not looked into."
        )
    return found
